"""Settings of a home of its own, in which something is tried."""

from __future__ import annotations

from pathlib import Path

from pipelines.settings import Settings, load

SHARED = (
    "ledger_url",
    "storage_address",
    "airflow_database",
    "airflow_address",
    "mlflow_database",
    "mlflow_address",
    "celery_broker",
    "serve_address",
    "backups_folder",
    "backups_key",
    "alert_mail",
    "alert_webhook",
    "alert_alertmanager",
    "alert_apprise",
)
"""Settings by which machines share an installation, and by which it is heard."""


def load_private(home: Path, dags: Path) -> Settings:
    """Read the settings for a home of its own, for a trial: it shares nothing with the installation and alerts nobody.

    Raises
    ------
    SpecError
        As :func:`load`.
    """
    return load(home=home, dags_folder=dags, executor="LocalExecutor", **dict.fromkeys(SHARED))
