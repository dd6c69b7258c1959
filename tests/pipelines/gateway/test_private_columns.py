"""What a model declares private reaches no file of the prediction log, and a rollback says what it could not repeat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow.dataset as pads
import pytest
from gateways import running

from pipelines import settings as settings_module
from pipelines.deployment.replay import logged
from pipelines.deployment.rollback.spec import RollbackSpec
from pipelines.deployment.rollback.stage import run
from pipelines.deployment.serve import private_service
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.schema import FILE
from pipelines.inference.service.client import ServiceClient
from pipelines.ledger import Ledger
from pipelines.private_columns import hashed, hashing_key
from pipelines.secret_files import public_key
from pipelines.storage import resolve

pytestmark = pytest.mark.slow

DECLARED = {"town": "hash", "amount": "drop", "id": "hash"}
SECRETS = ("Genève", "Łódź", "4711.25", "customer-")


@pytest.fixture(scope="module")
def private(tiny: ModuleType, packaged: SimpleNamespace) -> Iterator[SimpleNamespace]:
    """Version 2 of the tiny model, which declares private columns, live; its service is up."""
    folder = packaged.root / "private"
    folder.mkdir()
    night = packaged.night_of("night-2", day=2)
    tiny.take_to_bento(folder, packaged.settings, night, 2, private=DECLARED)
    ledger = packaged.ledger
    with private_service(packaged.settings, "demo", 2, 60) as address:
        ledger.want("demo", 2, "serve")
        ledger.switch("demo", 1, 0, "first", "test")
        ledger.switch("demo", 2, 0, "second", "test")
        ledger.observe("demo", 2, "ready", address=address)
        yield SimpleNamespace(settings=packaged.settings, ledger=ledger, address=address)


def read_log(settings: settings_module.Settings, version: int) -> list[dict[str, Any]]:
    files = [str(path) for path in (settings.storage / "predictions" / "demo").rglob("*.parquet")]
    rows = pads.dataset(files).to_table().to_pylist()
    return [each for each in rows if each["version"] == version]


def ask(private: SimpleNamespace, rows: list[dict[str, Any]], ledger: Ledger) -> tuple[dict[str, Any], list[Any]]:
    headers = {"Authorization": f"Bearer {ledger.issue_token('caller', ['predict', 'feedback'], 1)}"}
    with running(private.settings, ledger) as client:
        reply = client.post("/v1/models/demo:predict", json={"instances": rows}, headers=headers)
        assert reply.status_code == 200, reply.text
        found = reply.json()
        label = {"model": "demo", "request_id": found["request_id"], "row": 0, "label": "yes"}
        assert client.post("/v1/feedback", json=label, headers=headers).status_code == 202
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        other = client.post("/v1/models/demo:predict", json={"inputs": columns}, headers=headers)
        split = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
        third = client.post("/models/demo/invocations", json={"dataframe_split": split}, headers=headers)
        refused = client.post("/v1/models/demo:predict", json={"instances": [{"town": "Genève"}]}, headers=headers)
        assert (other.status_code, third.status_code, refused.status_code) == (200, 200, 400)
    return found, read_log(private.settings, 2)


def test_the_log_holds_hashes_and_what_is_not_private(private: SimpleNamespace) -> None:
    rows = [
        {"id": f"customer-{number % 2}", "amount": "4711.25", "town": town, "age": 30 + number}
        for number, town in enumerate(("Genève", "Łódź", "Genève", None))
    ]
    found, log = ask(private, rows, Ledger.open(private.settings))
    assert len(log) == 12, "three dialects of four rows"
    for path in (private.settings.storage / "predictions").rglob("*.parquet"):
        text = str(pads.dataset([str(path)]).to_table().to_pylist())
        assert not [secret for secret in SECRETS if secret in text]
    mine = [each for each in log if each["request_id"] == found["request_id"]]
    cells = [json.loads(each["instance"]) for each in sorted(mine, key=lambda each: each["row"])]
    key = hashing_key(private.settings)
    assert [cell["town"] for cell in cells] == [hashed(town, key) for town in ("Genève", "Łódź", "Genève", None)]
    assert [cell["id"] for cell in cells] == [hashed(f"customer-{number % 2}", key) for number in range(4)]
    assert [cell["age"] for cell in cells] == [30, 31, 32, 33]
    assert not [cell for cell in cells if "amount" in cell]
    predicted = [json.loads(each["prediction"]) for each in sorted(mine, key=lambda each: each["row"])]
    assert [each["prediction"] for each in predicted] == [
        each["prediction"] if isinstance(each, dict) else each for each in found["predictions"]
    ]
    labels = [str(path) for path in (private.settings.storage / "feedback" / "demo").rglob("*.parquet")]
    (label,) = pads.dataset(labels).to_table().to_pylist()
    assert label["request_id"] == mine[0]["request_id"], "labels still join with what was predicted"


def test_a_service_says_what_is_private_and_the_schema_only_if_declared(private: SimpleNamespace) -> None:
    with ServiceClient(private.address) as client:
        assert client.call("describe")["private"] == DECLARED
    first, second = (
        resolve(private.settings, private.ledger.version("demo", version).model_uri) / FILE for version in (1, 2)
    )
    assert json.loads(second.read_bytes())["private"] == DECLARED
    assert b"private" not in first.read_bytes()


def test_rows_with_private_cells_are_left_out_of_a_replay_and_counted(private: SimpleNamespace) -> None:
    assert read_log(private.settings, 2), "the test before has logged"
    opened = ModelDirectory.open(
        resolve(private.settings, private.ledger.version("demo", 2).model_uri), public_key(private.settings)
    )
    found = logged(private.settings.storage, "demo", None, 1_000, opened.schema)
    assert (found.pairs, found.left_out) == ([], 12)
    assert logged(private.settings.storage, "demo", None, 5, opened.schema).left_out == 5
    private.ledger.switch("demo", 1, 0, "back", "test")
    done = run(RollbackSpec(model="demo", to=2, why="test"), settings=private.settings).stats
    assert (done["version"], done["logged_rows"], done["logged_rows_left_out"]) == (2, 0, 12)


def test_a_version_without_a_declaration_is_logged_as_ever(
    private: SimpleNamespace, tiny_service: str, tmp_path: Path
) -> None:
    private.ledger.want("demo", 1, "serve")
    private.ledger.observe("demo", 1, "ready", address=tiny_service)
    row = {"id": 7, "amount": "4711.25", "town": "Genève", "age": 30}
    ledger = Ledger.open(private.settings)
    headers = {"Authorization": f"Bearer {ledger.issue_token('caller', ['predict'], 1)}"}
    with running(private.settings, ledger) as client:
        reply = client.post("/v1/models/demo/versions/1:predict", json={"instances": [row]}, headers=headers)
        assert reply.status_code == 200
    (only,) = read_log(private.settings, 1)
    assert json.loads(only["instance"]) == row
