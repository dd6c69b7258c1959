"""What MLflow holds of a deleted version goes with it; what somebody deleted there goes for good when it is old."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines import settings as settings_module
from pipelines.housekeeping.mlflow_objects import folders_of_run, old_objects
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.housekeeping.versions import delete_version, files_of, holds
from pipelines.ledger import Ledger
from pipelines.registry.tracking import client
from pipelines.settings import Settings

SPEC = HousekeepingSpec(mlflow_days=30)
LATER = datetime.now(UTC) + timedelta(days=40)


@pytest.fixture
def settings(packaged_home: Path, tmp_path: Path) -> Settings:
    """A home with one version, registered in MLflow; its addresses there are those of this copy."""
    home = Path(shutil.copytree(packaged_home, tmp_path / "home"))
    from pipelines.backup.mlflow_addresses import rewrite

    rewrite(home / "mlflow" / "mlflow.db", home / "mlflow" / "artifacts")
    return settings_module.load(home=home, mlflow_port=1024)


def rows(settings: Settings, table: str) -> int:
    with closing(sqlite3.connect(settings.mlflow_dir / "mlflow.db")) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_deleted_version_takes_all_its_files_along_and_leaves_who_and_why(settings: Settings) -> None:
    with Ledger.open(settings) as ledger:
        (row,) = ledger.versions("demo")
        paths = files_of(settings, ledger, row)
        assert len(paths) == 4, "model directory, bento, artifacts of the run, logged model"
        assert all(path.is_dir() for path in paths)
        delete_version(settings, ledger, row, "tester", "trained on wrong prices")
        assert not any(path.exists() for path in paths)
        assert (ledger.versions("demo"), ledger.version("demo", 1)) == ([], None)
        (gone,) = ledger.deleted_versions("demo")
        assert (gone.version, gone.model_digest) == (1, row.model_digest)
        told = gone.verdict["deleted"]
        assert (told["by"], told["why"]) == ("tester", "trained on wrong prices")
        assert ledger.version_addresses() == set()
        again = ledger.reserve("demo", row.night, row.fence)
        assert (again.state, again.version) == ("reserved", None), "its night may make one again, under another number"
    assert [rows(settings, name) for name in ("runs", "logged_models")] == [0, 0]
    assert list(client(settings).search_model_versions("name='demo'")) == []


def test_what_is_live_or_served_cannot_be_deleted(settings: Settings) -> None:
    with Ledger.open(settings) as ledger:
        (row,) = ledger.versions("demo")
        for prepare, reason in (
            (lambda: ledger.want("demo", 1, "serve"), "service"),
            (lambda: ledger.switch("demo", 1, 0, "test", "test"), "live"),
        ):
            prepare()
            assert reason in holds(ledger, "demo")[1]
            with pytest.raises(Exception, match="cannot be deleted"):
                delete_version(settings, ledger, row, "tester", "why not")
            assert all(path.is_dir() for path in files_of(settings, ledger, row))


def test_what_was_deleted_in_mlflow_goes_for_good_later_unless_a_version_names_it(settings: Settings) -> None:
    api = client(settings)
    with Ledger.open(settings) as ledger:
        named = ledger.versions("demo")[0].mlflow_run
        experiment = api.get_run(named).info.experiment_id
        other = api.create_run(experiment).info.run_id
        foreign = api.create_experiment("by hand")
        for run in (named, other):
            api.delete_run(run)
        api.delete_experiment(foreign)
        api.delete_experiment(experiment)
        assert list(old_objects(settings, ledger, SPEC, datetime.now(UTC))) == []
        found = list(old_objects(settings, ledger, SPEC, LATER))
        assert sorted(item.what for item in found) == ["experiment by hand", f"run {other}"]
        for item in found:
            assert item.remove()
        assert list(old_objects(settings, ledger, SPEC, LATER)) == []
        api.restore_experiment(experiment)
        assert api.get_run(named).info.lifecycle_stage == "active", "a model's own experiment can still be restored"
        assert folders_of_run(settings, named)


def test_what_a_killed_delete_left_in_mlflow_is_found(settings: Settings) -> None:
    with Ledger.open(settings) as ledger:
        (row,) = ledger.versions("demo")
        ledger.mark_version_deleted("demo", 1, "tester", "killed after this")
        (item,) = old_objects(settings, ledger, SPEC, datetime.now(UTC))
        assert (item.what, item.bytes > 0) == (f"run {row.mlflow_run}", True)
        item.remove()
    assert rows(settings, "runs") == 0
