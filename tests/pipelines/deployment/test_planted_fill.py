"""A wrong fill value in what is served is never exposed, and the column is named: by whichever step sees it first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pipelines.deployment.proof import prove
from pipelines.deployment.serve import find_bento, private_service
from pipelines.deployment.spec import DeploySpec
from pipelines.errors import DeployError
from pipelines.gateway.private import private_gateway
from pipelines.inference.manifest import write_manifest
from pipelines.inference.model_directory import ModelDirectory
from pipelines.secret_files import public_key, signing_key
from pipelines.storage import resolve

pytestmark = pytest.mark.slow

FILL = {
    "kind": "fill",
    "inputs": ["amount"],
    "outputs": [{"name": "amount", "kind": "number", "cardinality": None}],
    "value": -250.0,
}


@pytest.fixture
def made(
    packaged: SimpleNamespace, tiny: ModuleType, tmp_path: Path, request: pytest.FixtureRequest
) -> SimpleNamespace:
    night = packaged.night_of(request.node.name[:60], day=9, fence=1)
    done = tiny.take_to_bento(tmp_path, packaged.settings, night, 9)
    version = int(done["register"].ref.meta["version"])
    bento = find_bento(packaged.settings, "demo", version)
    model = resolve(packaged.settings, packaged.ledger.version("demo", version).model_uri)
    for folder in (bento, model):
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700)
    return SimpleNamespace(night=night, done=done, version=version, bento=bento, model=model)


def plant(packaged: SimpleNamespace, *folders: Path, golden: Any = None) -> None:
    """Have a plan fill missing amounts with -250, and sign what holds it again."""
    key = signing_key(packaged.settings).read_bytes()
    for folder in folders:
        path = folder / "plan" / "plan.json"
        plan = json.loads(path.read_text())
        path.write_text(json.dumps({**plan, "operations": [FILL, *plan["operations"]]}))
        if golden is not None:
            (folder / "golden.json").write_text(json.dumps(golden))
        write_manifest(folder, key)
    bento = next((folder.parents[1] for folder in folders if folder.parent.name == "src"), None)
    if bento is not None:
        write_manifest(bento, key)


def test_a_bento_with_another_plan_is_not_installed(
    packaged: SimpleNamespace, tiny: ModuleType, tmp_path: Path, made: SimpleNamespace
) -> None:
    plant(packaged, made.bento / "src" / "model")
    with pytest.raises(DeployError, match="holds another model than the registered one") as caught:
        tiny.release(DeploySpec(), made.night, packaged.settings, tmp_path, made.done)
    assert "'amount'" in caught.value.seen
    assert "(fill)" in caught.value.seen or "-250" in caught.value.seen


def test_a_service_whose_features_differ_does_not_start(packaged: SimpleNamespace, made: SimpleNamespace) -> None:
    plant(packaged, made.bento / "src" / "model")
    with pytest.raises(DeployError) as caught, private_service(packaged.settings, "demo", made.version, 30):
        pass
    assert "golden predictions" in caught.value.seen
    assert "feature 'amount' of column 'amount' (fill): -250.0, expected None" in caught.value.seen


def test_the_proof_names_the_column_where_the_registered_plan_itself_is_wrong(
    packaged: SimpleNamespace, tmp_path: Path, made: SimpleNamespace
) -> None:
    """Both hold the wrong plan, and the service is made to believe it: only the proof is left."""
    right = json.loads((made.model / "golden.json").read_text())
    served = made.bento / "src" / "model"
    plant(packaged, made.model)
    shutil.copytree(made.model, served, dirs_exist_ok=True)
    predictor = ModelDirectory(served, "").predictor
    believed = {**right, "answers": predictor.predict_rows(right["rows"]), "features": []}
    (served / "golden.json").write_text(json.dumps(believed))
    plant_nothing = signing_key(packaged.settings).read_bytes()
    write_manifest(served, plant_nothing)
    write_manifest(made.bento, plant_nothing)
    opened = ModelDirectory.open(made.model, public_key(packaged.settings))
    with (
        private_service(packaged.settings, "demo", made.version, 30) as address,
        private_gateway(packaged.settings, "demo", made.version, address) as client,
        pytest.raises(DeployError, match="differ from the golden ones") as caught,
    ):
        prove(client, opened, rows=200, tolerance=1e-9)
    assert "feature 'amount' of column 'amount' (fill): -250.0, expected None" in caught.value.seen
