"""Names of settings in files of docker/, against those that the code has."""

from __future__ import annotations

import re
from pathlib import Path

from pipelines.local.airflow_config import MARK
from pipelines.settings import Settings


def used(*files: Path) -> set[str]:
    """Return the AIMASS_ names in files; ``_FILE`` at the end says that the value is in a file."""
    found = {name for file in files for name in re.findall(r"\bAIMASS_[A-Z0-9_]+", file.read_text())}
    return {name.removesuffix("_FILE") for name in found}


def known() -> set[str]:
    """Return the variables that the settings are read from."""
    names = {MARK}
    for field, info in Settings.model_fields.items():
        alias = info.validation_alias
        names.add(alias if isinstance(alias, str) else f"AIMASS_{field.upper()}")
        names.update(str(each) for each in getattr(alias, "choices", ()))
    return names
