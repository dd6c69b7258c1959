"""MLflow's database moves into PostgreSQL or another file, with the addresses of the new place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from postgres import postgres
from sqlalchemy import create_engine, text

from pipelines.errors import BackupError
from pipelines.local.templates import copy_template
from pipelines.migration.mlflow_database import move_into, rewritten_copy
from pipelines.settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as address:
        yield address


@pytest.fixture
def registered(home: Settings) -> Settings:
    """A home in which a model has two versions, with numbers, texts, truth values and artifacts."""
    from mlflow import MlflowClient

    copy_template("mlflow", home.mlflow_dir / "mlflow.db")  # MLflow makes its tables where there is none
    address = f"sqlite:///{home.mlflow_dir / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=address, registry_uri=address)
    experiment = client.create_experiment("demo", f"{home.mlflow_dir}/artifacts/1")
    client.create_registered_model("demo")
    for number in range(2):
        run = client.create_run(experiment)
        client.log_metric(run.info.run_id, "auc", 0.5 + number / 7)
        client.log_param(run.info.run_id, "text", "Łódź 'quoted'")
        client.set_terminated(run.info.run_id)
        client.create_model_version("demo", f"{home.mlflow_dir}/artifacts/1/{run.info.run_id}", run.info.run_id)
    client.set_registered_model_alias("demo", "champion", "2")
    return home


def test_into_postgresql_and_on_from_there(registered: Settings, server: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    artifacts = tmp_path / "new" / "mlflow" / "artifacts"
    copy = rewritten_copy(registered, artifacts, tmp_path)
    assert copy is not None
    count = move_into(copy, server)
    assert count > 10
    assert move_into(copy, server) == count, "a second call finds it there"

    client = MlflowClient(tracking_uri=server, registry_uri=server)
    champion = client.get_model_version_by_alias("demo", "champion")
    assert champion.version == "2"
    assert champion.source.startswith(str(artifacts))
    run = client.get_run(champion.run_id)
    assert run.data.metrics == {"auc": 0.5 + 1 / 7}
    assert run.data.params == {"text": "Łódź 'quoted'"}
    assert run.info.artifact_uri.startswith(str(artifacts))
    again = client.create_run(client.create_experiment("next"))
    assert client.create_model_version("demo", "/x", again.info.run_id).version == "3"

    with pytest.raises(BackupError, match="not empty"):
        move_into(copy, server)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'older'")
    with pytest.raises(BackupError, match="different versions"):
        move_into(copy, server)
    engine = create_engine(server)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM model_versions")).scalar() == 3
    engine.dispose()


def test_into_a_file_once(registered: Settings, tmp_path: Path) -> None:
    target = tmp_path / "new" / "mlflow" / "mlflow.db"
    copy = rewritten_copy(registered, target.parent / "artifacts", tmp_path)
    count = move_into(copy, f"sqlite:///{target}")
    assert target.stat().st_mode & 0o777 == 0o600
    again = rewritten_copy(registered, target.parent / "artifacts", tmp_path)
    assert move_into(again, f"sqlite:///{target}") == count
    with closing(sqlite3.connect(target)) as connection, connection:
        (source,) = connection.execute("SELECT source FROM model_versions WHERE version = 1").fetchone()
        connection.execute("DELETE FROM model_versions")
    assert source.startswith(str(target.parent / "artifacts"))
    with pytest.raises(BackupError, match="not empty"):
        move_into(again, f"sqlite:///{target}")


def test_a_home_without_one_has_nothing_to_move(home: Settings, tmp_path: Path) -> None:
    assert rewritten_copy(home, tmp_path / "artifacts", tmp_path) is None


def test_where_the_server_keeps_the_artifacts_they_are_asked_of_it(registered: Settings, tmp_path: Path) -> None:
    copy = rewritten_copy(registered, None, tmp_path)
    assert copy is not None
    with closing(sqlite3.connect(copy)) as connection:
        (source,) = connection.execute("SELECT source FROM model_versions WHERE version = 1").fetchone()
        (place,) = connection.execute("SELECT artifact_location FROM experiments WHERE name = 'demo'").fetchone()
    assert source.startswith("mlflow-artifacts:/1/")
    assert place == "mlflow-artifacts:/1"
