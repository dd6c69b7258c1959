# ruff: noqa: DTZ001 - clean moments are naive UTC
from __future__ import annotations

import json
import os
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import DataError, SpecError
from pipelines.holdout import MISSING, canonical_key
from pipelines.inference.enrichment import lookup as lookup_module
from pipelines.inference.enrichment.request import EMPTY, FILE, Computed, Enrichment, Lookup, key_texts
from pipelines.inference.recipe.row_recipe import Column, RowRecipe

AS_OF = "2013-09-30T00:00:00Z"
PLANES = Lookup(
    "planes",
    ("tail num",),
    ("built", "maker", "seen"),
    pa.table(
        {
            "_key": ["N2", "N1", "7"],
            "built": pa.array([None, 1999, 2001], pa.int64()),
            "maker": ["B", " a ", None],
            "seen": pa.array([datetime(2013, 1, 2), None, datetime(2013, 1, 3, 4)], pa.timestamp("us")),
        }
    ),
    AS_OF,
)
MAKERS = Lookup(
    "makers", ("maker", "coast"), ("share",), pa.table({"_key": ["B\x1f1"], "share": [0.25]}), AS_OF, "as_of"
)
WHOLE = Enrichment(
    (MAKERS, PLANES),
    (
        Computed("age", "year - built"),
        Computed("late", "delay >= 15", "never"),
        Computed("wind", "speed * 2", "caller"),
        Computed("old", "age > 12 and missing(share)"),
    ),
    ("late",),
)
CELL = st.one_of(
    st.sampled_from(["N1", " N1 ", "N2", "7", "7.0", "007", 7, 7.0, True, "True", "", "?", "x\x1fy", "\x00", "\ud800"]),
    st.none(),
    st.floats(),
    st.integers(-(10**30), 10**30),
    st.text(max_size=3),
    st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1)),
    st.decimals(allow_nan=True, allow_infinity=True, places=2),
    st.just([1]),
)


def frame_of(rows: list[dict[str, Any]], names: list[str]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in names})


def cells(values: Any) -> list[Any]:
    return [None if value is pd.NA or value is pd.NaT else value for value in values]


def test_what_is_added_and_what_must_be_sent() -> None:
    assert WHOLE.added == ["built", "maker", "seen", "share", "age", "old"]
    assert WHOLE.requested(["age", "delay", "wind"]) == ["year", "tail num", "delay", "wind"]
    assert WHOLE.requested(["old"]) == ["year", "tail num", "coast"]
    assert WHOLE.requested([]) == []
    assert WHOLE.made == {"built", "maker", "seen", "share", "age", "old", "late", "wind"}
    assert WHOLE.reads["year"] == "number"
    assert WHOLE.reads["tail num"] == "category"


def test_a_part_keeps_only_what_its_columns_need() -> None:
    part = WHOLE.subset(["age", "delay"])
    assert part.added == ["built", "age"]
    assert [lookup.columns for lookup in part.lookups] == [("built",)]
    assert part.lookups[0].table.column_names == ["_key", "built"]
    assert WHOLE.subset(["share"]).added == ["maker", "share"]
    assert not WHOLE.subset(["delay"])
    assert WHOLE.subset(WHOLE.added).added == WHOLE.added


@given(st.lists(st.fixed_dictionaries({"tail num": CELL, "coast": CELL, "year": CELL}), min_size=1, max_size=8))
def test_a_table_and_its_rows_are_enriched_alike(rows: list[dict[str, Any]]) -> None:
    frame = frame_of(rows, ["tail num", "coast", "year"])
    batch = WHOLE.apply(frame)
    singly = [WHOLE.apply_row(row) for row in rows]
    for name in WHOLE.added:
        assert cells(batch[name]) == [row[name] for row in singly]


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8))
def test_keys_are_those_of_sealing(parts: list[tuple[Any, Any]]) -> None:
    keys = key_texts([pd.Series([part[side] for part in parts], dtype=object) for side in (0, 1)]).to_pylist()
    for part, key in zip(parts, keys, strict=True):
        no_key = any(
            isinstance(one, list)
            or one == "\ud800"
            or canonical_key([one]) == MISSING
            or (isinstance(one, Decimal) and one.is_nan())
            for one in part
        )
        assert key == (None if no_key else canonical_key(part))


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["N1", None, "7", "zz"]),
        pa.chunked_array([["N1", None], ["7.0", "zz"]]),
        pd.Series(["N1", np.nan, " 7 ", "zz"]),
        pa.array(["N1", None, "7", "zz"]).dictionary_encode(),
        pd.Series(["N1", None, 7, "zz"], dtype=object),
    ],
)
def test_keys_of_any_column_find_the_same_rows(column: Any) -> None:
    built, maker, seen = PLANES.find({"tail num": column})
    assert built.to_pylist() == [1999, None, 2001, None]
    assert maker.to_pylist() == [" a ", None, None, None]
    assert seen.type == pa.timestamp("us")


