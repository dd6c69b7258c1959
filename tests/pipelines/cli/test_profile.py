"""The task is guessed by what the target means: counts, amounts of many sizes, codes, two values."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.cleaning.learn import look_at
from pipelines.cleaning.parts import TableParts
from pipelines.cleaning.spec import CleanSpec
from pipelines.cli.profile import (
    MAX_CLASSES,
    MAX_LABELS,
    TargetProfile,
    are_counts,
    infer_task,
    look_at_target,
    pick_positive,
    spread,
)
from pipelines.errors import DataError, SpecError
from pipelines.spec import ModelSpec

MODEL = ModelSpec(name="demo", task="clustering")


def seen(cells: Any) -> TargetProfile:
    """Look at a target column."""
    column = cells if isinstance(cells, pa.Array) else pa.array(cells)
    parts = TableParts(pa.table({"y": column, "_sealed": [False] * len(column)}), 50)
    reading = look_at(parts, MODEL, CleanSpec(), False, ())["y"]
    return look_at_target(parts, "y", reading)


def poisson(mean: float, zeros: float = 0.0, rows: int = 2_000) -> list[int]:
    random = np.random.default_rng(0)
    return np.where(random.random(rows) < zeros, 0, random.poisson(mean, rows)).tolist()


COUNTS = [poisson(0.3), poisson(1.2), poisson(3, zeros=0.9), poisson(2, zeros=0.5)]
CODES = [
    [0, 1, 2, 3] * 100,
    [0] * 50 + [1] * 40 + [2] * 45 + [3] * 60,
    [1, 2, 3, 4, 5] * 40,
    [0] * 90 + [1] * 5 + [2] * 5,
    list(range(10)) * 30,
]


@pytest.mark.parametrize("values", COUNTS)
@pytest.mark.parametrize("form", [pa.int64(), pa.float64(), pa.string()])
def test_counts_are_a_regression(values: list[int], form: pa.DataType) -> None:
    target = seen(pa.array(values).cast(form))
    assert are_counts(target)
    task, why = infer_task(target, "y")
    assert task == "regression"
    assert "poisson_deviance" in why
    assert spread(target) is None


@pytest.mark.parametrize("values", CODES)
def test_codes_are_classes(values: list[int]) -> None:
    target = seen(values)
    assert not are_counts(target)
    assert infer_task(target, "y")[0] == "multiclass"


@settings(max_examples=25)
@given(st.dictionaries(st.integers(-3, 30), st.integers(1, 60), min_size=2, max_size=25))
def test_what_counts_are_does_not_hang_on_the_order_of_rows_or_their_type(counts: dict[int, int]) -> None:
    values = [value for value, count in counts.items() for _ in range(count)]
    first, second = seen(values), seen([str(value) for value in reversed(values)])
    assert are_counts(first) == are_counts(second)
    if len(counts) > 2 and not {0, 1} >= set(counts):
        assert infer_task(first, "y")[0] == infer_task(second, "y")[0]
    if min(counts) < 0 or 0 not in counts:
        assert not are_counts(first)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.random.default_rng(1).lognormal(5, 3, 2_000), True),
        (np.random.default_rng(1).lognormal(5, 0.5, 2_000), False),
        (np.random.default_rng(1).normal(0, 1_000, 2_000), False),
        (np.array([1e-9, *np.linspace(10, 20, 2_000)]), False),  # one row alone is no spread
        (np.array([0.0] * 500 + [0.01] * 200 + [5_000.0] * 200), True),
        (np.zeros(50), False),
        (np.array([0.0, 1.0] * 50), False),
    ],
)
def test_amounts_of_many_sizes_are_told(values: np.ndarray, told: bool) -> None:
    line = spread(seen(values.tolist()))
    assert (line is not None) == told
    if line is not None:
        assert "--metric rmsle" in line


def test_an_empty_target_has_no_spread() -> None:
    assert spread(seen(["a", "b", "c"])) is None
    with pytest.raises(DataError, match="no value at all"):
        infer_task(seen(pa.nulls(3, pa.string())), "y")
    with pytest.raises(DataError, match="one class only"):
        infer_task(seen(["a", "a"]), "y")


@pytest.mark.parametrize(
    ("cells", "task"),
    [
        (["yes", "no"] * 20, "binary"),
        ([True, False, None] * 20, "binary"),
        ([1.0, 2.0] * 20, "binary"),
        (["true", "FALSE", "1", "0", "t"] * 9, "binary"),
        (["a", "b", "c"] * 9, "multiclass"),
        (["1.5", "2.5", "3.5"] * 9, "regression"),
        (["1.234,50 €", "2,00 €", "3,00 €"] * 9, "regression"),
        (["07:45", "08:00", "09:30"] * 9, "regression"),
        (["001", "002", "003"] * 9, "multiclass"),
        (list(range(MAX_CLASSES + 1)) * 9, "regression"),
        ([1, 2, 3] * 9, "multiclass"),
        (["1", "2", "x", "y", "z"] * 9, "multiclass"),
    ],
)
def test_the_task(cells: list[Any], task: str) -> None:
    assert infer_task(seen(cells), "y")[0] == task


def test_the_positive_label() -> None:
    assert pick_positive(seen(["churn", "stay", "stay"]), "y", None) == ("churn", "it is the rarer one")
    assert pick_positive(seen(["YES", "no", "no"]), "y", None)[0] == "YES"
    assert pick_positive(seen([1.0, 2.0, 2.0]), "y", " 2.0 ") == ("2.0", "as declared")
    assert pick_positive(seen([True, False]), "y", "True") == ("True", "as declared")
    with pytest.raises(SpecError, match="does not occur") as error:
        pick_positive(seen(["churned", "stayed"]), "y", "churn")
    assert "'churned'" in error.value.cure


def test_labels_are_counted_over_all_parts() -> None:
    cells = ["b"] * 120 + ["a"] * 30 + [" a "] * 10 + [None] * 7 + ["?"]
    target = seen(cells)
    assert (target.rows, target.labelled, target.labels) == (len(cells), 160, {"b": 120, "a": 40})
    assert Counter(target.labels).total() == target.labelled
    numbers = seen([str(value) for value in range(150)] + ["none", "-"])
    assert (numbers.numbers, numbers.doubtful, len(numbers.values)) == (150, 2, 150)


def test_many_different_numbers_are_all_counted() -> None:
    cells = [*range(MAX_LABELS + 500), None, None, *([0.5] * 60), "none", -7.25]
    target = seen(pa.array([None if cell is None else str(cell) for cell in cells]))
    assert target.rows == len(cells)
    assert target.numbers == MAX_LABELS + 561
    assert target.labelled == target.numbers + 1
    assert target.doubtful == 1
    assert not target.whole
    assert target.values[0] == -7.25
    assert target.counts[np.searchsorted(target.values, 0.5)] == 60
    assert target.labels == {}
