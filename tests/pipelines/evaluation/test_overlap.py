from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import learning
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipelines.errors import GateError
from pipelines.evaluation.comparison import overlap
from pipelines.evaluation.comparison.overlap import trained_on, unseen
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.schema import ServeSchema
from pipelines.row_hash import TRAINING_KEYS, among, key_hash, load_keys, save_keys

MODEL = learning.make_night("binary").model


def version(folder: Path, keys: list[str]) -> ModelDirectory:
    folder.mkdir()
    save_keys(folder / TRAINING_KEYS, key_hash(pa.array(keys, pa.string()), 0))
    return ModelDirectory(folder, "")


def rows(*keys: str | None) -> pd.DataFrame:
    return pd.DataFrame({"_key": pd.array(keys, dtype="object")})


@pytest.fixture(autouse=True)
def schema(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Every champion has the key of the model."""
    found = SimpleNamespace(key=MODEL.key, time=MODEL.time)
    monkeypatch.setattr(ServeSchema, "load", lambda folder: found)
    return found


def test_sets_of_keys_are_compact_and_exact(tmp_path: Path) -> None:
    hashes = key_hash(pa.array([f"order-{number}" for number in range(200_000)]), 0)
    assert save_keys(tmp_path / "keys.parquet", np.concatenate([hashes, hashes[:9]])) == 200_000
    assert (tmp_path / "keys.parquet").stat().st_size < 8 * 200_000
    found = load_keys(tmp_path / "keys.parquet")
    np.testing.assert_array_equal(found, np.sort(hashes))
    assert among(hashes[::7], found).all()
    assert not among(key_hash(pa.array(["x", None, ""]), 0), found).any()
    assert not among(hashes[:3], np.empty(0, np.uint64)).any()


@pytest.mark.fault
def test_a_sealed_row_that_the_model_trained_on_is_named(tmp_path: Path) -> None:
    model = version(tmp_path / "m", ["1", "2"])
    with pytest.raises(GateError, match="the model trained on sealed rows") as caught:
        unseen(rows("2", "3"), model, None, MODEL)
    assert caught.value.faults == ["key '2'"]
    assert len(unseen(rows("3", None), model, None, MODEL)) == 2


def test_few_rows_of_the_champion_are_left_out_for_all(
    tmp_path: Path, schema: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    model = version(tmp_path / "m", ["1"])
    live = version(tmp_path / "live", ["50", "zz"])
    sealed = rows(*[str(number) for number in range(40, 80)])
    assert unseen(sealed, model, live, MODEL)["_key"].tolist() == [key for key in sealed["_key"] if key != "50"]
    assert "trained on 1 sealed rows" in caplog.text
    many = version(tmp_path / "many", [str(number) for number in range(40, 60)])
    with pytest.raises(GateError, match="version that is live") as caught:
        unseen(sealed, model, many, MODEL)
    assert caught.value.seen == "20 of 40 sealed rows"
    assert len(caught.value.faults) == overlap.MAX_NAMED
    schema.key = ("other",)
    assert len(unseen(sealed, model, many, MODEL)) == 40


def test_versions_without_their_keys_are_read(tmp_path: Path) -> None:
    assert not trained_on(ModelDirectory(tmp_path, ""), rows("1")["_key"]).any()
