# ruff: noqa: DTZ001 - clean moments are naive UTC
from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import DataError
from pipelines.inference.recipe import columns
from pipelines.inference.recipe.number_parsing import Change, NumberText
from pipelines.inference.recipe.row_recipe import Column, RowRecipe

RECIPE = RowRecipe(
    (
        Column("n / m", "number"),
        Column("c.(x)", "category"),
        Column("d", "date", ("%m/%d/%Y",)),
        Column("id", "dropped"),
    ),
    missing=("", "?", "na", "-99"),
)
TEXT = st.one_of(
    st.sampled_from(
        [" 1", "1.0", "?", "NA", " Private", "-99.0", "x", "1e5", "1e999", "TRUE", "2/30/2020", "1/2/2020"]
    ),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=5),
    st.floats(width=32).map(str),
)
MIXED = st.one_of(
    TEXT,
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.datetimes(min_value=datetime(1700, 1, 1), max_value=datetime(2200, 1, 1)),
    st.lists(st.integers(), max_size=1),
)


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {name: None if pd.isna(value) else value for name, value in row.items()} for row in frame.to_dict("records")
    ]


def same_as_rows(raw: list[dict[str, Any]], frame: pd.DataFrame | pa.Table, recipe: RowRecipe = RECIPE) -> None:
    singly = [recipe.read_row(row) for row in raw]
    for few in (0, columns.FEW_DISTINCT):  # with Arrow where it can, and without
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(columns, "FEW_DISTINCT", few)
            clean, bad = recipe.apply(frame)
        marked = [[name for name in recipe.names if row[name]] for row in bad.to_dict("records")]
        assert [row for row, _ in singly] == rows_of(clean)
        assert [names for _, names in singly] == marked


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=8))
def test_a_text_frame_reads_like_its_rows(values: list[tuple[str, str, str]]) -> None:
    raw = [dict(zip(RECIPE.names, cells, strict=True)) for cells in values]
    same_as_rows(raw, pd.DataFrame(raw, dtype="str"))
    same_as_rows(raw, pa.table({name: pa.array([row[name] for row in raw], pa.string()) for name in RECIPE.names}))


@given(st.lists(st.tuples(MIXED, MIXED, MIXED), min_size=1, max_size=8))
def test_a_mixed_frame_reads_like_its_rows(values: list[tuple[Any, Any, Any]]) -> None:
    raw = [dict(zip(RECIPE.names, cells, strict=True)) for cells in values]
    columns = {name: pd.Series([row[name] for row in raw], dtype=object) for name in RECIPE.names}
    same_as_rows(raw, pd.DataFrame(columns))


@given(st.lists(st.tuples(MIXED, MIXED, MIXED), min_size=1, max_size=8))
def test_applying_twice_changes_nothing(values: list[tuple[Any, Any, Any]]) -> None:
    names = RECIPE.names
    columns = {name: pd.Series([cells[index] for cells in values], dtype=object) for index, name in enumerate(names)}
    once, _ = RECIPE.apply(pd.DataFrame(columns))
    twice, bad = RECIPE.apply(once)
    pd.testing.assert_frame_equal(once, twice)
    assert not bad.to_numpy().any()


@pytest.mark.parametrize(
    "typed",
    [
        pd.Series([1, 2, 3]),
        pd.Series([1, 2, None], dtype="Int64"),
        pd.Series([1.5, np.nan, 3]),
        pd.Series([True, False, True]),
        pd.Series(["1", None, "x"], dtype="string[pyarrow]"),
        pd.Series(["1", "b", "1"], dtype="category"),
        pd.Series([1, 2, 3], dtype="uint8[pyarrow]"),
        pd.Series([date(2020, 1, 1), None, date(2020, 1, 3)], dtype=object),
    ],
)
def test_typed_columns_read_like_their_cells(typed: pd.Series[Any]) -> None:
    frame = pd.DataFrame(dict.fromkeys(RECIPE.names, typed))
    cells = [None if pd.isna(value) else value for value in typed]
    same_as_rows([dict.fromkeys(RECIPE.names, value) for value in cells], frame)


