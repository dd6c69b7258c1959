# ruff: noqa: DTZ001 - moments without a zone are those of UTC
"""Every way of reading a column, on cells of every type: a row reads as a frame does, whoever wrote it."""

from __future__ import annotations

import itertools
import json
import unicodedata
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.inference.doubts import Doubts, added, lines_of
from pipelines.inference.recipe import columns
from pipelines.inference.recipe.number_parsing import FALSE, TRUE, NumberText, SpanText, TruthText
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.inference.schema import FILE, RequestColumn, ServeSchema, json_cell, request_rows

RECIPE = RowRecipe(
    (
        Column("plain", "category"),
        Column("present", "category", present=("NA", "None", ""), missing=("nat", "none")),
        Column("number present", "number", present=("-", "nil"), missing=("7",)),
        Column("truth", "category", truth=("yes", "no")),
        Column("nested", "category", nested=True),
        Column("german", "number", written=NumberText(",", ".", True, (("%", 0.01), ("kg", 1.0)))),
        Column("money", "number", written=NumberText(".", ",", True)),
        Column("span", "number", written=SpanText()),
        Column("one or zero", "number", written=TruthText()),
        Column("day", "date", ("%d.%m.%Y", "%d-%b-%y"), missing=("never",)),
        Column("epoch", "date", ("epoch ms",)),
    )
)
WORDS = [
    "NA",
    "na",
    "None",
    "none",
    "NaT",
    "nat",
    "nan",
    "<NA>",
    "null",
    "",
    " ",
    "-",
    "nil",
    "7",
    "7.0",
    "true",
    "TRUE",
    "t",
    "T",
    "yes",
    "Y",
    "on",
    "1",
    "1.0",
    "0",
    "0.0",
    "off",
    "N",
    "False",
    "f",
    "[1, 2]",
    '{"b":1,"a":[true]}',
    "[1,2",
    "{}",
    "1.234,5",
    "1,234.5",
    "12 %",
    "3 kg",
    "€ 5",
    "5 Kč",
    "5 KČ",
    "(5)",
    "5-",
    "\u22125",
    "07:45",
    "1 day 02:03:04",
    "PT1H",
    "1 days",
    "never",
    "31.12.2024",
    "1.2.2024 10:30",
    "01-Feb-24",
    "2024-02-30",
    "2024-02-28T10:00:00Z",
    "infinity",
    "-infinity",
    "1709287200000",
    "1709287200000.5",
    "-1",
    "e\u0301",
    "\u00e9",
    "A\u030a",
    "\u212b",
    "\ufb01",
    "\x01",
    "x" * 4097,
    "  spaced ",
]
TEXTS = st.sampled_from(WORDS) | st.text(max_size=4)
TYPED = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**66), 2**66),
    st.floats(),
    st.decimals(allow_nan=False, allow_infinity=False, places=4),
    st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)),
    st.dates(date(1700, 1, 1), date(2200, 1, 1)),
    st.times(),
    st.timedeltas(timedelta(days=-999), timedelta(days=999)),
    st.uuids(),
    st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 3), max_size=2),
    st.binary(max_size=2),
)


def plain(value: Any) -> Any:
    return None if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)) else value


def assert_alike(rows: list[dict[str, Any]], frame: pd.DataFrame | pa.Table, recipe: RowRecipe = RECIPE) -> None:
    singly = [recipe.read_row(row) for row in rows]
    for few in (0, columns.FEW_DISTINCT):  # by whole columns where that can be, and one by one
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(columns, "FEW_DISTINCT", few)
            clean, bad = recipe.apply(frame)
        assert [{name: plain(value) for name, value in row.items()} for row in clean.to_dict("records")] == [
            row for row, _ in singly
        ]
        assert [[name for name in recipe.names if row[name]] for row in bad.to_dict("records")] == [
            names for _, names in singly
        ]


@given(st.lists(TEXTS | st.none(), min_size=1, max_size=12))
@example(WORDS)
@example([*WORDS, *(f"town {number}" for number in range(99))])
@settings(max_examples=25)
def test_texts(cells: list[str | None]) -> None:
    rows = [dict.fromkeys(RECIPE.names, cell) for cell in cells]
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        try:
            array = pa.array(cells, kind)
        except UnicodeEncodeError:  # a lone surrogate is no text of a file
            break
        assert_alike(rows, pa.table(dict.fromkeys(RECIPE.names, array)))
        assert_alike(rows, pa.table(dict.fromkeys(RECIPE.names, array.dictionary_encode())))
    assert_alike(rows, pd.DataFrame({name: pd.Series(cells, dtype=object) for name in RECIPE.names}))


