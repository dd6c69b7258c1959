"""A trial's home shares nothing with the installation, nor do the processes that are started for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.child_environment import variable
from pipelines.ledger import Ledger
from pipelines.local.airflow_config import airflow_environment
from pipelines.settings import Settings, load
from pipelines.trial_home import SHARED, load_private


def test_nothing_of_a_shared_installation_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = tmp_path / "database"
    hidden.write_text("postgresql+psycopg://me:hidden@host/mlflow")
    hidden.chmod(0o600)
    given = {
        "AIMASS_LEDGER_URL": f"sqlite:///{tmp_path}/shared.db",
        "AIMASS_STORAGE": "s3://bucket/prefix",
        "AIMASS_EXECUTOR": "CeleryExecutor",
        "AIMASS_CELERY_BROKER": "redis://host:6379/0",
        "AIMASS_AIRFLOW_DATABASE": "postgresql+psycopg://me:hidden@host/airflow",
        "AIMASS_MLFLOW_DATABASE_FILE": str(hidden),
        "AIMASS_MLFLOW_ADDRESS": "https://mlflow:5000",
        "AIMASS_BACKUPS_FOLDER": "s3://bucket/backups",
        "AIMASS_ALERT_WEBHOOK": "https://chat.example/hook",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert load().ledger_url == given["AIMASS_LEDGER_URL"]
    trial = load_private(tmp_path / "home", tmp_path / "dags").ensure()
    assert {name for name in SHARED if getattr(trial, name) is not None} == set()
    environment = airflow_environment(trial, home=tmp_path / "airflow", dags=tmp_path / "dags")
    assert not {*map(variable, SHARED), *(f"{variable(name)}_FILE" for name in SHARED)} & environment.keys()
    assert environment["AIMASS_EXECUTOR"] == "LocalExecutor"
    assert not any("hidden" in value for value in environment.values())
    Ledger.open(trial).close()
    assert trial.ledger_path.is_file()
    assert not (tmp_path / "shared.db").exists()


def test_shared_settings_are_settings() -> None:
    assert set(SHARED) <= Settings.model_fields.keys()
    assert {name for name in SHARED if Settings.model_fields[name].default is not None} == set()