def test_dtypes_and_index_whatever_comes_in() -> None:
    raw = pd.DataFrame({"id": [1, 2], "d": [None, "1/2/2020"], "c.(x)": [1, "b"], "n / m": ["x", " 2 "]}, index=[7, 3])
    clean, bad = RECIPE.apply(raw)
    assert list(clean.columns) == ["n / m", "c.(x)", "d"]
    assert [str(kind) for kind in clean.dtypes] == ["float64", "str", "datetime64[us]"]
    assert list(clean.index) == [7, 3]
    assert bad["n / m"].tolist() == [True, False]
    empty, _ = RECIPE.apply(raw.iloc[:0])
    assert [str(kind) for kind in empty.dtypes] == ["float64", "str", "datetime64[us]"]


ISO = st.one_of(
    st.datetimes(min_value=datetime(1000, 1, 1)).map(lambda moment: moment.isoformat()),
    st.datetimes(min_value=datetime(1000, 1, 1)).map(lambda moment: moment.isoformat(" ", "seconds")),
    st.dates(min_value=date(1000, 1, 1)).map(lambda day: day.isoformat()),
    st.sampled_from(
        ["2020-02-30", "2020-01-01T24:00:00", "2020-01-01 00:00:60", "2020-01-01 10:00:00.5", "0000-01-01"]
    ),
    st.sampled_from([" 2020-01-01", "2020-01-01T10:00Z", "2020-01-01 10:00:00+02:00", "?", "soon"]),
)


@given(st.lists(ISO, min_size=1, max_size=8))
def test_iso_dates_read_like_their_rows(texts: list[str]) -> None:
    recipe = RowRecipe((Column("d", "date"),))
    clean, bad = recipe.apply(pd.DataFrame({"d": pd.Series(texts, dtype="str")}))
    singly = [recipe.read_row({"d": text}) for text in texts]
    assert [row for row, _ in singly] == rows_of(clean)
    assert [bool(names) for _, names in singly] == bad["d"].tolist()


def test_time_zones_become_utc() -> None:
    times = pd.Series(pd.to_datetime(["2024-06-01 12:00"])).dt.tz_localize("Europe/Berlin")
    clean, _ = RECIPE.subset(["d"]).apply(pd.DataFrame({"d": times}))
    assert clean["d"][0] == pd.Timestamp("2024-06-01 10:00")


def test_missing_and_doubled_columns_are_named_together() -> None:
    raw = pd.DataFrame([[1, 2]], columns=["d", "d"])
    with pytest.raises(DataError) as caught:
        RECIPE.apply(raw)
    assert len(caught.value.faults) == 3
    assert "'n / m'" in str(caught.value)


def test_json_is_stable_and_complete() -> None:
    text = RECIPE.to_json()
    assert RowRecipe.from_json(text) == RECIPE
    assert RowRecipe.from_json(text).to_json() == text


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(DataError, match="format"):
        RowRecipe.from_json('{"format": 99}')


ALL = RowRecipe(
    (
        Column(
            "n",
            "number",
            missing=("999", "void"),
            written=NumberText(thousands=",", currency=True, suffixes=(("kg", 1.0), ("g", 0.001), ("%", 0.01))),
            change=Change(unit=(0.4536, -1.0), slip=(1000.0, -50.0, 50.0), clip=(-40.0, 45.0)),
        ),
        Column("g", "number", written=NumberText(decimal=",", thousands="."), change=Change(clip=(None, 1e6))),
        Column("c", "category", missing=("unknown",), repair=("case", "spaces", "dots"), aliases=(("m", "Male"),)),
        Column("u", "category", missing=("-1",)),
        Column("d", "date", missing=("1900-01-01",)),
    )
)
DIRTY = st.one_of(
    MIXED,
    st.sampled_from(
        [
            "1,234.5",
            "1.234,5",
            "$5",
            "7 kg",
            "250g",
            "12 %",
            "999",
            "999.0",
            "9.99e2",
            999,
            999.0,
            "VOID",
            "1,2x",
            "12e",
            "MALE",
            " m. ",
            "M",
            "unknown.",
            "New   York",
            "a\x00b",
            "\x7f",
            "a\x0bb",
            "x" * 4097,
            "1900-01-01",
            "-1",
            "-0",
            "true.",
            "1.0.",
            40_000,
            -40_000,
            1e308,
            "1e308",
            1e-300,
            "...",
        ]
    ),
)


