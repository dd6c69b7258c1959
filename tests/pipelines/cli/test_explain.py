"""`aimass explain`: the steps of a prediction, equal to that of the running service to the last bit."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from typer.testing import CliRunner

from pipelines.cli.explain import explain, read_row
from pipelines.cli.main import app
from pipelines.errors import DataError, DeployError
from pipelines.inference.service.client import ServiceClient

ROW = {"amount": "99.75", "town": " Łódź ", "age": 61}


@pytest.fixture
def at_home(served: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.setenv("AIMASS_HOME", str(served.settings.home))
    return served


def test_the_prediction_is_the_services_bit_for_bit(at_home: SimpleNamespace, tiny: ModuleType) -> None:
    rows = json.loads(tiny.rows(8, seed=9)[["amount", "town", "age"]].to_json(orient="records"))
    for row in [ROW, *rows]:
        with ServiceClient(at_home.url) as client:
            served = client.call("predict", {"columns": {name: [cell] for name, cell in row.items()}, "rows": 1})
        told = explain(at_home.settings, at_home.ledger, "demo", json.dumps(row), None)
        assert json.loads(json.dumps(told))["answer"] == {name: cells[0] for name, cells in served["outputs"].items()}
        assert told["service"] == "same"


def test_a_service_that_predicts_otherwise_is_told(at_home: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.cli.explain.ask_service", lambda *_: {"prediction": "no", "probability": 0.1})
    with pytest.raises(DeployError, match="another prediction"):
        explain(at_home.settings, at_home.ledger, "demo", json.dumps(ROW), 1)


@pytest.mark.usefixtures("at_home")
def test_the_steps_are_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> str:
        assert CliRunner().invoke(app, ["explain", "demo", *words]).exit_code == 0
        return capfd.readouterr().out

    text = run("--row", json.dumps(ROW | {"more": 1}))
    for part in (
        "raw -> clean",
        "clean -> features",
        "features -> members",
        "members -> prediction",
        "not needed: more",
    ):
        assert part in text
    assert "service: the same prediction, bit for bit" in text
    prediction = json.loads(next(line for line in text.splitlines() if line.startswith("prediction: "))[12:])
    (tmp_path / "row.json").write_text(json.dumps(ROW))
    assert json.loads(run("--row", f"@{tmp_path / 'row.json'}", "--json"))["answer"] == prediction
    assert json.loads(run("--version", "1", "--json"))["version"] == 1


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "{},{}", '{"amount": NaN}', '{"amount": 1e999}', '{"a": 1, "a": 2}', '{"a": [1]}', "@nowhere"],
)
def test_rows_that_the_service_refuses_are_refused(packaged: SimpleNamespace, text: str) -> None:
    with pytest.raises(DataError):
        explain(packaged.settings, packaged.ledger, "demo", text, 1)


def test_a_fault_names_a_position_in_the_given_text() -> None:
    schema = SimpleNamespace(example={"a": 1})
    for text, seen in (("{a: 1}", "line 1 column 2"), ("[" * 100_000, "recursion")):
        with pytest.raises(DataError) as caught:
            read_row(text, SimpleNamespace(schema=schema))
        assert seen in str(caught.value.seen)


def test_without_a_service_the_directory_predicts(packaged: SimpleNamespace) -> None:
    packaged.ledger.observe("demo", 1, "failed", detail="stopped")
    told = explain(packaged.settings, packaged.ledger, "demo", None, 1)
    assert told["service"] == "not running"
    assert told["answer"]["probability"] == told["members"][0]["answer"]["yes"]


def test_the_example_is_the_row_by_default() -> None:
    schema = SimpleNamespace(example={"a": 1})
    assert read_row(None, SimpleNamespace(schema=schema)) == {"a": 1}
