from __future__ import annotations

import pytest
from backups import tracked_run

from pipelines.artifacts import night_slug
from pipelines.inference.manifest import write_manifest
from pipelines.ledger import Ledger
from pipelines.secret_files import signing_key
from pipelines.settings import Settings
from pipelines.storage import adopt_model


@pytest.fixture
def small(home: Settings) -> Settings:
    """A home with one version: its model directory, its ledger row, its run and artifacts in MLflow."""
    source = home.run_dir / "model"
    source.mkdir()
    (source / "model.json").write_text('{"format": 1}')
    (source / "weights.npz").write_bytes(bytes(range(256)) * 9_000)  # three chunks
    write_manifest(source, signing_key(home).read_bytes())
    uri, digest = adopt_model(home, source, "demo")
    night = night_slug("night-1")
    with Ledger.open(home) as ledger:
        ledger.reserve("demo", night, 1)
        ledger.assign_version("demo", night, 1)
        ledger.advance("demo", night, 1, state="registered", model_uri=uri, model_digest=digest, mlflow_run="run1")
    tracked_run(home)
    return home
