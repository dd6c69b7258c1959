# ruff: noqa: DTZ001 - moments without a zone are those of UTC
"""What was understood of each column, in words."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from pipelines.cleaning.table import HEADER, SHOWN, describe, reading
from pipelines.inference.recipe.number_parsing import NumberText, SpanText, TruthText
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.spec import ModelSpec

MODEL = ModelSpec(name="demo", task="binary", target="y", positive="1", key=("id", "day"), time="at", drop=("left",))


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (Column("x", "number"), "number"),
        (Column("x", "number", written=NumberText()), "number"),
        (
            Column("x", "number", written=NumberText(",", ".", True, (("%", 0.01), ("kg", 1.0)))),
            "number, decimal ',', thousands '.', currency, %, kg",
        ),
        (Column("x", "number", written=NumberText(".", " ")), "number, thousands ' '"),
        (Column("x", "number", written=SpanText()), "number, in seconds"),
        (Column("x", "number", written=TruthText()), "number, 1 or 0"),
        (Column("x", "date"), "date"),
        (Column("x", "date", ("iso",)), "date"),
        (Column("x", "date", ("%d.%m.%Y", "iso", "epoch s")), "date, %d.%m.%Y, epoch s"),
        (Column("x", "category"), "category"),
        (Column("x", "category", truth=("ja", "nein")), "truth value, ja or nein"),
        (Column("x", "category", nested=True), "list or object"),
        (Column("x", "dropped"), "not read"),
    ],
)
def test_how_a_column_is_read(column: Column, words: str) -> None:
    assert reading(column) == words


def test_every_column_has_its_line_in_source_order() -> None:
    recipe = RowRecipe(
        (
            Column("id", "dropped"),
            Column("day", "date"),
            Column("at", "date"),
            Column("n", "number"),
            Column("late", "dropped"),
            Column("left", "dropped"),
            Column("odd", "dropped"),
            Column("y", "dropped"),
            Column("gone", "category"),
        )
    )
    examples = pa.table(
        {
            "id": [7, 8],
            "day": [date(2026, 1, 2), None],
            "at": [None, datetime(2026, 1, 2, 3, 4, 5)],
            "n": [" ", "\t1,5\n"],
            "late": [None, None],
            "left": ["x" * 99, "y"],
            "odd": ["a\x01b\nc", "d"],
            "y": [True, False],
        }
    )
    target = Column("y", "category", truth=("true", "false"))
    found = describe(recipe, MODEL, examples, {"n": {"missing": 0.5}}, {"late"}, (target,))
    assert [tuple(entry) for entry in found] == [HEADER] * 9
    assert [tuple(entry.values()) for entry in found] == [
        ("id", "as written", "7", None, "key"),
        ("day", "date", "2026-01-02", None, "key, feature"),
        ("at", "date", "2026-01-02 03:04:05", None, "time, feature"),
        ("n", "number", "1,5", 0.5, "feature"),
        ("late", "not read", None, None, "left out, not known at serving"),
        ("left", "not read", "x" * (SHOWN - 1) + "…", None, "left out"),
        ("odd", "not read", "a b c", None, "left out"),
        ("y", "truth value, true or false", "True", None, "the target"),
        ("gone", "category", None, None, "feature"),
    ]


@pytest.mark.parametrize(
    ("cells", "shown"),
    [
        ([None, "", "  "], None),
        ([timedelta(seconds=90)], "0:01:30"),
        ([[1, 2]], "[1, 2]"),
        ([b"ab"], "b'ab'"),
        ([0], "0"),
        ([2**63 - 1], "9223372036854775807"),
        ([float("nan"), 1.0], "nan"),
        (["ü" * SHOWN], "ü" * SHOWN),
    ],
)
def test_an_example_is_the_first_cell_that_shows_something(cells: list[Any], shown: str | None) -> None:
    recipe = RowRecipe((Column("x", "category"),))
    (entry,) = describe(recipe, MODEL, pa.table({"x": cells}), {})
    assert entry["example"] == shown
