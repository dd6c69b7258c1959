from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from backups import stored

from pipelines.backup.backup import backup
from pipelines.backup.mlflow_addresses import COLUMNS, folders_of, rewrite
from pipelines.backup.restore import restore
from pipelines.backup.spec import BackupSpec
from pipelines.settings import Settings

SPEC = BackupSpec(free_share=0)


def addresses(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return [str(row[0]) for table, column in COLUMNS for row in connection.execute(f"SELECT {column} FROM {table}")]


def test_artifacts_of_the_ledgers_versions_are_restored_and_found_at_the_other_path(
    small: Settings, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(small.mlflow_dir / "mlflow.db")) as connection, connection:
        connection.execute("INSERT INTO runs VALUES ('try', ?)", ((small.mlflow_dir / "artifacts/try").as_uri(),))
    (small.mlflow_dir / "artifacts" / "try").mkdir()
    (small.mlflow_dir / "artifacts" / "try" / "big.bin").write_text("of no version")
    report = backup(small, SPEC)
    assert not [name for name in stored(small, report.path) if "big.bin" in name]
    into = tmp_path / "with space" / "home"
    assert restore(small, report.name, into).notices == ()
    shutil.rmtree(small.mlflow_dir)
    found = [address for address in addresses(into / "mlflow" / "mlflow.db") if not address.startswith("models:")]
    assert all(address.startswith((into / "mlflow" / "artifacts").as_uri()) for address in found)
    assert (into / "mlflow/artifacts/demo/run1/artifacts/evaluation/card.html").read_text() == "card.html of run1"
    assert (into / "mlflow/artifacts/demo/models/m-run1/artifacts/MLmodel").is_file()


def test_a_home_that_moved_finds_its_artifacts_under_their_old_addresses(small: Settings) -> None:
    database = small.mlflow_dir / "mlflow.db"
    rewrite(database, Path("/srv/first home/mlflow/artifacts"))
    assert "file:///srv/first%20home/mlflow/artifacts/demo" in addresses(database)
    assert folders_of(database, {"run1"}) == ["demo/models/m-run1/artifacts", "demo/run1/artifacts"]
    assert backup(small, SPEC).missing == ()


def test_addresses_elsewhere_stay(small: Settings) -> None:
    database = small.mlflow_dir / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE runs SET artifact_uri = 's3://bucket/run1'")
    rewrite(database, Path("/elsewhere/mlflow/artifacts"))
    assert "s3://bucket/run1" in addresses(database)
    assert folders_of(database, {"run1"}) == ["demo/models/m-run1/artifacts"]
    assert rewrite(database, Path("/elsewhere/mlflow/artifacts")) == 0


def test_what_somebody_removed_in_mlflow_is_noted_and_said_at_the_restore(small: Settings, tmp_path: Path) -> None:
    shutil.rmtree(small.mlflow_dir / "artifacts" / "demo" / "run1")
    report = backup(small, SPEC)
    assert report.missing == ("mlflow/artifacts/demo/run1/artifacts",)
    (notice,) = restore(small, report.name, tmp_path / "into").notices
    assert "demo/run1" in notice


def test_artifacts_can_be_left_out(small: Settings) -> None:
    report = backup(small, SPEC.model_copy(update={"artifacts": False}))
    assert not [name for name in stored(small, report.path) if "/artifacts/" in name]
