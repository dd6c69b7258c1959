"""B2: restored to an empty folder elsewhere: same rows, same predictions byte for byte, MLflow's files there."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from pipelines.backup.backup import backup
from pipelines.backup.mlflow_addresses import rewrite
from pipelines.backup.restore import restore
from pipelines.backup.spec import BackupSpec
from pipelines.deployment.serve import private_service
from pipelines.gateway.private import private_gateway
from pipelines.ledger import Ledger
from pipelines.registry.tracking import quiet_mlflow
from pipelines.settings import Settings

pytestmark = pytest.mark.fault

ROWS = 1_000


def dump(database: Path, home: Path) -> list[str]:
    """Return a database as text, with its home left out."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [line.replace(home.as_uri(), "file://HOME").replace(str(home), "HOME") for line in connection.iterdump()]


def predictions(settings: Settings, rows: list[dict[str, object]]) -> bytes:
    """Return what a service of the home responds with, as bytes."""
    with private_service(settings, "demo", 1, 60) as address, private_gateway(settings, "demo", 1, address) as client:
        reply = client.post("/v1/models/demo:predict", json={"instances": rows})
    assert reply.status_code == 200
    return json.dumps(reply.json()["predictions"]).encode()


def test_restored_under_another_path_it_is_the_same(served: SimpleNamespace, tiny: ModuleType, tmp_path: Path) -> None:
    home: Settings = served.settings
    rows = json.loads(tiny.rows(ROWS, seed=5).to_json(orient="records"))
    rewrite(home.mlflow_dir / "mlflow.db", home.mlflow_dir / "artifacts")  # this home is a copy of another
    before = predictions(home, rows)
    ledger = dump(home.ledger_path, home.home)
    mlflow = dump(home.mlflow_dir / "mlflow.db", home.home)
    report = backup(home, BackupSpec(free_share=0))
    into = tmp_path / "another path" / "home"
    restore(home, report.name, into)
    gone = home.home.rename(home.home.with_name("gone"))
    try:
        again = home.model_copy(update={"home": into})
        assert dump(into / "ledger.db", into) == ledger
        assert dump(into / "mlflow" / "mlflow.db", into) == mlflow
        assert predictions(again, rows) == before
        with Ledger.open(again) as restored:
            assert restored.verify_history()
            (row,) = restored.versions("demo")
        api = quiet_mlflow().MlflowClient(tracking_uri=again.mlflow_store, registry_uri=again.mlflow_store)
        card = Path(api.download_artifacts(row.mlflow_run, "evaluation/card.html"))
        assert api.get_run(row.mlflow_run).info.artifact_uri.startswith(into.as_uri())
        assert "model card" in card.read_text()
    finally:
        gone.rename(home.home)
        shutil.rmtree(into)