def test_many_distinct_keys_are_found_too(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"k{number}" for number in range(9_000)]
    big = Lookup("big", ("k",), ("v",), pa.table({"_key": keys, "v": np.arange(9_000)}), AS_OF)
    asked = pa.array([*keys[::-1], "none", None])
    expected = [*range(8_999, -1, -1), None, None]
    assert big.find({"k": asked})[0].to_pylist() == expected
    monkeypatch.setattr(lookup_module, "FEW", 10**9)
    assert big.find({"k": asked})[0].to_pylist() == expected


def test_numbers_as_keys_and_odd_cells() -> None:
    by_number = Lookup("n", ("k",), ("v",), pa.table({"_key": ["1", "2.5"], "v": ["a", "b"]}), AS_OF)
    for key in (1, 1.0, "1", " 1.00 ", Decimal("1.0"), np.int64(1), np.float32(1)):
        assert by_number.find_row({"k": key}) == {"v": "a"}
    for key in (None, float("nan"), pd.NA, pd.NaT, [1], {"a": 1}, 10**5000, "1" * 5000, "\ud800", True, "01"):
        assert by_number.find_row({"k": key}) == {"v": None}
        assert by_number.find({"k": pd.Series([key, "2.5", 3], dtype=object)})[0].to_pylist() == [None, "b", None]
    assert by_number.find_row({}) == {"v": None}
    days = Lookup("d", ("k",), ("v",), pa.table({"_key": ["2013-01-02"], "v": [1]}), AS_OF)
    assert days.find({"k": pa.array([date(2013, 1, 2), None])})[0].to_pylist() == [1, None]
    assert days.find_row({"k": "2013-01-02"}) == {"v": 1}