@given(st.lists(TEXTS | TYPED, min_size=1, max_size=10))
def test_cells_of_any_type(cells: list[Any]) -> None:
    rows = [dict.fromkeys(RECIPE.names, cell) for cell in cells]
    assert_alike(
        [{name: plain(cell) for name, cell in row.items()} for row in rows],
        pd.DataFrame({name: pd.Series(cells, dtype=object) for name in RECIPE.names}),
    )


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1, 0, None, 2]),
        pa.array([1, 0, None], pa.uint8()),
        pa.array([2**64 - 1, None], pa.uint64()),
        pa.array([1.0, 0.0, 2.5, None]),
        pa.array([0.5, None], pa.float32()),
        pa.array([Decimal("1.00"), Decimal("0.10"), None]),
        pa.array([True, False, None]),
        pa.array([datetime(2024, 1, 2, 3), None]),
        pa.array([datetime(2024, 1, 2, 3, tzinfo=UTC), None]),
        pa.array([date(2024, 1, 2), None]),
        pa.array([date(2024, 1, 2), None], pa.date64()),
        pa.array([timedelta(days=-1, seconds=5), None], pa.duration("ms")),
        pa.array([time(1, 2, 3), None]),
        pa.array([time(1, 2, 3), None], pa.time32("s")),
        pa.array([[1, 2], None, []]),
        pa.array([{"a": 1}, None]),
        pa.array([b"a", None]),
        pa.nulls(2),
        pa.array(["yes", None]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)
def test_columns_of_one_type(array: pa.Array) -> None:
    cells = array.to_pylist()
    assert_alike([dict.fromkeys(RECIPE.names, cell) for cell in cells], pa.table(dict.fromkeys(RECIPE.names, array)))


@given(st.lists(TEXTS | TYPED, min_size=1, max_size=6))
@example(
    [Decimal("0.1000000000000000000001"), Decimal("12345678901234567.89"), UUID(int=7), np.float32(0.1), np.int8(3)]
)
def test_what_a_caller_sends_as_json_reads_as_the_cell(cells: list[Any]) -> None:
    for cell in cells:
        if isinstance(cell, bytes) or (isinstance(cell, float) and not np.isfinite(cell)):
            continue  # which no JSON has
        sent = json_cell(cell)
        json.dumps(sent, allow_nan=False)
        # no source has decimals in a column of texts with decimal commas
        names = [name for name in RECIPE.names if not (isinstance(cell, Decimal) and name == "german")]
        names = ["nested"] if isinstance(cell, list | dict) else names
        recipe = RECIPE.subset(names)
        assert recipe.apply_row(dict.fromkeys(names, sent)) == recipe.apply_row(dict.fromkeys(names, plain(cell)))


SPELLINGS = [(true, false) for true in sorted(TRUE) for false in sorted(FALSE)]
CELLS = ("true", "TRUE", True, "t", "yes", "Y", 1, 1.0, "1", "1.0", "on", np.bool_(True), Decimal(1), np.int64(1))
OTHERS = (
    "false",
    "False",
    False,
    "F",
    "no",
    "N",
    0,
    0.0,
    "0",
    "0.0",
    "OFF",
    np.bool_(False),
    Decimal("0.0"),
    np.float32(0),
)


@pytest.mark.parametrize("pair", [*SPELLINGS, ("Ja", "Nein")])
def test_truth_values_in_any_spelling_are_one_pair(pair: tuple[str, str]) -> None:
    category = RowRecipe((Column("x", "category", truth=pair),))
    number = RowRecipe((Column("x", "number", written=TruthText()),))
    for cells, word, value in ((CELLS, pair[0], 1.0), (OTHERS, pair[1], 0.0)):
        forms = [*cells, *(f" {cell} " for cell in cells if isinstance(cell, str))]
        assert {category.apply_row({"x": cell})["x"] for cell in forms} == {word}
        assert {number.apply_row({"x": cell})["x"] for cell in forms} == {value}
        frame = pd.DataFrame({"x": pd.Series(forms, dtype=object)})
        assert set(category.apply(frame)[0]["x"]) == {word}
        assert set(number.apply(frame)[0]["x"]) == {value}
        assert not category.apply(frame)[1].to_numpy().any()
    assert category.apply_row({"x": "maybe"})["x"] == "maybe"
    assert number.read_row({"x": "maybe"}) == ({"x": None}, ["x"])


