"""Where the sealed part begins."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ingestion.seal import first_sealed_day, threshold
from pipelines.ingestion.spec import IngestSpec

DAYS = [(date(2026, 1, 1) + timedelta(days=n), 10) for n in range(30)]


def spec(**options: object) -> IngestSpec:
    return IngestSpec(source="x", **options)


def test_the_smallest_number_of_last_days_that_holds_the_share() -> None:
    assert first_sealed_day(DAYS, spec(seal_share=0.1)) == date(2026, 1, 28)
    assert first_sealed_day(DAYS, spec(seal_share=0.11)) == date(2026, 1, 27)
    assert first_sealed_day(DAYS, spec(seal_share=0.1, seal_max_rows=25)) == date(2026, 1, 29)
    assert first_sealed_day(DAYS, spec(seal_days=7)) == date(2026, 1, 24)
    assert first_sealed_day([*DAYS, (date(2026, 2, 9), 0)], spec()) == date(2026, 1, 28)


def test_the_window_never_moves_back() -> None:
    assert first_sealed_day(DAYS, spec(), earlier="2026-01-30") == date(2026, 1, 30)
    assert first_sealed_day(DAYS, spec(), earlier="2026-01-05") == date(2026, 1, 28)


def test_one_day_is_never_sealed_whole() -> None:
    assert first_sealed_day(DAYS[:1], spec()) is None
    assert first_sealed_day([], spec()) is None


def test_the_threshold_sinks_until_few_enough_rows_are_sealed_and_never_rises() -> None:
    scores = np.random.default_rng(0).random(10_000)
    assert threshold(scores, spec()) == 0.1
    thinned = threshold(scores, spec(seal_max_rows=300))
    assert (scores < thinned).sum() == 300
    assert threshold(scores, spec(), earlier=thinned) == thinned


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 8), st.integers(1, 12))
def test_the_threshold_of_a_stream_is_that_of_all_rows(draws: list[int], most: int, size: int) -> None:
    scores = np.array(draws, float) / 100
    below = np.sort(scores[scores < 0.3])
    expected = below[most] if len(below) > most else 0.3
    parts = (scores[start : start + size] for start in range(0, len(scores), size))
    assert threshold(parts, spec(seal_share=0.3, seal_max_rows=most)) == expected
    assert threshold(scores, spec(seal_share=0.3, seal_max_rows=most)) == expected
