"""Models from scikit-learn and PyTorch become versions: proved, live through the gateway, monitored, rolled back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from foreign import TORCH, sklearn_files
from gateways import running
from here import aimass

from pipelines import settings as settings_module
from pipelines.deployment.serve import private_service
from pipelines.ledger import Ledger
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.stage import monitor

pytest.importorskip("onnxruntime", reason="needs the extra exchange")
pytest.importorskip("skl2onnx", reason="needs the extra exchange")
pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Version 1 of a model from scikit-learn and version 2 from PyTorch, as a person imports them."""
    root = tmp_path_factory.mktemp("exchange")
    home = root / "home"
    environment = {"AIMASS_HOME": str(home), "AIMASS_MLFLOW_PORT": "1024"}
    files = sklearn_files(root / "sklearn")
    (root / "torch.json").write_text(json.dumps(TORCH))
    torch = {"file": HERE / "torch_mlp.onnx", "schema": root / "torch.json", "samples": HERE / "torch_mlp.json"}
    said = [aimass(*words_of(each), **environment) for each in (files, torch)]
    settings = settings_module.load(home=home, mlflow_port=1024)
    with Ledger.open(settings) as ledger:
        yield SimpleNamespace(root=root, settings=settings, ledger=ledger, said=said, environment=environment)


def words_of(files: dict[str, Path], model: str = "churn") -> list[str]:
    """Return the command that imports these files."""
    options = ["--schema", str(files["schema"]), "--samples", str(files["samples"]), "--model", model]
    return ["import", str(files["file"]), *options]


def test_an_import_is_proved_and_kept(imported: SimpleNamespace) -> None:
    for done in imported.said:
        assert done.returncode == 0, done.stderr
    assert "churn: version 1 imported from churn.onnx; 40 sample predictions repeated" in imported.said[0].stdout
    assert "churn: version 2 imported from torch_mlp.onnx; 24 sample predictions repeated" in imported.said[1].stdout
    assert imported.ledger.routes() == {}
    for version in (1, 2):
        row = imported.ledger.version("churn", version)
        assert (row.state, row.verdict["verdict"], row.verdict["imported"]["format"]) == ("registered", "kept", "onnx")
        assert row.verdict["imported"]["largest_difference"] < 1e-6
        assert row.mlflow_run


def test_it_goes_live_is_monitored_and_rolled_back(imported: SimpleNamespace) -> None:
    settings, ledger = imported.settings, imported.ledger
    for version in ("1", "2"):
        done = aimass("promote", "churn", version, "--why", "trial", **imported.environment)
        assert done.returncode == 0, done.stderr
        assert "golden and 0 logged predictions repeated" in done.stdout
    sample = json.loads((HERE / "torch_mlp.json").read_text())[3]
    headers = {"Authorization": f"Bearer {ledger.issue_token('test', ['predict'])}"}

    def ask(row: dict[str, Any]) -> tuple[int, Any]:
        reply = client.post("/v1/models/churn:predict", json={"instances": [row]}, headers=headers)
        return reply.status_code, reply.json()

    with private_service(settings, "churn", 2, 60) as address:
        ledger.observe("churn", 2, "ready", address=address)
        with running(settings, ledger) as client:
            status, answer = ask({"tenure": sample["tenure"], "plan": sample["plan"]})
            assert status == 200, answer
            assert answer["predictions"][0]["probability"] == pytest.approx(sample["probability"], abs=1e-6)
            assert answer["predictions"][0]["prediction"] == sample["prediction"]
            for odd in ({"tenure": None, "plan": "unheard of"}, {"tenure": 1e30, "plan": None}):
                assert ask(odd)[0] == 200
            assert ask({"tenure": 3})[0] in (400, 422)
            assert ask({"tenure": 1.7e308, "plan": "yearly"})[0] < 500
        found = {each.kind: each for each in monitor(settings, spec=MonitorSpec()) if each.model == "churn"}
    assert found["service"].state == "ok", found["service"]
    assert found["age"].state == "ok"
    assert "was imported" in found["age"].message
    assert found["errors"].state in ("ok", "unknown"), found["errors"]
    done = aimass("rollback", "churn", "--why", "worse", **imported.environment)
    assert done.returncode == 0, done.stderr
    assert ledger.route("churn") == 1
    assert "golden and 0 logged" in done.stdout


def test_the_other_commands_know_it(imported: SimpleNamespace) -> None:
    for words in (
        ("status",), ("models",), ("show", "churn"), ("nights", "churn"), ("versions", "churn"), ("why", "churn"),
        ("explain", "churn", "--version", "2"), ("releases", "churn"), ("housekeeping", "--dry-run"), ("cost", "churn"),
    ):  # fmt: skip
        done = aimass(*words, **imported.environment)
        assert "does not foresee" not in done.stderr, done.stderr
        assert done.returncode == 0, (words, done.stderr)
    done = aimass("reproduce", "churn", "1", **imported.environment)
    assert done.returncode in (1, 2)
    assert "does not foresee" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": [{"name": "plan"}, {"name": "tenure", "fill": 0}]}, "takes texts"),
        ({"columns": [{"name": "tenure", "fill": 0}]}, "gets no column"),
        ({"classes": ["yes", "no"], "positive": "no"}, "row 0"),
        ({"output": {"name": "label"}}, "no output"),
        ({"task": "multiclass", "positive": None}, "task"),
    ],
)
def test_a_schema_that_does_not_fit_leaves_nothing(imported: SimpleNamespace, change: Any, said: str) -> None:
    files = sklearn_files(imported.root / "bad", 0, **change)
    before = [row.version for row in imported.ledger.versions("churn")]
    done = aimass(*words_of(files), **imported.environment)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert [row.version for row in imported.ledger.versions("churn")] == before
    assert not [path for path in imported.settings.staging.iterdir() if path.name.startswith("churn-import")]


def test_samples_that_it_does_not_repeat_name_the_first_row(imported: SimpleNamespace) -> None:
    files = sklearn_files(imported.root / "samples", 0)
    table = pd.read_csv(files["samples"])
    table.loc[7, "probability"] += 0.25
    table.to_csv(files["samples"], index=False)
    done = aimass(*words_of(files), **imported.environment)
    assert done.returncode == 2
    assert "1 of 40 predictions differ" in done.stderr
    assert "row 7, probability" in done.stderr
    assert "0.25" in done.stderr


def test_files_that_run_code_are_refused(imported: SimpleNamespace, tmp_path: Path) -> None:
    shutil.copy(imported.root / "0" / "churn.onnx", tmp_path / "model.pkl")
    files = sklearn_files(tmp_path, 0)
    done = aimass(*words_of(files | {"file": tmp_path / "model.pkl"}), **imported.environment)
    assert "run code" in done.stderr
    assert done.returncode == 2
