"""Names of settings in files of docker/, against those that the code has."""

from __future__ import annotations

import re
from pathlib import Path

from pipelines.local.airflow_config import MARK
from pipelines.settings import Settings

COMING = {
    "AIMASS_AIRFLOW_ADDRESS", "AIMASS_AIRFLOW_DATABASE", "AIMASS_CELERY_BROKER", "AIMASS_DASK_SCHEDULER",
    "AIMASS_DASK_TLS", "AIMASS_EXECUTOR", "AIMASS_LIMITS_URL", "AIMASS_MLFLOW_ADDRESS", "AIMASS_MLFLOW_DATABASE",
    "AIMASS_PARTS", "AIMASS_RAY_ADDRESS", "AIMASS_RAY_TOKEN", "AIMASS_S3_ENDPOINT", "AIMASS_SECRETS_FOLDER",
    "AIMASS_SERVE_ADDRESS", "AIMASS_SERVE_AUTHORITY", "AIMASS_SERVE_CERTIFICATE", "AIMASS_SERVE_KEY", "AIMASS_STORAGE",
    "AIMASS_TLS_CA", "AIMASS_TLS_CERT", "AIMASS_TLS_KEY",
}  # fmt: skip
"""Settings that files of docker/ name and the code does not have yet; to be emptied as they come."""


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
