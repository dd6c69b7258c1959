from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.inference.recipe.number_parsing import Change, NumberText, written_from_json

GERMAN = NumberText(decimal=",", thousands=".")
ENGLISH = NumberText(thousands=",", currency=True, suffixes=(("kg", 1.0), ("g", 0.001), ("%", 0.01)))


@pytest.mark.parametrize(
    ("style", "text", "number"),
    [
        (ENGLISH, "1,234.5", 1234.5),
        (ENGLISH, "1234.5", 1234.5),
        (ENGLISH, "$ 1,000", 1000.0),
        (ENGLISH, "-€5", -5.0),
        (ENGLISH, "5 €", 5.0),
        (ENGLISH, "12 %", 0.12),
        (ENGLISH, "80 KG", 80.0),
        (ENGLISH, "250g", 0.25),
        (ENGLISH, "\u22125", -5.0),
        (ENGLISH, "1e3", 1000.0),
        (GERMAN, "1.234,5", 1234.5),
        (GERMAN, "1.234", 1234.0),
        (GERMAN, ",5", 0.5),
        (NumberText(thousands=" "), "1\u00a0234 567.5", 1234567.5),
        (NumberText(thousands="'"), "1\u2019000", 1000.0),
    ],
)
def test_numbers_as_they_are_written(style: NumberText, text: str, number: float) -> None:
    assert style.read(text) == number


@pytest.mark.parametrize("text", ["1,2x", "12e", "1,23", "1,2345", "--5", "-$-5", "5 %%", "$", "kg", ""])
def test_garbled_numbers_are_none(text: str) -> None:
    assert ENGLISH.read(text) is None


@pytest.mark.parametrize("text", ["1.23", "1,234.5", "5 $"])
def test_the_other_way_of_writing_is_refused(text: str) -> None:
    assert GERMAN.read(text) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_plain_numbers_read_as_they_stand(number: float) -> None:
    assert ENGLISH.keeps_plain
    assert ENGLISH.read(repr(number)) == number


def test_json_gives_the_same_reader() -> None:
    assert written_from_json(ENGLISH.to_json()) == ENGLISH


BOUND = st.none() | st.floats(-1e6, 1e6)


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=6),
    st.none() | st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)),
    st.none() | st.tuples(st.sampled_from([10.0, 1000.0, 1e300]), st.floats(-1e3, 0), st.floats(0, 1e3)),
    st.tuples(BOUND, BOUND) | st.none(),
)
def test_a_column_changes_like_its_cells(
    values: list[float],
    unit: tuple[float, float] | None,
    slip: tuple[float, float, float] | None,
    clip: tuple[float | None, float | None] | None,
) -> None:
    change = Change(unit, slip, clip)
    cell = change.cell()
    column = change.column(np.array(values, dtype=np.float64))
    for value, changed in zip(values, column, strict=True):
        assert cell(value) == changed or (math.isnan(cell(value)) and math.isnan(changed))
    assert np.isnan(change.column(np.array([np.nan]))).all()


def test_a_slip_is_repaired_only_into_the_range() -> None:
    change = Change(slip=(1000.0, 10.0, 100.0))
    assert change.column(np.array([50.0, 50_000.0, 0.05, 500.0, 5.0])).tolist() == [50.0, 50.0, 50.0, 500.0, 5.0]
