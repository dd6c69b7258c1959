from __future__ import annotations

import json
import shutil

import pytest

from pipelines.deployment.proof import prove
from pipelines.errors import DeployError
from pipelines.gateway.private import private_gateway
from pipelines.inference.model_directory import ModelDirectory
from pipelines.storage import resolve


@pytest.fixture
def model_dir(served, tmp_path):
    return shutil.copytree(resolve(served.settings, served.ledger.version("demo", 1).model_uri), tmp_path / "model")


@pytest.fixture(scope="module")
def client(served):
    with private_gateway(served.settings, "demo", 1, served.url) as client:
        yield client


def change_golden(model_dir, change):
    path = model_dir / "golden.json"
    golden = json.loads(path.read_text())
    change(golden)
    path.write_text(json.dumps(golden))


def test_all_golden_rows_agree(client, model_dir):
    proof = prove(client, ModelDirectory(model_dir, ""), rows=200, tolerance=1e-9)
    assert proof["rows"] == 200
    assert proof["largest_difference"] <= 1e-9


def test_a_difference_is_found_and_named(client, model_dir):
    change_golden(model_dir, lambda golden: golden["answers"][150].update(probability=0.123))
    with pytest.raises(DeployError, match=r"1 served prediction\(s\) differ") as caught:
        prove(client, ModelDirectory(model_dir, ""), rows=200, tolerance=1e-9)
    assert caught.value.faults[0].startswith("row 150: served")


def test_another_label_is_found(client, model_dir):
    change_golden(model_dir, lambda golden: golden["answers"][0].update(prediction="maybe"))
    with pytest.raises(DeployError, match="differ"):
        prove(client, ModelDirectory(model_dir, ""), rows=5, tolerance=1e-9)


def test_nothing_to_compare_proves_nothing(client, model_dir):
    change_golden(model_dir, lambda golden: golden.update(rows=[], answers=[]))
    with pytest.raises(DeployError, match="no golden predictions"):
        prove(client, ModelDirectory(model_dir, ""), rows=5, tolerance=1e-9)


def test_a_refusal_is_quoted(client, model_dir):
    change_golden(model_dir, lambda golden: golden["rows"][0].pop("amount"))
    with pytest.raises(DeployError, match="refused rows that its version predicted") as caught:
        prove(client, ModelDirectory(model_dir, ""), rows=5, tolerance=1e-9)
    assert "amount" in caught.value.seen
