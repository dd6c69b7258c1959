"""Where the sealed part begins, and which entities it holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ingestion.holdout.holdout_bounds import (
    LEAST_OF_CLASS,
    Bounds,
    Seal,
    by_group,
    by_key,
    first_sealed_day,
    threshold,
)
from pipelines.ingestion.holdout.tallies import Classes, Sizes
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


def classes_of(scores: Sequence[float], labels: Sequence[str | None]) -> Classes:
    found = Classes()
    found.add(np.array(scores, float), pa.array(labels, pa.string()))
    return found


def test_a_class_without_a_sealed_key_gets_one_on_the_first_night_alone() -> None:
    scores = np.arange(1, 101) / 101
    labels = ["often" if score < 0.5 else "seldom" if score < 0.7 else "once" for score in scores]
    labels[-1] = "alone"
    found = by_key(scores, classes_of(scores, labels), spec(), Bounds())
    firsts = [float(scores[labels.index(label)]) for label in ("seldom", "once")]
    assert found == Seal(0.1, extra=tuple(firsts)), "a class of one row is left to training"
    assert {labels[row] for row in np.flatnonzero(found.holds(scores))} == {"often", "seldom", "once"}
    later = by_key(scores, classes_of(scores, labels), spec(), Bounds(threshold=0.1, extra=frozenset()))
    assert later == Seal(0.1), "these keys may have trained a model"
    kept = by_key(scores, Classes(), spec(), Bounds(threshold=0.1, extra=frozenset(firsts)))
    assert kept == found


def test_a_class_of_few_rows_or_of_one_key_is_left_to_training() -> None:
    scores = np.append(np.full(30, 0.9), np.linspace(0.2, 0.8, LEAST_OF_CLASS - 1))
    labels = ["one key"] * 30 + ["few"] * (LEAST_OF_CLASS - 1)
    assert by_key(scores, classes_of(scores, labels), spec(), Bounds()).extra == ()


def sealed(
    sizes: Sequence[int],
    scores: Sequence[float],
    bounds: Bounds | None = None,
    labels: Sequence[str] = (),
    **options: object,
) -> tuple[Seal, list[int]]:
    """Return the seal of entities with these labelled rows, and the indices of those that are sealed."""
    order = np.argsort(scores)
    rows = (
        [(score, label) for score, size, label in zip(scores, sizes, labels, strict=True) for _ in range(size)]
        if (labels)
        else []
    )
    classes = classes_of(*zip(*rows, strict=True)) if rows else Classes()
    ordered = np.array(scores, float)[order]
    found = by_group(ordered, np.array(sizes, np.int64)[order], classes, spec(**options), bounds or Bounds())
    return found, sorted(order[found.holds(ordered)].tolist())


def test_entities_below_the_share_are_sealed() -> None:
    scores = (np.arange(100) + 0.5) / 100
    found, indices = sealed([30] * 100, scores.tolist())
    assert (found, indices) == (Seal(0.1), list(range(10)))


def test_few_entities_are_sealed_in_their_order_until_there_is_enough() -> None:
    scores = [0.9, 0.3, 0.6, 0.4, 0.8, 0.7, 0.5, 0.95, 0.35, 0.65, 0.75, 0.85]
    found, indices = sealed([30] * 12, scores)
    assert indices == [1, 8]
    assert found == Seal(0.4), "the next entity's score: what comes below it tomorrow is sealed, too"
    assert sealed([1] * 40, np.linspace(0.11, 0.9, 40).tolist())[1] == [0, 1, 2, 3]
    assert sealed([1] * 40, np.linspace(0.09, 0.9, 40).tolist())[1] == [0, 1, 2, 3], "too few lie below the share"
    assert sealed([1] * 40, [0.08, *np.linspace(0.09, 0.9, 39)])[1] == [0, 1], "half of the wanted do"


def test_a_large_entity_is_passed_over_for_good() -> None:
    scores = [0.01, *np.linspace(0.02, 0.99, 50)]
    found, indices = sealed([500, *[10] * 50], scores)
    assert 0 not in indices
    assert found.passed == (0.01,)
    assert 50 <= 10 * len(indices) <= 200
    shrunk, later = sealed([10] * 51, scores, Bounds(None, found.threshold, frozenset({0.01})))
    assert 0 not in later
    assert shrunk.passed == (0.01,)


@pytest.mark.parametrize("sizes", [[50, 50], [40, 30, 30], [10, 80], [26, 25, 25, 24]])
def test_where_every_entity_is_large_the_smallest_is_sealed(sizes: list[int]) -> None:
    _, indices = sealed(sizes, np.linspace(0.9, 0.2, len(sizes)).tolist())
    assert [sizes[index] for index in indices] == [min(sizes)]
    assert sealed([100], [0.05])[1] == []


def test_the_row_limit_holds_for_entities() -> None:
    scores = (np.arange(100) + 0.5) / 100
    found, indices = sealed([30] * 100, scores.tolist(), seal_max_rows=100)
    assert indices == [0, 1, 2]
    assert found.threshold == scores[3]


def test_two_classes_are_sealed_though_each_entity_has_one() -> None:
    scores, labels = [0.2, 0.4, 0.6, 0.7, 0.8, 0.9], ["yes", "yes", "no", "no", "yes", "no"]
    found, indices = sealed([20] * 6, scores, labels=labels)
    assert indices == [0, 2]
    assert found.extra == (0.6,)
    again, same = sealed([20] * 6, scores, Bounds(threshold=found.threshold, extra=frozenset(found.extra)), labels)
    assert (again, same) == (found, indices)
    grown, fewer = sealed([20, 20, 90, *[20] * 3], scores, Bounds(None, found.threshold, extra=frozenset(found.extra)))
    assert (grown.extra, fewer) == ((), [0]), "an entity that has become too large goes to training"


def test_unlabelled_entities_take_no_room() -> None:
    scores = (np.arange(40) + 0.5) / 40
    sizes = [0] * 5 + [10] * 35
    _, indices = sealed(sizes, scores.tolist())
    assert sum(sizes[index] for index in indices) >= 0.05 * 350


SIZES = st.lists(st.integers(0, 60), min_size=2, max_size=80).filter(lambda sizes: sum(size > 0 for size in sizes) > 1)


@given(SIZES, st.floats(0.02, 0.45), st.integers(5, 500), st.randoms(use_true_random=False))
def test_both_sides_of_entities_keep_their_rows(sizes: list[int], share: float, most: int, draw: object) -> None:
    scores = np.random.default_rng(draw.getrandbits(32)).random(len(sizes)).tolist()  # type: ignore[attr-defined]
    _, indices = sealed(sizes, scores, seal_share=share, seal_max_rows=most)
    rows, held = sum(sizes), sum(sizes[index] for index in indices)
    room = min(most, 2 * share * rows, rows / 2)
    assert 0 < held < rows
    assert held <= max(room, min(size for size in sizes if size))
    if max(sizes) <= room / 2:
        assert held >= min(share * rows / 2, room / 2), "small entities come near the wanted number"


NIGHTS = st.lists(st.lists(st.integers(0, 40), min_size=25, max_size=25), min_size=2, max_size=5)


@given(NIGHTS, st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.2, 0.4]))
def test_an_entity_that_trained_never_judges(nights: list[list[int]], seed: int, share: float) -> None:
    """Entities come, grow, shrink and go; what was on the training side of a night is not sealed later."""
    draw = np.random.default_rng(seed)
    scores, labels = draw.random(25).tolist(), draw.choice(["a", "b", "c"], 25).tolist()
    trained: set[int] = set()
    seen = defaultdict[str, list[object]](list)
    for sizes in nights:
        bounds = (
            Bounds()
            if not seen
            else Bounds(
                threshold=min(seen["threshold"]),
                passed=frozenset().union(*seen["passed"]),  # type: ignore[type-var, arg-type]
                extra=frozenset.intersection(*seen["extra"]),  # type: ignore[arg-type]
            )
        )
        found, indices = sealed(sizes, scores, bounds, labels, seal_share=share)
        judging = {index for index in indices if sizes[index]}
        assert not judging & trained
        trained |= {index for index in range(25) if sizes[index]} - judging
        for name, value in (
            ("threshold", found.threshold),
            ("passed", {*found.passed}),
            ("extra", frozenset(found.extra)),
        ):
            seen[name].append(value)


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["a", "b", None])), max_size=200), st.integers(1, 50))
def test_tallies_of_batches_are_those_of_all_rows(rows: list[tuple[int, str | None]], size: int) -> None:
    sizes, classes = Sizes(), Classes()
    for start in range(0, len(rows), size):
        scores = np.array([score for score, _ in rows[start : start + size]], float)
        labels = pa.array([label for _, label in rows[start : start + size]], pa.string())
        sizes.add(scores, labels.is_valid().to_numpy(zero_copy_only=False))
        classes.add(scores, labels)
    found = dict(zip(*(side.tolist() for side in sizes.units()), strict=True))
    assert found == {score: sum(s == score and label is not None for s, label in rows) for score, _ in rows}
    for index, label in enumerate(classes.labels):
        mine = [float(score) for score, own in rows if own == label]
        assert classes.rows[index] == len(mine)
        assert [score for score in classes.lowest[index].tolist() if score < np.inf] == sorted({*mine})[:16]
    assert {*classes.labels} == {label for _, label in rows if label}