@given(
    st.lists(
        st.text("eEaAoOu\u0301\u0308\u030a\u00e9\u00c5\u212b\uac00\u1100\u1161", max_size=6), min_size=1, max_size=8
    )
)
def test_letters_and_their_accents_are_one_text(texts: list[str]) -> None:
    recipe = RowRecipe((Column("x", "category"),))
    forms = [[unicodedata.normalize(form, text) for text in texts] for form in ("NFC", "NFD")]
    read = [recipe.apply(pa.table({"x": pa.array(cells, pa.string())}))[0]["x"].tolist() for cells in forms]
    assert list(map(str, read[0])) == list(map(str, read[1]))
    old = RowRecipe.from_json(json.dumps({**json.loads(recipe.to_json()), "format": 2, "normal_form": None}))
    for text in texts:
        for form in ("NFC", "NFD"):
            cell = unicodedata.normalize(form, text)
            assert old.apply_row({"x": cell})["x"] == (cell.strip() or None)


def test_recipes_of_the_format_before_read_as_before() -> None:
    content = {
        "format": 2,
        "missing": ["", "?", "na"],
        "missing_values": ["none", "-"],
        "refuse_controls": True,
        "columns": [
            {"name": "c", "kind": "category"},
            {"name": "d", "kind": "date", "formats": ["%d/%m/%Y"]},
            {
                "name": "n",
                "kind": "number",
                "written": {"decimal": ",", "thousands": ".", "currency": True, "suffixes": [["%", 0.01]]},
            },
        ],
    }
    old = RowRecipe.from_json(json.dumps(content))
    assert not old.normal_form
    assert old.read_row({"c": "e\u0301", "d": "31/12/2024", "n": "1.234,5 €"}) == (
        {"c": "e\u0301", "d": datetime(2024, 12, 31), "n": 1234.5},
        [],
    )
    assert old.apply_row({"c": "none", "d": None, "n": "-"}) == {"c": "none", "d": None, "n": None}
    assert [old.apply_row({"c": cell, "d": None, "n": None})["c"] for cell in ("T", "yes", True, "NA", "[1]")] == [
        "T",
        "yes",
        "true",
        None,
        "[1]",
    ]
    again = RowRecipe.from_json(old.to_json())
    assert again == old
    assert not again.normal_form


# --- what is reported of cells

KNOWN = ServeSchema(
    "demo",
    "binary",
    "y",
    ("id",),
    None,
    (
        RequestColumn("german", "number", low=0.0, high=5.0),
        RequestColumn("one or zero", "number", low=0.0, high=0.0),
        RequestColumn("money", "number", low=-5.0, high=0.0),
        RequestColumn("plain", "category", levels=("é", "1", "true")),
        RequestColumn("truth", "category", levels=("yes",)),
        RequestColumn("present", "category", levels=()),
        RequestColumn("day", "date", ("%d.%m.%Y",), optional=True),
        RequestColumn("span", "number"),
    ),
    (),
    (),
    (),
    {},
)


