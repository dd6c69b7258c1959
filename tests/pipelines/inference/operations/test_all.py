"""Every operation of these families: a table, one row and a saved plan give the same numbers, bit by bit."""
# ruff: noqa: DTZ001 - clean moments are naive UTC

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.inference.operations import categorical, combine, dates_ops, numeric, text
from pipelines.inference.operations.base import REGISTRY, Operation, Output
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.recipe.row_recipe import Column, RowRecipe

RECIPE = RowRecipe(
    tuple(Column(name, "number") for name in "abcdefgh")
    + tuple(Column(name, "category") for name in ("colour", "size", "words"))
    + (Column("t", "date"), Column("u", "date"))
)


def outputs(*names: str, kind: Any = "number", cardinality: int | None = None) -> tuple[Output, ...]:
    return tuple(Output(name, kind, cardinality) for name in names)


COLOURS = ("red", "grün", "синий")
OPERATIONS: tuple[Operation, ...] = (
    numeric.Fill(("a",), outputs("a", "a.missing"), 0.1),
    numeric.Scale(("a",), outputs("a"), 1 / 3, 0.7),
    numeric.Clip(("b",), outputs("b"), -1.5, None),
    numeric.Curve(("c",), outputs("c"), (-5.0, 0.1, 3.0, 1e9), (0.0, 0.3, 0.8, 1.0)),
    numeric.Power(("d",), outputs("d"), 0.3, 0.1, 1.7),
    numeric.Power(("e",), outputs("e"), 2.0, 0.0, 1.0),
    numeric.Power(("f",), outputs("f"), 0.0, 0.0, 3.0),
    numeric.Bin(("g",), outputs("g.bin", kind="code", cardinality=4), (-1.0, 0.0, 2.5)),
    numeric.Copy(("b",), outputs("b copy")),
    combine.Ratio(("g", "h"), outputs("g/h")),
    combine.Difference(("g", "h"), outputs("g-h")),
    combine.Cross(("colour", "size"), outputs("colour*size", kind="category")),
    categorical.Group(("colour",), outputs("colour", kind="category"), COLOURS[:2], "(rare)", "(none)"),
    categorical.Codes(("colour*size",), outputs("cross", kind="code", cardinality=3), ("red | S", "red | L")),
    categorical.OneHot(("colour",), outputs("c1", "c2", "c.other"), ("red", "(none)"), True, False),
    categorical.OneHot(("size",), outputs("s1", "s.other", "s.missing"), ("S",), True, True),
    categorical.OneHot(("size",), outputs("s2"), ("L",), False, False),
    categorical.Numbered(("colour",), outputs("rank"), COLOURS, (0.0, 1.0, 2.0), None, None),
    categorical.Numbered(("words",), outputs("share"), ("the cat", ""), (0.25, 1 / 3), 0.0, 0.1),
    categorical.Hashed(("words",), outputs("hash", kind="code", cardinality=7), 7, 3),
    dates_ops.DateParts(("t",), outputs(*(f"t.{p}" for p in dates_ops.PARTS)), dates_ops.PARTS, 86_400_000_000),
    dates_ops.DateCycles(("t",), outputs(*map(str, range(10))), ("month", "day", "weekday", "day_of_year", "hour")),
    dates_ops.DaysBetween(("t", "u"), outputs("age")),
    text.HashedText(("words",), outputs(*(f"w{b}" for b in range(5))), "words", 1, 2, "log"),
    text.HashedText(("words",), outputs(*(f"x{b}" for b in range(3))), "characters", 2, 3, "count"),
    text.HashedText(("words",), outputs(*(f"y{b}" for b in range(3))), "words", 1, 1, "binary"),
    text.TextLength(("words",), outputs("characters", "n_words")),
)
LEAVING = tuple(dict.fromkeys(o.name for one in OPERATIONS for o in one.outputs if o.kind != "category"))
PLAN = FeaturePlan(RECIPE, OPERATIONS, LEAVING)
NUMBER = st.one_of(
    st.none(),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.5, 1e-300, 1e300, -1e308, 5e-324]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-9, 9).map(float),
)
MOMENT = st.one_of(st.none(), st.datetimes(datetime(1600, 1, 1), datetime(2400, 1, 1)))
WORDS = st.one_of(
    st.none(),
    st.sampled_from(["the cat", "a", "the, the; THE", "ΣΊΣΥΦΟΣ İx\nß", "\u3000—", "naïve café 12"]),
    st.text(max_size=12),
)
ROW = st.fixed_dictionaries(
    {
        **dict.fromkeys("abcdefgh", NUMBER),
        "colour": st.sampled_from([None, *COLOURS, "violet"]),
        "size": st.sampled_from([None, "S", "L", "XL"]),
        "words": WORDS,
        "t": MOMENT,
        "u": MOMENT,
    }
)
FULL: dict[str, Any] = {
    **dict.fromkeys("abcdefgh", 1.0),
    "colour": "red",
    "size": "S",
    "words": "the cat",
    "t": datetime(2024, 2, 29, 23),
    "u": datetime(2024, 3, 1, 11),
}


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Clean rows as the recipe gives them."""
    types: dict[str, Any] = {"number": "float64", "category": "str", "date": "datetime64[us]"}
    return pd.DataFrame({c.name: pd.Series([row[c.name] for row in rows], dtype=types[c.kind]) for c in RECIPE.kept})


@given(st.lists(ROW, min_size=1, max_size=8))
@example([FULL, dict.fromkeys(FULL)])
def test_a_table_and_its_rows_give_the_same_numbers(rows: list[dict[str, Any]]) -> None:
    matrix = PLAN.transform(frame(rows))
    singly = np.vstack([PLAN.transform_row(row) for row in rows])
    np.testing.assert_array_equal(matrix, singly)
    assert np.isfinite(matrix[~np.isnan(matrix)]).all()


def test_many_distinct_texts_give_the_same_numbers() -> None:
    texts = [*COLOURS, None, "S", "the cat", *(f"t{index}" for index in range(3 * categorical.FEW_TEXTS))]
    rows = [dict.fromkeys(RECIPE.names) | dict.fromkeys(("colour", "size", "words"), each) for each in texts * 2]
    matrix = PLAN.transform(frame(rows))
    assert matrix.tobytes() == np.array([PLAN.transform_row(row) for row in rows]).tobytes()


def test_all_operations_of_these_families_are_tried() -> None:
    modules = {numeric.__name__, categorical.__name__, combine.__name__, dates_ops.__name__, text.__name__}
    kinds = {kind for kind, cls in REGISTRY.items() if cls.__module__ in modules}
    assert {one.kind for one in OPERATIONS} == kinds


def test_a_saved_plan_is_equal_and_byte_stable() -> None:
    with TemporaryDirectory() as folder:
        first, second = Path(folder, "a"), Path(folder, "b")
        PLAN.save(first)
        again = FeaturePlan.load(first)
        assert again == PLAN
        again.save(second)
        assert (first / "plan.json").read_bytes() == (second / "plan.json").read_bytes()
        rows = [FULL, dict.fromkeys(FULL)]
        np.testing.assert_array_equal(again.transform(frame(rows)), PLAN.transform(frame(rows)))


def test_no_rows_give_an_empty_matrix() -> None:
    assert PLAN.transform(frame([])).shape == (0, len(LEAVING))


def test_what_the_numbers_are() -> None:
    row = {**dict.fromkeys(FULL), "a": 2.0, "b": -3.0, "c": 0.1, "g": 1.0, "h": 0.0, "words": "The cat, the hat"}
    row.update(colour="violet", t=datetime(2024, 2, 29, 6), u=datetime(2024, 2, 28), size="L")
    seen = dict(zip(LEAVING, PLAN.transform_row(row).tolist(), strict=True))
    assert seen["a"] == pytest.approx((2 - 1 / 3) / 0.7)
    assert (seen["a.missing"], seen["b"], seen["b copy"]) == (0.0, -1.5, -1.5)
    assert seen["c"] == 0.3
    assert np.isnan(seen["d"])
    assert seen["g.bin"] == 2.0
    assert np.isnan(seen["g/h"])
    assert seen["g-h"] == 1.0
    assert (seen["cross"], seen["c1"], seen["c2"], seen["c.other"]) == (2.0, 0.0, 0.0, 1.0)
    assert (seen["s1"], seen["s.other"], seen["s.missing"], seen["s2"]) == (0.0, 1.0, 0.0, 1.0)
    assert np.isnan(seen["rank"])
    assert (seen["age"], seen["t.hour"], seen["t.day_of_year"]) == (-1.25, 6.0, 60.0)
    assert (seen["characters"], seen["n_words"]) == (16.0, 4.0)
    assert sum(seen[f"y{b}"] for b in range(3)) >= 1


def test_hashes_are_what_the_documentation_says() -> None:
    code = categorical.Hashed(("x",), outputs("h", kind="code", cardinality=1000), 1000, 0).row()
    assert [code({"x": word})[0] for word in ("red", "grün", "")] == [
        GOLDEN_CODES[word] for word in ("red", "grün", "")
    ]
    words = text.HashedText(("x",), outputs(*map(str, range(1000))), "words", 1, 2, "count").row()
    seen = np.flatnonzero(words({"x": "Red, grün"})).tolist()
    assert seen == sorted(documented_bucket(gram, 1000) for gram in (("red",), ("grün",), ("red", "grün")))


GOLDEN_CODES = {"red": 948.0, "grün": 873.0, "": 833.0}


def documented_bucket(gram: tuple[str, ...], buckets: int) -> int:
    """The bucket of a word n-gram, in plain integers."""
    size, factor = 2**64, 0x9E3779B97F4A7C15

    def mix(value: int) -> int:
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % size
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB % size
        return value ^ (value >> 31)

    words = [mix(sum(ord(c) * factor**k for k, c in enumerate(word)) % size) for word in gram]
    return mix((sum(word * factor**k for k, word in enumerate(words)) + len(words)) % size) % buckets


def test_blocks_of_text_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [" ".join(f"w{i % 7}{'x' * (i % 5)}" for i in range(k % 9)) for k in range(60)]
    operation = text.HashedText(("x",), outputs(*map(str, range(16))), "characters", 1, 3, "count")
    lengths = text.TextLength(("x",), outputs("a", "b"))
    column = {"x": pd.Series(texts, dtype="str")}
    whole = np.array([*operation.apply(column, 60), *lengths.apply(column, 60)])
    monkeypatch.setattr(text, "BLOCK", 16)
    np.testing.assert_array_equal(np.array([*operation.apply(column, 60), *lengths.apply(column, 60)]), whole)
