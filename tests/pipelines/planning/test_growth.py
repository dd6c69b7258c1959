"""The robust line: exact on a line, unmoved by wild nights, never negative, and honest about what it does not know."""

from __future__ import annotations

import doctest
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.planning import growth
from pipelines.planning.growth import Curve, Estimate, estimate, fitted, largest, n_log_n, together

CURVE = Curve(2.0, 1e-6)


def test_docstring_examples() -> None:
    assert doctest.testmod(growth).attempted == 1
    assert doctest.testmod(growth).failed == 0


def test_a_line_is_found_whatever_two_wild_nights_of_eight_say() -> None:
    points = [(n * 1e6, 3.0 + 2e-6 * n * 1e6) for n in range(1, 9)]
    points[2], points[5] = (3e6, 400.0), (6e6, 0.01)
    line = fitted(points, CURVE)
    assert line.fixed == pytest.approx(3.0, abs=0.01)
    assert line.per_unit == pytest.approx(2e-6, rel=0.01)
    assert estimate(points, 20e6, CURVE).value == pytest.approx(43.0, rel=0.01)


def test_few_nights_give_the_height_of_the_curve_and_a_level_has_no_slope_of_its_own() -> None:
    assert estimate([(1e6, 6.0)], 4e6, CURVE).value == pytest.approx(12.0)  # twice the curve's 3, so twice its 6
    level = [(1e6, 6.0)] * 10
    assert estimate(level, 4e6, CURVE).value == pytest.approx(12.0)
    assert estimate([(0.0, 5.0)] * 6, 0.0, Curve(1.0)).value == 5.0


def test_neither_part_is_negative() -> None:
    falling = [(n * 1e6, 20.0 - n) for n in range(1, 7)]
    assert fitted(falling, CURVE) == Curve(16.5)
    below = [(n * 1e6, 5e-6 * n * 1e6 - 4.0) for n in range(1, 7)]
    assert fitted(below, CURVE).fixed == 0.0


def test_without_a_night_the_interval_is_wide_and_it_narrows_with_nights() -> None:
    nothing = estimate([], 1e6, CURVE)
    assert (nothing.low, nothing.value, nothing.high) == (1.0, 3.0, 9.0)
    rng = np.random.default_rng(0)
    points = [(n * 1e5, (2.0 + n * 0.1) * rng.uniform(0.97, 1.03)) for n in range(1, 31)]
    widths = [(each := estimate(points[:count], 1e6, CURVE)).high / each.low for count in (1, 4, 30)]
    assert widths[0] > 1.5
    assert widths[2] < 1.2
    inside = estimate(points, 1.5e6, CURVE)
    beyond = estimate(points, 30e6, CURVE)
    assert (beyond.high - beyond.low) / beyond.value > 2 * (inside.high - inside.low) / inside.value


def test_sums_and_the_largest() -> None:
    parts = [Estimate(10.0, 7.0, 14.0), Estimate(20.0, 16.0, 23.0)]
    assert together(parts) == Estimate(30.0, 25.0, 35.0)
    assert largest(parts) == Estimate(20.0, 16.0, 23.0)
    assert largest([]) == Estimate(0.0, 0.0, 0.0)


histories = st.tuples(
    st.floats(0.5, 60.0),  # fixed seconds
    st.floats(1e-7, 1e-4),  # seconds a row
    st.floats(0.0, 0.08),  # growth of the table from night to night
    st.floats(0.0, 0.10),  # noise
    st.integers(0, 2**32 - 1),
)


@given(histories)
def test_after_five_nights_of_any_line_the_median_error_is_small(drawn: tuple[float, float, float, float, int]) -> None:
    fixed, slope, grows, noise, seed = drawn
    rng = np.random.default_rng(seed)
    works = 1e6 * (1 + grows) ** np.arange(15) * rng.uniform(0.9, 1.1, 15)
    taken = (fixed + slope * works) * np.exp(rng.normal(0.0, noise, 15))
    taken[rng.integers(0, 5)] *= 4.0  # a night on a busy machine
    points = list(zip(works.tolist(), taken.tolist(), strict=True))
    found = [estimate(points[:night], works[night], CURVE) for night in range(5, 15)]
    errors = [abs(each.value - taken[night]) / taken[night] for night, each in enumerate(found, 5)]
    assert median(errors) <= 0.25
    assert all(0 <= each.low <= each.value <= each.high for each in found)


def test_intervals_hold_about_their_share_of_nights() -> None:
    rng = np.random.default_rng(1)
    held = []
    for _ in range(120):
        works = 1e6 * rng.uniform(1, 4, 13)
        taken = (5.0 + 4e-6 * works) * np.exp(rng.normal(0.0, 0.12, 13))
        points = list(zip(works.tolist(), taken.tolist(), strict=True))
        each = estimate(points[:12], works[12], CURVE)
        held.append(each.low <= taken[12] <= each.high)
    assert 0.7 <= np.mean(held) <= 0.95


@given(st.floats(1.0, 1e10), st.floats(1.0, 1e10))
def test_sorting_grows_faster_than_its_rows(one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert n_log_n(small) <= n_log_n(large)
    assert n_log_n(2 * large) >= 2 * n_log_n(large)
