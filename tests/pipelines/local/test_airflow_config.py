"""The environment of Airflow's parts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pipelines import settings as settings_module
from pipelines.errors import SpecError
from pipelines.local.airflow_config import airflow_environment, fernet_file, password_file
from pipelines.settings import Settings


def build(home: Settings, port: int | None = 18080) -> dict[str, str]:
    return airflow_environment(home, home=home.airflow_home, dags=home.dags, port=port)


def test_no_secret_is_in_the_environment(home: Settings) -> None:
    environment = build(home)
    texts = [path.read_text().strip() for path in home.secrets.iterdir()]
    assert len(texts) >= 5
    for text in texts:
        assert not any(text in value for value in environment.values())
    assert environment["AIRFLOW__API_AUTH__JWT_SECRET_CMD"].startswith("cat ")


def test_files_with_secrets_are_private(home: Settings) -> None:
    before = os.umask(0)
    try:
        build(home)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in home.secrets.iterdir()} == {0o600}
    assert len(json.loads(password_file(home).read_text())["admin"]) >= 43
    from cryptography.fernet import Fernet

    Fernet(fernet_file(home).read_text().strip())


def test_what_must_hold(home: Settings) -> None:
    environment = build(home)
    expected = {
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://127.0.0.1:18080/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "20",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "AIMASS_HOME": str(home.home),
    }
    assert {name: environment.get(name) for name in expected} == expected


def test_private_airflow_has_no_server_and_inherits_no_airflow(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("_AIRFLOW_SKIP_DB_TESTS", "1")
    environment = build(home, port=None)
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "AIRFLOW__CORE__EXECUTION_API_SERVER_URL" not in environment
    assert "_AIRFLOW_SKIP_DB_TESTS" not in environment
    assert Path(environment["PATH"].split(os.pathsep)[0], "python").exists()


def test_further_users_get_a_role_and_a_password_that_stays(home: Settings) -> None:
    first = json.loads(password_file(home).read_text())
    more = home.model_copy(update={"airflow_users": "ada:viewer,bob:op"})
    assert build(more)["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == "admin:admin,ada:viewer,bob:op"
    assert build(more)["AIMASS_AIRFLOW_USERS"] == "ada:viewer,bob:op"
    found = json.loads(password_file(more).read_text())
    assert found["admin"] == first["admin"]
    assert len({*found.values()}) == 3
    assert min(map(len, found.values())) >= 40
    assert password_file(more).stat().st_mode & 0o777 == 0o600
    assert json.loads(password_file(more).read_text()) == found


@pytest.mark.parametrize(
    "users", ["ada", "ada:boss", "ada:viewer,", "ada:viewer;bob:op", "Ada:viewer", "a b:viewer", ":op"]
)
def test_users_without_a_role_are_refused(monkeypatch: pytest.MonkeyPatch, users: str) -> None:
    monkeypatch.setenv("AIMASS_AIRFLOW_USERS", users)
    with pytest.raises(SpecError, match="ada:viewer,bob:op"):
        settings_module.load()
