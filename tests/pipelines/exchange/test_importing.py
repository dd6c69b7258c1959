"""Models from PyTorch and scikit-learn become versions: proved, live through the gateway, monitored, rolled back.

The short form imports the one from PyTorch beside a version that a night made; AIMASS_FULL=1 the other, too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from foreign import SKLEARN, TORCH, rows, sklearn_files
from gateways import running
from here import aimass

from pipelines.deployment.serve import private_service
from pipelines.exchange.contract import Contract
from pipelines.exchange.importing import _reference
from pipelines.exchange.samples import Samples
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.stage import monitor

pytest.importorskip("onnxruntime", reason="needs the extra exchange")
pytest.importorskip("skl2onnx", reason="needs the extra exchange")
pytestmark = [pytest.mark.slow, pytest.mark.full]

HERE = Path(__file__).parent
FULL = bool(os.environ.get("AIMASS_FULL"))


def words_of(files: dict[str, Path], model: str) -> list[str]:
    """Return the command that imports these files."""
    options = ["--schema", str(files["schema"]), "--samples", str(files["samples"]), "--model", model]
    return ["import", str(files["file"]), *options]


@pytest.fixture(scope="module")
def imported(packaged: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Version 1 of ``demo`` by a night and live, version 2 from PyTorch."""
    root, ledger = tmp_path_factory.mktemp("foreign"), packaged.ledger
    ledger.remember_model(packaged.night.model)  # as a night does when it begins
    ledger.want("demo", 1, "serve")
    ledger.switch("demo", 1, 0, "first", "deploy")
    environment = {"AIMASS_HOME": str(packaged.settings.home), "AIMASS_MLFLOW_PORT": "1024"}
    (root / "torch.json").write_text(json.dumps(TORCH))
    torch = {"file": HERE / "torch_mlp.onnx", "schema": root / "torch.json", "samples": HERE / "torch_mlp.json"}
    said = aimass(*words_of(torch, "demo"), **environment)
    return SimpleNamespace(root=root, settings=packaged.settings, ledger=ledger, said=said, environment=environment)


def test_an_import_is_proved_and_kept(imported: SimpleNamespace) -> None:
    assert imported.said.returncode == 0, imported.said.stderr
    assert "demo: version 2 imported from torch_mlp.onnx; 24 sample predictions repeated" in imported.said.stdout
    assert imported.ledger.route("demo") == 1
    row = imported.ledger.version("demo", 2)
    assert (row.state, row.verdict["verdict"], row.verdict["imported"]["format"]) == ("registered", "kept", "onnx")
    assert row.verdict["imported"]["largest_difference"] < 1e-6
    assert row.mlflow_run
    assert imported.ledger.model("demo").spec["key"] == ["id"]  # what its nights say it is


def promoted(imported: SimpleNamespace, name: str, version: int) -> None:
    done = aimass("promote", name, str(version), "--why", "trial", **imported.environment)
    assert done.returncode == 0, done.stderr
    assert "golden and 0 logged predictions repeated" in done.stdout


def asked(client: Any, headers: dict[str, str], name: str, row: dict[str, Any]) -> tuple[int, Any]:
    reply = client.post(f"/v1/models/{name}:predict", json={"instances": [row]}, headers=headers)
    return reply.status_code, reply.json()


def test_it_goes_live_is_monitored_and_rolled_back(imported: SimpleNamespace) -> None:
    settings, ledger = imported.settings, imported.ledger
    promoted(imported, "demo", 2)
    sample = json.loads((HERE / "torch_mlp.json").read_text())[3]
    headers = {"Authorization": f"Bearer {ledger.issue_token('test', ['predict'])}"}
    with private_service(settings, "demo", 2, 60) as address:
        ledger.observe("demo", 2, "ready", address=address)
        with running(settings, ledger) as client:
            status, answer = asked(client, headers, "demo", {"tenure": sample["tenure"], "plan": sample["plan"]})
            assert status == 200, answer
            assert answer["predictions"][0]["probability"] == pytest.approx(sample["probability"], abs=1e-6)
            assert answer["predictions"][0]["prediction"] == sample["prediction"]
            for odd in ({"tenure": None, "plan": "unheard of"}, {"tenure": 1e30, "plan": None}):
                assert asked(client, headers, "demo", odd)[0] == 200
            assert asked(client, headers, "demo", {"tenure": 3})[0] in (400, 422)
            assert asked(client, headers, "demo", {"tenure": 1.7e308, "plan": "yearly"})[0] < 500
        found = {each.kind: each for each in monitor(settings, spec=MonitorSpec()) if each.model == "demo"}
    assert found["service"].state == "ok", found["service"]
    assert found["age"].state == "ok"
    assert "was imported" in found["age"].message
    assert found["errors"].state in ("ok", "unknown"), found["errors"]
    done = aimass("rollback", "demo", "--why", "worse", **imported.environment)
    assert done.returncode == 0, done.stderr
    assert ledger.route("demo") == 1