def test_a_schema_keeps_what_training_knew(tmp_path: Path) -> None:
    KNOWN.save(tmp_path)
    loaded = ServeSchema.load(tmp_path)
    assert loaded == KNOWN
    assert Doubts.of(loaded.columns) == Doubts.of(KNOWN.columns)
    assert loaded.columns[1].low == 0.0


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.text(st.characters(codec="utf-8"))),
)
@example(0.0, -0.0, ["", "0"])
@example(0.0, 1.0, [])
def test_bounds_and_categories_of_any_kind_survive(
    tmp_path_factory: pytest.TempPathFactory, low: float, high: float, levels: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("schema")
    columns = (RequestColumn("n", "number", low=low, high=high), RequestColumn("c", "category", levels=tuple(levels)))
    ServeSchema("demo", "binary", "y", (), None, columns, (), (), (), {}).save(folder)
    assert ServeSchema.load(folder).columns == columns


def test_a_schema_of_a_release_before_is_read(tmp_path: Path) -> None:
    content = {
        "format": 1,
        "model": "demo",
        "task": "binary",
        "target": "y",
        "key": [],
        "time": None,
        "source_columns": ["a", "y"],
        "missing": ["?"],
        "missing_values": ["-"],
        "example": {},
        "columns": [{"name": "a", "kind": "number", "formats": []}],
    }
    (tmp_path / FILE).write_text(json.dumps(content))
    schema = ServeSchema.load(tmp_path)
    assert schema.columns == (RequestColumn("a", "number"),)
    assert not schema.columns[0].optional
    assert Doubts.of(schema.columns) == Doubts({}, {})
    assert Doubts.of(schema.columns).of_frame(pd.DataFrame({"a": [1e9]}), pd.DataFrame({"a": [False]})) == {}


@given(st.lists(st.tuples(*[TEXTS | TYPED] * 3), min_size=1, max_size=8))
@example([(0, "é", 0), (-1, "e\u0301", 5.1), ("0", True, "x")])
def test_what_is_reported_is_the_same_for_a_frame_and_for_its_rows(values: list[tuple[Any, ...]]) -> None:
    names = RECIPE.names
    cells = [[plain(row[index % 3]) for index in range(len(names))] for row in values]
    rows = [dict(zip(names, row, strict=True)) for row in cells]
    frame = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in names})
    doubts = Doubts.of(KNOWN.columns)
    whole = doubts.of_frame(*RECIPE.apply(frame))
    singly: dict[str, dict[str, int]] = {}
    for row in rows:
        doubts.of_row(*RECIPE.read_row(row), singly)
    assert singly == whole
    parts = added(doubts.of_frame(*RECIPE.apply(frame.iloc[:2])), doubts.of_frame(*RECIPE.apply(frame.iloc[2:])))
    assert parts == whole
    assert len(lines_of(whole)) == sum(map(len, whole.values()))


def test_each_doubt_is_counted_once() -> None:
    doubts = Doubts.of(KNOWN.columns)
    frame = pd.DataFrame(
        {
            "german": ["6", "-1", "x", None, "5"],
            "one or zero": [1, "true", 0, "0", "maybe"],
            "money": ["0", "$-5", "$1", "-6", ""],
            "plain": ["e\u0301", 1.0, "new", None, "TRUE"],
            "truth": ["on", 0, "no", "NA", "1"],
            "present": ["NA", "none", "", "?", "x"],
            "day": ["1.1.2024", "never", "soon", None, "2024-01-01"],
            "span": ["07:45", 1e12, "x", None, timedelta(1)],
            "number present": [7, "-", None, None, 1],
            "nested": [None] * 5,
            "epoch": [None] * 5,
        }
    )
    assert doubts.of_frame(*RECIPE.apply(frame)) == {
        "german": {"unreadable": 1, "out_of_range": 2},
        "one or zero": {"unreadable": 1, "out_of_range": 2},
        "money": {"out_of_range": 2},
        "plain": {"unseen": 1},
        "truth": {"unseen": 2},
        "present": {"unseen": 3},
        "day": {"unreadable": 1},
        "span": {"unreadable": 1},
        "number present": {"unreadable": 1},
    }


def test_rows_of_a_frame_with_decimals_are_predicted_as_the_frame() -> None:
    recipe = RowRecipe((Column("c", "category"), Column("n", "number")))
    cells = [
        Decimal("0.1000000000000000000001"),
        Decimal("12345678901234567.89"),
        Decimal("1.50"),
        None,
        Decimal("7.00"),
    ]
    frame = pd.DataFrame({"c": cells, "n": cells})
    clean, _ = recipe.apply(frame)
    sent = json.loads(json.dumps(request_rows(frame, ["c", "n"])))
    for row, expected in zip(sent, clean.to_dict("records"), strict=True):
        assert recipe.apply_row(row) == {name: plain(value) for name, value in expected.items()}


def test_every_pair_of_spellings_is_tried() -> None:
    assert len(SPELLINGS) == len(TRUE) * len(FALSE) == len(set(itertools.product(TRUE, FALSE)))
