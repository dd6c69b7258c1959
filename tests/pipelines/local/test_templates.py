from __future__ import annotations

import sqlite3
import stat
import subprocess

import pytest

from pipelines.local import templates

pytestmark = pytest.mark.slow


@pytest.fixture
def environment(tmp_path, monkeypatch):
    monkeypatch.setattr(templates.sys, "prefix", str(tmp_path / "venv"))
    return tmp_path / "venv"


def test_a_new_home_starts_from_a_private_copy(environment, tmp_path):
    path = templates.template("mlflow")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"database")
    target = tmp_path / "mlflow.db"
    assert templates.copy_template("mlflow", target)
    assert target.read_bytes() == b"database"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("*.db*")] == ["mlflow.db"]


def test_what_is_there_is_never_replaced(environment, tmp_path):
    path = templates.template("airflow")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"new")
    (tmp_path / "airflow.db").write_bytes(b"old")
    assert templates.copy_template("airflow", tmp_path / "airflow.db")
    assert (tmp_path / "airflow.db").read_bytes() == b"old"


def test_without_a_template_the_caller_migrates(environment, tmp_path):
    assert not templates.copy_template("airflow", tmp_path / "airflow.db")
    assert not (tmp_path / "airflow.db").exists()


def test_missing_ones_are_made_and_migrated(environment, monkeypatch):
    monkeypatch.setattr(templates, "PACKAGES", {"mlflow": "mlflow"})
    assert templates.main() == 0
    with sqlite3.connect(templates.template("mlflow")) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert {"registered_models", "alembic_version"} <= tables
    made = templates.template("mlflow").stat().st_mtime_ns
    assert templates.main() == 0
    assert templates.template("mlflow").stat().st_mtime_ns == made


def test_a_failure_is_told_and_not_hidden(environment, monkeypatch, capsys):
    def fail(name):
        raise subprocess.CalledProcessError(1, name, output=b"no space")

    monkeypatch.setattr(templates, "make", fail)
    assert templates.main() == 1
    assert "no space" in capsys.readouterr().err
