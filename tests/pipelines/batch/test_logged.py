"""A sample of a batch is in the prediction log, so that the monitor sees what batch-only models are asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow.dataset as pads
import pytest

from pipelines import storage
from pipelines.batch import logged, predict
from pipelines.batch.logged import BATCH_ID, outputs_of
from pipelines.batch.predict import predict_file
from pipelines.deployment.rollback.spec import RollbackSpec
from pipelines.deployment.rollback.stage import run
from pipelines.gateway.prediction_log import SCHEMA
from pipelines.inference.golden import predictions_difference
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.predictor import Predictor
from pipelines.inference.records import by_row
from pipelines.monitoring.stage import monitor
from pipelines.private_columns import hashed, hashing_key
from pipelines.secret_files import public_key

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def live(packaged: SimpleNamespace, tiny: ModuleType) -> SimpleNamespace:
    """Version 1, live, and version 2, whose columns are private in part."""
    folder = packaged.root / "second"
    folder.mkdir()
    declared = {"town": "hash", "amount": "drop", "id": "hash"}
    tiny.take_to_bento(folder, packaged.settings, packaged.night_of("night-2", 2, 2), seed=1, private=declared)
    packaged.ledger.switch("demo", 2, 0, "test", "test")
    packaged.ledger.switch("demo", 1, 0, "test", "test")
    return packaged


@pytest.fixture(autouse=True)
def empty_log(live: SimpleNamespace) -> Iterator[None]:
    yield
    shutil.rmtree(live.settings.storage / "predictions", ignore_errors=True)


def predicted(
    live: SimpleNamespace, rows: pd.DataFrame, folder: Path, version: int | None = None
) -> list[dict[str, Any]]:
    """Predict a file of rows; return what the log has of it."""
    rows.to_csv(folder / "in.csv", index=False)
    done = predict_file(live.settings, live.ledger, "demo", folder / "in.csv", folder / "out.csv", version)
    assert done["rows"] == len(rows) == len(pd.read_csv(folder / "out.csv"))
    return read_log(live)


def read_log(live: SimpleNamespace) -> list[dict[str, Any]]:
    files = sorted(map(str, (live.settings.storage / "predictions" / "demo").rglob("*.parquet")))
    found: list[dict[str, Any]] = pads.dataset(files, schema=SCHEMA).to_table().to_pylist() if files else []
    return found


def predictor_of(live: SimpleNamespace, version: int) -> Predictor:
    place = storage.resolve(live.settings, live.ledger.version("demo", version).model_uri)
    return ModelDirectory.open(place, public_key(live.settings)).predictor


def test_its_rows_are_logged_as_requests_are(
    live: SimpleNamespace, tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "PART_CELLS", 2500)
    rows = predicted(live, tiny.rows(1000, seed=5), tmp_path)
    parts = {row["request_id"] for row in rows}
    assert len(rows) == 1000
    assert len(parts) > 1
    assert all(part.startswith(BATCH_ID) for part in parts)
    assert {(row["model"], row["version"], row["status"]) for row in rows} == {("demo", 1, 200)}
    instances = [json.loads(row["instance"]) for row in rows]
    assert sorted(int(cell["id"]) for cell in instances) == list(range(1000))
    again = predictor_of(live, 1).predict_rows(instances)
    assert predictions_difference(again, [json.loads(row["prediction"]) for row in rows]) <= 1e-9


def test_the_sample_is_bounded_and_drawn_from_all_of_it(
    live: SimpleNamespace, tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "PART_CELLS", 2500)
    monkeypatch.setattr(logged, "SAMPLE_ROWS", 200)
    rows = predicted(live, tiny.rows(2000, seed=5), tmp_path)
    assert 150 < len(rows) < 250
    numbers = [int(json.loads(row["instance"])["id"]) for row in rows]
    assert min(numbers) < 100
    assert max(numbers) > 1900
    monkeypatch.setattr(logged, "SAMPLE_CELLS", 0)
    before = len(read_log(live))
    predicted(live, tiny.rows(100, seed=6), tmp_path)
    assert len(read_log(live)) == before


def test_private_columns_are_private_here_too(live: SimpleNamespace, tiny: ModuleType, tmp_path: Path) -> None:
    frame = tiny.rows(50, seed=5)
    rows = predicted(live, frame, tmp_path, version=2)
    assert len(rows) == 50
    key = hashing_key(live.settings)
    for row, town in zip(rows, frame["town"], strict=True):
        cells = json.loads(row["instance"])
        assert cells.keys() == {"id", "town", "age"}
        assert cells["town"] == hashed(town, key)


def test_a_log_that_cannot_be_written_costs_the_batch_nothing(
    live: SimpleNamespace, tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (live.settings.storage / "predictions").write_text("no folder")
    try:
        tiny.rows(20).to_csv(tmp_path / "in.csv", index=False)
        done = predict_file(live.settings, live.ledger, "demo", tmp_path / "in.csv", tmp_path / "out.csv", None)
    finally:
        (live.settings.storage / "predictions").unlink()
    assert done["rows"] == 20


def test_the_monitor_sees_drift_of_a_model_that_is_only_asked_in_batches(
    live: SimpleNamespace, tiny: ModuleType, tmp_path: Path
) -> None:
    ledger, night = live.ledger, live.night
    ledger.open_night(night, "local")
    fence = ledger.begin_stage("demo", night.night, "evaluate")
    staging = storage.stage_folder(live.settings, "evaluate")
    shares = [0.25, 0.25, 0.25, 0.25]
    reference = {"age": {"kind": "number", "edges": [36, 54, 72], "shares": shares}}
    (staging / "reference.json").write_text(json.dumps(reference))
    uri = "nights/demo/night-1/evaluate-1"
    digest = storage.publish(staging, storage.resolve(live.settings, uri), stage="evaluate")
    ref = {"uri": uri, "digest": digest, "stage": "evaluate", "rows": None, "meta": {}}
    ledger.finish_stage("demo", night.night, "evaluate", fence, state="done", ref=ref)

    def drift() -> Any:
        return next(each for each in monitor(live.settings, probe=lambda _: "") if each.kind == "drift")

    assert drift().state == "unknown"
    predicted(live, tiny.rows(800, seed=5), tmp_path)
    assert drift().state == "ok", drift().message
    shutil.rmtree(live.settings.storage / "predictions")
    older = tiny.rows(800, seed=6).assign(age=lambda rows: rows["age"] + 40)
    predicted(live, older, tmp_path)
    found = drift()
    assert found.state == "alert"
    assert "age (PSI" in found.message


def test_a_rollback_repeats_what_a_batch_predicted(live: SimpleNamespace, tiny: ModuleType, tmp_path: Path) -> None:
    predicted(live, tiny.rows(300, seed=7), tmp_path)
    live.ledger.switch("demo", 2, 0, "test", "test")
    done = run(RollbackSpec(model="demo", to=1, why="test"), settings=live.settings).stats
    assert (done["version"], done["logged_rows"], done["logged_rows_left_out"]) == (1, 300, 0)


def test_outputs_are_those_of_a_service(live: SimpleNamespace, tiny: ModuleType) -> None:
    predictor = predictor_of(live, 1)
    raw = tiny.rows(40, seed=3)
    frame = predictor.predict_frame(raw)
    chosen = pd.Series(range(0, 40, 3)).to_numpy()
    clean, _ = predictor.recipe.apply(predictor.enrichment.apply(raw[predictor.requested]))
    served = by_row(predictor.output_columns(predictor.plan.transform(clean.iloc[chosen])))
    assert by_row(outputs_of(predictor, frame, chosen)) == served
