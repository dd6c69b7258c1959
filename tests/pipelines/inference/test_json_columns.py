"""Request cells by column: the quick ways give the values, the gaps and the warnings of the slow ones, bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.inference.ensemble.ensemble import Ensemble
from pipelines.inference.operations.base import Output
from pipelines.inference.operations.categorical import Codes, Hashed
from pipelines.inference.operations.dates_ops import DateParts
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.predictor import FEW_ROWS, Predictor
from pipelines.inference.recipe import json_columns
from pipelines.inference.recipe.json_columns import JsonColumn, JsonReader
from pipelines.inference.recipe.number_parsing import Change, NumberText, SpanText, TruthText
from pipelines.inference.recipe.remembered import MOST_LETTERS, MOST_TEXTS, remembered
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.inference.schema import RequestColumn, ServeSchema
from pipelines.inference.service import columns as service

RECIPE = RowRecipe(
    (
        Column("plain", "number"),
        Column("marked", "number", missing=("7", "-99")),
        Column("changed", "number", change=Change((1.8, 32.0), (10.0, 0.0, 120.0), (-20.0, 200.0))),
        Column("huge", "number", change=Change(unit=(1e200, 0.0)), missing=("7",)),
        Column("german", "number", written=NumberText(",", ".", True, (("%", 0.01),))),
        Column("span", "number", written=SpanText()),
        Column("flag", "number", written=TruthText()),
        Column("town", "category", missing=("none",)),
        Column("repaired", "category", repair=("case", "spaces", "dots"), aliases=(("nyc", "New York"),)),
        Column("truth", "category", truth=("yes", "no"), present=("NA",)),
        Column("nested", "category", nested=True, optional=True),
        Column("day", "date", ("%d.%m.%Y", "%m/%d/%Y")),
        Column("id", "dropped"),
    )
)
WORDS = [
    *("NA", "None", "nan", "<NA>", "null", "", " ", "?", "-", "7", "7.0", " -99 ", "abc", "1e309", "1e5", "1e160"),
    *("true", "TRUE", "0", "1", "1.0", "-0", "1.234,5", "12 %", "07:45", "1 day", "New  York.", "NYC", "nyc", "oslo"),
    *("Oslo", "e\u0301", "\u00e9", "\x01", "x" * 4097, "31.12.2024", "12/31/2024", "2024-02-30", "2024-02-28T10:00Z"),
    *("infinity", "[1, 2]", '{"a":1}'),
]
TEXTS = st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=("Cs",)), max_size=4)
NUMBERS = st.one_of(
    st.sampled_from([0, -0.0, 7, 7.0, -99, 5e-324, 1.7e308, 1e160, 2**53 + 1, 2**64 - 1, -(2**63)]),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
)
ODD = st.one_of(TEXTS, NUMBERS, st.none(), st.booleans(), st.just(float("nan")), st.lists(st.integers(), max_size=1))
CELLS = st.one_of(
    *(
        st.lists(cells, min_size=1, max_size=12)
        for cells in (TEXTS, NUMBERS, TEXTS | st.none(), NUMBERS | st.none(), ODD)
    )
)


def readers(recipe: RowRecipe = RECIPE) -> dict[str, JsonReader]:
    return {
        column.name: JsonReader(column.kind, recipe.readers[column.name], recipe.tokens_of(column), column.change)
        for column in recipe.kept
    }


def listed(column: JsonColumn, rows: int) -> tuple[list[Any], list[bool]]:
    """Return the cells of a column, None where missing, and which are unreadable."""
    values = column.values
    if isinstance(values, pa.Array):
        cells = values.to_pylist()
    else:
        cells = [None if pd.isna(cell) else cell for cell in values.tolist()]
    missing = np.zeros(rows, dtype=bool) if column.missing is None else column.missing
    assert [cell is None for cell in cells] == missing.tolist()
    return cells, (np.zeros(rows, dtype=bool) if column.bad is None else column.bad).tolist()


def bits(cells: list[Any]) -> list[str]:
    """Return texts that tell 0.0 from -0.0."""
    return [f"{type(cell).__name__} {cell!r}" for cell in cells]


@settings(max_examples=300)
@given(CELLS)
@example(WORDS)
@example([1, 2, None, 7])
@example([None, None])
@example([10**400, 1])
@example([float("inf"), 1.0, None])
def test_a_column_reads_as_its_cells_do(cells: list[Any]) -> None:
    singly = [RECIPE.read_row(dict.fromkeys(RECIPE.names, cell)) for cell in cells]
    for name, reader in readers().items():
        expected = bits([row[name] for row, _ in singly]), [name in bad for _, bad in singly]
        for read in (reader.column(cells), reader.cells(cells)):
            if read is not None:
                found, bad = listed(read, len(cells))
                assert (bits(found), bad) == expected, name


def test_columns_of_one_plain_type_are_read_at_once() -> None:
    by_name = readers()
    for cells in ([1, 2.5, None], ["a", None], ["1", "x"], [None]):
        assert by_name["plain"].column(cells) is not None
    for cells in ([True], ["1", 2], [[1]], [float("nan")], [10**400]):
        assert by_name["plain"].column(cells) is None
    assert by_name["town"].column([1]) is None
    many = [f"town {number}" for number in range(json_columns.FEW_DISTINCT + 1)]
    assert by_name["town"].column(many) is not None
    assert by_name["plain"].column(many[1:] * 3) is not None
    assert by_name["plain"].column(many) is None


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """All columns of the recipe in a plan; nothing is predicted."""
    codes = ("oslo", "New York", "yes")
    operations = (
        *(Codes((name,), (Output(f"{name} code", "code", 4),), codes) for name in ("town", "repaired", "truth")),
        Hashed(("nested",), (Output("nested hash", "code", 16),), 16, 1),
        DateParts(("day",), (Output("day of it"), Output("weekday")), ("day", "weekday"), 0),
    )
    numbers = [column.name for column in RECIPE.kept if column.kind == "number"]
    outputs = (*numbers, "town code", "repaired code", "truth code", "nested hash", "day of it", "weekday")
    known: dict[str, dict[str, Any]] = {
        "plain": {"low": 0.0, "high": 100.0},
        "changed": {"low": -20.0, "high": 199.0},
        "town": {"levels": ("oslo", "1")},
        "repaired": {"levels": ("New York",)},
        "nested": {"optional": True},
    }
    schema = ServeSchema(
        model="demo",
        task="regression",
        target="y",
        key=(),
        time=None,
        columns=tuple(RequestColumn(column.name, column.kind, **known.get(column.name, {})) for column in RECIPE.kept),
        source_columns=tuple(RECIPE.names),
        missing=RECIPE.missing,
        missing_values=RECIPE.missing_values,
        example={},
    )
    return Predictor(schema, FeaturePlan(RECIPE, operations, outputs), Ensemble((), {}), {}, {}, "")


@settings(max_examples=150, deadline=None)
@given(st.lists(CELLS, min_size=len(RECIPE.names), max_size=len(RECIPE.names)), st.booleans())
def test_few_rows_by_column_are_those_by_row_and_many_those_of_a_frame(
    predictor: Predictor, cells: list[list[Any]], absent: bool
) -> None:
    def table(rows: int) -> dict[str, list[Any]]:
        columns = {name: (column * rows)[:rows] for name, column in zip(RECIPE.names, cells, strict=True)}
        return {name: column for name, column in columns.items() if not absent or name != "nested"}

    for rows, slow in ((12, service._read_rows), (FEW_ROWS + 1, service._read_frame)):
        warned: service.Warned = []
        expected: service.Warned = []
        matrix = service._read_columns(predictor, table(rows), rows, warned)
        assert matrix.tobytes() == slow(predictor, table(rows), rows, expected).tobytes()
        assert sorted(warned) == sorted(expected)


def test_many_distinct_texts_of_numbers_and_dates(predictor: Predictor) -> None:
    days = [f"{1 + number % 28:02d}.{1 + number // 28:02d}.2024" for number in range(300)]
    numbers = [f" {number}.5" for number in range(300)]
    odd = ["abc", "NA", "", None, "1e309", "7", "-99", "2024-02-30", "infinity", "1.234,5", "07:45", "TRUE"]
    for rows in (200, 300):
        cells = {column.name: [*odd, *(days if column.kind == "date" else numbers)][:rows] for column in RECIPE.kept}
        warned: service.Warned = []
        expected: service.Warned = []
        matrix = service._read_columns(predictor, cells, rows, warned)
        slow = service._read_rows if rows <= FEW_ROWS else service._read_frame
        assert matrix.tobytes() == slow(predictor, cells, rows, expected).tobytes()
        assert sorted(warned) == sorted(expected)
        singly = service._read_rows(predictor, cells, rows, expected)
        np.testing.assert_array_equal(matrix, singly)


def test_remembered_texts_are_read_as_ever() -> None:
    seen: list[Any] = []

    def read(value: Any) -> Any:
        seen.append(value)
        return None if value == "NA" else value

    reader = remembered(read)
    long = "x" * (MOST_LETTERS + 1)
    for _ in range(2):
        assert [reader(value) for value in ("a", "NA", 1, True, "1", long)] == ["a", None, 1, True, "1", long]
    assert seen == ["a", "NA", 1, True, "1", long, 1, True, long]
    many = [f"t{number}" for number in range(MOST_TEXTS + 50)]
    assert [reader(value) for value in many * 2] == many * 2
    assert len(seen) < len(many) + 9 + 60