@pytest.mark.skipif(not FULL, reason="AIMASS_FULL=1: another import, and another service")
def test_a_pipeline_of_scikit_learn_answers_as_it_did_there(imported: SimpleNamespace) -> None:
    files = sklearn_files(imported.root / "sklearn")
    done = aimass(*words_of(files, "churn"), **imported.environment)
    assert done.returncode == 0, done.stderr
    assert "churn: version 1 imported from churn.onnx; 40 sample predictions repeated" in done.stdout
    promoted(imported, "churn", 1)
    samples = pd.read_csv(files["samples"])
    headers = {"Authorization": f"Bearer {imported.ledger.issue_token('churn', ['predict'])}"}
    with private_service(imported.settings, "churn", 1, 60) as address:
        imported.ledger.observe("churn", 1, "ready", address=address)
        with running(imported.settings, imported.ledger) as client:
            for number in range(5):
                sent = {"tenure": float(samples.tenure[number]), "plan": samples.plan[number]}
                answer = asked(client, headers, "churn", sent)[1]["predictions"][0]
                assert answer["probability"] == pytest.approx(samples.probability[number], abs=1e-5)
                assert answer["prediction"] == samples.prediction[number]


def test_the_other_commands_know_it(imported: SimpleNamespace) -> None:
    for words in (
        ("status",), ("models",), ("show", "demo"), ("nights", "demo"), ("versions", "demo"), ("why", "demo"),
        ("explain", "demo", "--version", "2"), ("releases", "demo"), ("housekeeping", "--dry-run"), ("cost", "demo"),
    ):  # fmt: skip
        done = aimass(*words, **imported.environment)
        assert "does not foresee" not in done.stderr, done.stderr
        assert done.returncode == 0, (words, done.stderr)
    done = aimass("reproduce", "demo", "2", **imported.environment)
    assert done.returncode in (1, 2)
    assert "does not foresee" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": [{"name": "plan"}, {"name": "tenure", "fill": 0}]}, "takes texts"),
        ({"columns": [{"name": "tenure", "fill": 0}]}, "gets no column"),
        ({"classes": ["yes", "no"], "output": {"scores": "logits"}}, "row 0"),
        ({"output": {"name": "label"}}, "output"),
        ({"task": "multiclass", "positive": None}, "another task"),
    ],
)
def test_a_schema_that_does_not_fit_leaves_nothing(imported: SimpleNamespace, change: Any, said: str) -> None:
    files = sklearn_files(imported.root / "bad", 0, **change)
    before = [row.version for row in imported.ledger.versions("demo")]
    done = aimass(*words_of(files, "demo"), **imported.environment)
    assert done.returncode in (1, 2)
    assert said in done.stderr, done.stderr
    assert [row.version for row in imported.ledger.versions("demo")] == before
    assert not [path for path in imported.settings.staging.iterdir() if path.name.startswith("demo-import")]


def test_samples_that_it_does_not_repeat_name_the_first_row(imported: SimpleNamespace) -> None:
    files = sklearn_files(imported.root / "samples", 0)
    table = pd.read_csv(files["samples"])
    table.loc[7, "probability"] += 0.25
    table.to_csv(files["samples"], index=False)
    done = aimass(*words_of(files, "demo"), **imported.environment)
    assert done.returncode == 2
    assert "1 of 40 predictions differ" in done.stderr
    assert "row 7, probability" in done.stderr
    assert "0.25" in done.stderr


@pytest.mark.fault("A8")
def test_files_that_run_code_are_refused(imported: SimpleNamespace, tmp_path: Path) -> None:
    files = sklearn_files(tmp_path, 0)
    for ending in (".pkl", ".joblib", ".pt", ".skops"):
        path = tmp_path / f"model{ending}"
        path.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "made").encode() + b"'\ntR.")
        done = aimass(*words_of(files | {"file": path}, "demo"), **imported.environment)
        assert "run code" in done.stderr
        assert done.returncode == 2
    assert not (tmp_path / "made").exists()


def test_many_samples_are_what_the_monitor_compares_with(tmp_path: Path) -> None:
    contract, table = Contract(**SKLEARN), rows(1_000)
    expected = pd.DataFrame({"prediction": table["churned"]})
    few = Samples(table.head(999).drop(columns="churned"), expected.head(999))
    assert _reference(tmp_path, contract, few) is None
    folder = _reference(tmp_path, contract, Samples(table.drop(columns="churned"), expected))
    assert folder is not None
    described = json.loads((folder / "reference.json").read_text())
    assert {name: one["kind"] for name, one in described.items()} == {"tenure": "number", "plan": "category"}
    assert sum(described["plan"]["shares"]) == pytest.approx(1.0)
    assert json.loads((folder / "expected.json").read_text()) == {"sealed_rows": 1_000}