def test_own_values_are_replaced_and_the_frame_is_left_alone() -> None:
    frame = pd.DataFrame(
        {"built": ["mine", "mine"], "tail num": ["N1", "?"], "coast": "1", "year": [2013, 2013], "x": [1, 2]},
        index=[7, 3],
    )
    before = frame.copy()
    full = WHOLE.apply(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert list(full.index) == [7, 3]
    assert cells(full["built"]) == [1999, None]
    assert cells(full["age"]) == [14.0, None]
    assert list(full["x"]) == [1, 2]
    assert list(full.columns) == ["tail num", "coast", "year", "x", *WHOLE.added]
    assert EMPTY.apply(frame) is frame
    assert WHOLE.apply(frame.iloc[:0]).shape == (0, 10)
    with pytest.raises(DataError, match="columns of the model") as caught:
        WHOLE.apply(frame.drop(columns=["tail num", "coast"]))
    assert len(caught.value.faults) == 2


def test_a_column_may_be_computed_from_the_sent_one_of_its_name() -> None:
    whole = Enrichment((), (Computed("x", "x * 2"), Computed("y", "x + 1")))
    assert whole.requested(["y"]) == ["x"]
    assert whole.apply_row({"x": 2}) == {"x": 4.0, "y": 5.0}
    assert whole.apply(pd.DataFrame({"x": ["2"]})).iloc[0].to_dict() == {"x": 4.0, "y": 5.0}


def test_the_recipe_reads_looked_up_cells_as_it_reads_joined_ones() -> None:
    recipe = RowRecipe((Column("built", "category"), Column("maker", "category"), Column("seen", "date")))
    sent = pd.DataFrame({"tail num": ["N1", "7", "N2", "zz"]})
    enriched = WHOLE.subset(["built", "maker", "seen"]).apply(sent)
    joined = PLANES.table.take([1, 2, 0]).to_pylist()
    looked_up, bad = recipe.apply(enriched)
    trained, _ = recipe.apply(pa.Table.from_pylist([*joined, {}], PLANES.table.schema))
    pd.testing.assert_frame_equal(looked_up, trained)
    assert not bad.any(axis=None)
    for index, key in enumerate(sent["tail num"]):
        singly = recipe.apply_row(WHOLE.apply_row({"tail num": key}))
        assert singly == {name: None if pd.isna(cell) else cell for name, cell in trained.iloc[index].items()}


def test_nan_in_a_table_is_null() -> None:
    table = Lookup("t", ("k",), ("v",), pa.table({"_key": ["a"], "v": [float("nan")]}), AS_OF)
    assert table.find_row({"k": "a"}) == {"v": None}
    assert table.find({"k": pa.array(["a"])})[0].to_pylist() == [None]


@pytest.mark.parametrize(
    ("lookups", "computed", "hidden", "fault"),
    [
        ((PLANES,), (Computed("maker", "1"),), (), "'maker' is added twice"),
        ((), (Computed("b", "late + 1"), Computed("late", "d > 1", "never")), ("late",), "needs 'late'"),
        ((), (Computed("a", "b + 1"), Computed("b", "a + 1")), (), "wait for each other"),
        ((), (Computed("a", "open('x')"),), (), "language"),
    ],
)
def test_columns_that_do_not_fit_are_refused(lookups: Any, computed: Any, hidden: Any, fault: str) -> None:
    with pytest.raises(SpecError) as caught:
        Enrichment(lookups, computed, hidden)
    assert fault in str(caught.value)


def test_many_steps_in_diamonds_are_asked_once() -> None:
    steps = []
    for number in range(60):
        steps += [
            Computed(f"a{number + 1}", f"a{number} + b{number}"),
            Computed(f"b{number + 1}", f"a{number}+b{number}"),
        ]
    assert Enrichment((), tuple(steps)).requested(["a60", "b60"]) == ["a0", "b0"]


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    for name in ("one", "two"):
        WHOLE.save(tmp_path / name)
    assert {path.name for path in (tmp_path / "one").iterdir()} == {FILE, "planes.parquet", "makers.parquet"}
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600
    loaded = Enrichment.load(tmp_path / "one")
    assert loaded == WHOLE
    assert loaded != WHOLE.subset(["age"])
    row = {"tail num": "N1", "year": 2013}
    assert loaded.apply_row(row) == WHOLE.apply_row(row)
    assert loaded.describe()[1] == {
        "name": "planes",
        "on": ["tail num"],
        "columns": ["built", "maker", "seen"],
        "as_of": AS_OF,
        "kind": "static",
        "rows": 3,
    }
    assert Enrichment.load(tmp_path / "absent") is EMPTY
    EMPTY.save(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def change_json(folder: Path, **values: Any) -> None:
    content = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps({**content, **values}))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 0x10
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / FILE).unlink(),
        lambda folder: (folder / FILE).write_text("[1]"),
        lambda folder: (folder / FILE).write_text("[" * 100_000),
        lambda folder: os.truncate(folder / FILE, 5 << 20),
        lambda folder: (folder / "planes.parquet").unlink(),
        lambda folder: flip(folder / "planes.parquet"),
        lambda folder: (folder / "planes.parquet").write_bytes(b"PAR1"),
        lambda folder: pq.write_table(pa.table({"_key": ["a", "a"], "built": [1, 2]}), folder / "planes.parquet"),
        lambda folder: change_json(folder, format=2),
        lambda folder: change_json(folder, lookups=[{**PLANES.facts(), "name": "../planes"}]),
        lambda folder: change_json(folder, lookups=[{**PLANES.facts(), "columns": ["maker"]}]),
        lambda folder: change_json(folder, computed=[{"name": "a", "expression": "1", "serve": "x"}]),
        lambda folder: change_json(folder, computed=[{"name": "a", "expression": "1", "serve": "never"}] * 1_001),
    ],
)
def test_damage_is_refused(tmp_path: Path, damage: Any) -> None:
    WHOLE.save(tmp_path / "e")
    damage(tmp_path / "e")
    with pytest.raises(DataError):
        Enrichment.load(tmp_path / "e")


def test_tables_that_no_model_should_carry_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WHOLE.save(tmp_path / "e")
    monkeypatch.setattr(lookup_module, "MAX_ROWS", 2)
    with pytest.raises(SpecError, match="too large") as caught:
        PLANES.save(tmp_path)
    assert "serve='caller'" in caught.value.cure
    with pytest.raises(DataError, match="too large"):
        Enrichment.load(tmp_path / "e")
    monkeypatch.setattr(lookup_module, "MAX_ROWS", 10)
    monkeypatch.setattr(lookup_module, "MAX_BYTES", 100)
    with pytest.raises(SpecError, match="too large"):
        PLANES.save(tmp_path)
    with pytest.raises(DataError, match="too large"):
        Enrichment.load(tmp_path / "e")
    doubled = Lookup("t", ("k",), ("v",), pa.table({"_key": ["a", "b", "a"], "v": [1, 2, 3]}), AS_OF)
    with pytest.raises(DataError, match="several rows for a key") as wrong:
        doubled.save(tmp_path)
    assert "'a'" in wrong.value.seen
    with pytest.raises(DataError, match="types that no row has"):
        Lookup("t", ("k",), ("v",), pa.table({"_key": ["a"], "v": [[1]]}), AS_OF)
    with pytest.raises(SpecError, match="bad name"):
        Lookup("../t", ("k",), ("v",), pa.table({"_key": ["a"], "v": [1]}), AS_OF)
