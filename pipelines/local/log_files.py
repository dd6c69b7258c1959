"""Keeps the logs of the platform's parts small: they are cut off where they are, for their writers hold them open."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipelines.ledger.alerts import ALERTS_LOG

LOG_BYTES = 10_000_000
LOG_FILES = 3


def rotate(folder: Path, most: int = LOG_BYTES, kept: int = LOG_FILES) -> list[Path]:
    """Move the content of logs that are too long to ``NAME.1``, that to ``NAME.2`` and so on; return those cut.

    Writers append, so they go on at the start of the emptied file; lines of the moment between copy and cut are lost.
    """
    cut = []
    for path in sorted(folder.glob("*.log")):
        if path.name == ALERTS_LOG or path.stat().st_size <= most:
            continue
        for number in range(kept, 1, -1):
            older = path.with_name(f"{path.name}.{number - 1}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number}"))
        copy = path.with_name(f"{path.name}.1")
        copy.touch(0o600)
        shutil.copyfile(path, copy)
        with path.open("r+b") as stream:
            stream.truncate(0)
        cut.append(path)
    return cut