@given(st.lists(st.tuples(*[DIRTY] * 5), min_size=1, max_size=8), st.booleans())
def test_every_declared_repair_gives_a_row_what_it_gives_a_frame(values: list[tuple[Any, ...]], texts: bool) -> None:
    cells = [[str(cell) if texts and cell is not None else cell for cell in row] for row in values]
    raw = [dict(zip(ALL.names, row, strict=True)) for row in cells]
    dtype = "str" if texts else object
    frame = pd.DataFrame({name: pd.Series([row[name] for row in raw], dtype=dtype) for name in ALL.names})
    same_as_rows(raw, frame, ALL)


@given(st.lists(st.integers(-2000, 2000) | st.none(), min_size=1, max_size=8))
def test_declared_repairs_of_typed_columns(values: list[int | None]) -> None:
    raw = [dict.fromkeys(["n", "g"], None if value is None else float(value)) for value in values]
    recipe = ALL.subset(["n", "g"])
    array = pa.array(values, pa.int64())
    same_as_rows(raw, pa.table({"n": array, "g": array.cast(pa.float64())}), recipe)


@given(st.lists(st.tuples(*[DIRTY] * 5), min_size=1, max_size=8))
def test_a_settled_recipe_leaves_clean_values_as_they_are(values: list[tuple[Any, ...]]) -> None:
    frame = pd.DataFrame(
        {name: pd.Series([row[n] for row in values], dtype=object) for n, name in enumerate(ALL.names)}
    )
    once, _ = ALL.apply(frame)
    again, bad = ALL.settled().apply(once)
    pd.testing.assert_frame_equal(once, again)
    assert not bad.to_numpy().any()


def test_declared_missing_numbers_and_words() -> None:
    row = {"n": "9.99e2", "g": "1.234,5", "c": " Unknown. ", "u": -1.0, "d": "1900-01-01"}
    assert ALL.read_row(row) == ({"n": None, "g": 1234.5, "c": None, "u": None, "d": None}, [])
    assert ALL.apply_row({**row, "c": "M."})["c"] == "Male"


def test_format_1_is_read_and_lets_control_characters_pass() -> None:
    old = '{"columns":[{"kind":"category","name":"c"}],"format":1,"missing":["","?"],"missing_values":["-"]}'
    recipe = RowRecipe.from_json(old)
    assert recipe.read_row({"c": "a\x01b"}) == ({"c": "a\x01b"}, [])
    assert RowRecipe.from_json(recipe.to_json()) == recipe
    assert RowRecipe((Column("c", "category"),)).read_row({"c": "a\x01b"}) == ({"c": None}, ["c"])
    with pytest.raises(DataError, match="format"):
        RowRecipe.from_json(old.replace('"format":1', '"format":9'))


def test_json_keeps_every_declaration() -> None:
    assert RowRecipe.from_json(ALL.to_json()) == ALL
    assert RowRecipe.from_json(ALL.to_json()).to_json() == ALL.to_json()


@pytest.mark.parametrize("formats", [(), ("%Y-%m-%d",), ("%Y-%m-%dT%H:%M:%S", "iso"), ("%Y-%d-%m",)])
def test_a_day_that_means_missing_is_missing_in_a_column_too(formats: tuple[str, ...]) -> None:
    recipe = RowRecipe((Column("d", "date", formats, ("1900-01-01",)),))
    texts = ["1900-01-01", " 1900-01-01 ", "2020-03-02", "2020-03-02 04:05:06", "2020-02-30", "soon", None]
    same_as_rows([{"d": text} for text in texts], pd.DataFrame({"d": texts}), recipe)
    assert recipe.apply_row({"d": texts[0]}) == {"d": None}
