"""What MLflow's own database holds of a deleted version, and what somebody deleted there long ago.

Looked up in the database itself, for MLflow is slow to import; changed through MLflow, as its own ``mlflow gc`` does.
That command is not used: it also removes every deleted experiment, those of models that live on among them.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from pipelines.housekeeping.items import Item, remove_path, size_of
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.ledger import Ledger
from pipelines.settings import Settings

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
DELETED_RUNS = "SELECT run_uuid FROM runs WHERE lifecycle_stage = 'deleted' AND deleted_time < ?"
DELETED_MODELS = (
    "SELECT model_id, source_run_id FROM logged_models"
    " WHERE lifecycle_stage = 'deleted' AND last_updated_timestamp_ms < ?"
)
DELETED_EXPERIMENTS = """
SELECT experiment_id, name FROM experiments AS e
WHERE lifecycle_stage = 'deleted' AND last_update_time < ? AND NOT EXISTS
(SELECT 1 FROM runs AS r WHERE r.experiment_id = e.experiment_id) AND NOT EXISTS
(SELECT 1 FROM logged_models AS m WHERE m.experiment_id = e.experiment_id) AND NOT EXISTS
(SELECT 1 FROM experiment_tags AS t WHERE t.experiment_id = e.experiment_id AND t.key = 'aimass.model')
"""
REGISTERED = "SELECT name, version FROM model_versions WHERE run_id = ? AND current_stage <> 'Deleted_Internal'"
RUNS_OF_VERSIONS = """
SELECT r.run_uuid, e.value, t.value FROM runs AS r JOIN tags AS t ON t.run_uuid = r.run_uuid
JOIN experiment_tags AS e ON e.experiment_id = r.experiment_id
WHERE e.key = 'aimass.model' AND t.key = 'aimass.version'
"""


def folders_of_run(settings: Settings, run: str) -> list[Path]:
    """Return the folders with the artifacts of a run and of the models that it logged."""
    places = _select(settings, "SELECT artifact_uri FROM runs WHERE run_uuid = ?", run)
    places += _select(settings, "SELECT artifact_location FROM logged_models WHERE source_run_id = ?", run)
    return _inside(settings, [str(place) for (place,) in places])


def forget_run(settings: Settings, run: str) -> None:
    """Remove a run, the models that it logged and the versions registered from it for good, with their artifacts."""
    if not _select(settings, "SELECT 1 FROM runs WHERE run_uuid = ?", run):
        return
    folders = folders_of_run(settings, run)
    logged = [each for (each,) in _select(settings, "SELECT model_id FROM logged_models WHERE source_run_id = ?", run)]
    registered = _select(settings, REGISTERED, run)
    store, api = _mlflow(settings)
    for name, version in registered:
        api.delete_model_version(name, str(version))
    for each in logged:
        store._hard_delete_logged_model(each)
    with suppress(Exception):  # deleted already
        api.delete_run(run)
    store._hard_delete_run(run)
    for folder in folders:
        remove_path(settings, folder)


def old_objects(settings: Settings, ledger: Ledger, spec: HousekeepingSpec, now: datetime) -> Iterator[Item]:
    """Yield what was deleted in MLflow long ago, and what is left there of versions that the ledger has deleted.

    What a version of the ledger names stays, whoever deleted it: a night restores it.
    """
    if not _database(settings).is_file():
        return
    before = int((now - timedelta(days=spec.mlflow_days)).timestamp() * 1000)
    named = ledger.version_addresses()
    why = f"deleted in MLflow more than {spec.mlflow_days} days ago"
    doomed = [run for (run,) in _select(settings, DELETED_RUNS, before) if run not in named]
    for run in doomed:
        yield _run_item(settings, run, why)
    gone = {(row.model, str(row.version)) for row in ledger.deleted_versions()}
    for run, model, version in _select(settings, RUNS_OF_VERSIONS):
        if (model, version) in gone and run not in named and run not in doomed:
            yield _run_item(settings, run, f"of the deleted version {version} of {model}")
    for logged, run in _select(settings, DELETED_MODELS, before):
        if run not in named and run not in doomed:
            yield _logged_item(settings, logged, why)
    for experiment, name in _select(settings, DELETED_EXPERIMENTS, before):
        yield Item("mlflow", f"experiment {name}", 0, why, partial(_purge, settings, "experiment", str(experiment)))


def _run_item(settings: Settings, run: str, why: str) -> Item:
    def remove() -> bool:
        forget_run(settings, run)
        return True

    return Item("mlflow", f"run {run}", sum(map(size_of, folders_of_run(settings, run))), why, remove)


def _logged_item(settings: Settings, logged: str, why: str) -> Item:
    places = _select(settings, "SELECT artifact_location FROM logged_models WHERE model_id = ?", logged)
    folders = _inside(settings, [str(place) for (place,) in places])

    def remove() -> bool:
        _purge(settings, "logged_model", logged)
        for folder in folders:
            remove_path(settings, folder)
        return True

    return Item("mlflow", f"logged model {logged}", sum(map(size_of, folders)), why, remove)


def _purge(settings: Settings, kind: str, name: str) -> bool:
    store, _ = _mlflow(settings)
    getattr(store, f"_hard_delete_{kind}")(name)
    return True


def _mlflow(settings: Settings) -> tuple[Any, Any]:
    """Return MLflow's store on this home's database, and a client of it."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import mlflow
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    artifacts = (settings.mlflow_dir / "artifacts").as_uri()
    address = settings.mlflow_store
    return SqlAlchemyStore(address, artifacts), mlflow.MlflowClient(tracking_uri=address, registry_uri=address)


def _select(settings: Settings, query: str, *values: str | int) -> list[Sequence[Any]]:
    """Return rows of MLflow's database; none where this home has no such database."""
    path = _database(settings)
    if not path.is_file():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(query, values).fetchall()


def _database(settings: Settings) -> Path:
    return settings.mlflow_dir / "mlflow.db"


def _inside(settings: Settings, places: Sequence[str]) -> list[Path]:
    """Return the folders of runs and logged models; those elsewhere than below the home's artifacts are left out."""
    root = (settings.mlflow_dir / "artifacts").resolve()
    found = []
    for place in places:
        path = Path(unquote(urlparse(place).path)).resolve()
        folder = path.parent if path.name == "artifacts" else path
        if folder != root and folder.is_relative_to(root) and folder.exists():
            found.append(folder)
    return found
