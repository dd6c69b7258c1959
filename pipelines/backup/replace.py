"""Puts a restored home in the place of another; should a step fail, the other is there as before."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

TAKEN_OVER = "backups"
"""Stays with the home's address: it would be odd to lose the backups by restoring one."""


def replace_home(home: Path, restored: Path) -> Path:
    """Set ``home`` aside as a whole and rename ``restored`` to it; return where the former home lies now.

    Secrets of the former home are copied over, its backups move over. Both are on one file system.
    """
    aside = home.with_name(f"{home.name}.before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    kept = shutil.ignore_patterns(*(path.name for path in (restored / "secrets").iterdir()))  # that of the models' key
    shutil.copytree(home / "secrets", restored / "secrets", ignore=kept, dirs_exist_ok=True)
    os.rename(home, aside)
    try:
        os.rename(restored, home)
        if (aside / TAKEN_OVER).is_dir():
            os.rename(aside / TAKEN_OVER, home / TAKEN_OVER)
    except BaseException:
        if home.exists():
            os.rename(home, restored)
        os.rename(aside, home)
        raise
    return aside
