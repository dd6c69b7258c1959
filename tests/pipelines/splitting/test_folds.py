from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import DataError
from pipelines.row_hash import key_hash
from pipelines.splitting.folds import NO_FOLD, assign_folds


def units(keys: list[Any]) -> np.ndarray:
    return key_hash(pa.array([f"key {key}" for key in keys]), 0)


def two_classes(count: int) -> np.ndarray:
    return np.arange(count) % 2


@given(st.permutations(range(40)), st.integers(0, 5))
def test_the_order_of_the_rows_does_not_matter(order: list[int], seed: int) -> None:
    keys, y = units(list(range(40))), two_classes(40)
    folds, _ = assign_folds(keys, y, 5, seed, task="binary")
    shuffled, _ = assign_folds(keys[order], y[order], 5, seed, task="binary")
    np.testing.assert_array_equal(folds[order], shuffled)


def test_the_seed_matters() -> None:
    one, two = (assign_folds(units(list(range(100))), two_classes(100), 5, seed, task="binary")[0] for seed in (0, 1))
    assert (one != two).any()


def test_classes_are_spread_evenly() -> None:
    y = np.repeat([1, 0], [13, 987])
    folds, how = assign_folds(units(list(range(1000))), y, 5, 0, task="binary")
    assert how == "stratified"
    assert sorted(np.bincount(folds[:13])) == [2, 2, 3, 3, 3]
    assert max(np.bincount(folds)) - min(np.bincount(folds)) <= 1


def test_a_class_of_one_row_is_assigned_too() -> None:
    folds, _ = assign_folds(units(list(range(50))), np.append(two_classes(49), 2), 5, 0, task="multiclass")
    assert len(folds) == 50
    assert set(folds) == set(range(5))


def test_rows_of_one_unit_share_a_fold() -> None:
    keys = np.arange(60) // 3
    folds, _ = assign_folds(units(keys.tolist()), two_classes(60), 5, 0, task="binary")
    assert all(len(set(folds[keys == key])) == 1 for key in range(20))


def test_regression_folds_have_alike_targets() -> None:
    y = np.random.default_rng(0).lognormal(size=2000)
    folds, _ = assign_folds(units(list(range(2000))), y, 5, 0, task="regression")
    medians = [np.median(y[folds == fold]) for fold in range(5)]
    assert max(medians) - min(medians) < 0.1
    few, _ = assign_folds(units(list(range(60))), np.arange(60.0) % 3, 3, 0, task="regression")
    assert [np.bincount(few[value::3]).tolist() for value in range(3)] == [[7, 7, 6], [7, 6, 7], [6, 7, 7]]


def test_the_latest_blocks_judge() -> None:
    day = np.arange(800) // 10
    folds, how = assign_folds(units(list(range(800))), two_classes(800), 5, 0, task="binary", day=day, judged=0.6)
    assert how == "blocks of days"
    assert (np.diff(folds) >= 0).all()
    assert np.unique(folds).tolist() == [-3, -2, -1, 0, 1, 2, 3, 4]
    assert abs((folds >= 0).mean() - 0.6) < 0.05
    short, _ = assign_folds(units(list(range(120))), two_classes(120), 5, 0, task="binary", day=day[:120], judged=0.6)
    assert np.unique(short).tolist() == [-1, 0, 1, 2, 3, 4], "two days a block are the least"


@pytest.mark.parametrize(("time_folds", "how"), [("hashed", "by day"), ("blocked", "blocks of days")])
def test_rows_of_a_day_share_a_fold(time_folds: str, how: str) -> None:
    day = np.arange(600) // 20
    folds, told = assign_folds(
        units(list(range(600))), two_classes(600), 5, 0, task="binary", day=day, time_folds=time_folds
    )
    assert told == how
    assert all(len(set(folds[day == one])) == 1 for one in range(30))
    assert np.bincount(folds).tolist() == [120] * 5
    assert (np.diff(folds) >= 0).all() == (time_folds == "blocked")


def test_every_block_has_days_however_uneven_they_are() -> None:
    sizes = [1, 1, 500, 1, 1, 1, 1, 300, 1, 1]
    day = np.repeat(np.arange(10), np.array(sizes) * 2)
    folds, how = assign_folds(units(list(range(len(day)))), two_classes(len(day)), 5, 0, task="binary", day=day)
    assert how == "blocks of days"
    assert (np.diff(folds) >= 0).all()
    assert set(folds) == set(range(5))


def test_an_embargo_leaves_the_days_at_borders_out() -> None:
    day = np.arange(300) // 10
    folds, _ = assign_folds(units(list(range(300))), two_classes(300), 3, 0, task="binary", day=day, embargo=2)
    assert sorted(set(day[folds == NO_FOLD])) == [8, 9, 10, 11, 18, 19, 20, 21]
    gaps = [day[folds == fold].min() - day[folds == fold - 1].max() for fold in (1, 2)]
    assert gaps == [5, 5]


def test_an_embargo_that_takes_whole_folds_is_refused() -> None:
    day = np.arange(200) // 20
    with pytest.raises(DataError, match="too little of some folds") as caught:
        assign_folds(units(list(range(200))), two_classes(200), 5, 0, task="binary", day=day, embargo=1)
    assert caught.value.seen == "40 of 200 rows left; folds 1, 2, 3 of 5 without rows of two classes"
    day = np.arange(400) // 10
    late = (np.arange(400) % 10 == 0) & ~np.isin(day, np.arange(11, 19))
    with pytest.raises(DataError, match="too little of some folds"):
        assign_folds(units(list(range(400))), late.astype(int), 4, 0, task="binary", day=day, embargo=1)
    numbers = np.arange(200.0)
    with pytest.raises(DataError, match="1, 2, 3 of 5 without rows\n"):
        assign_folds(units(list(range(200))), numbers, 5, 0, task="regression", day=np.arange(200) // 20, embargo=1)


def test_a_unit_on_two_days_stays_in_one_fold() -> None:
    keys = list(range(60))
    keys[40] = 0
    for how in ("hashed", "blocked"):
        folds, _ = assign_folds(
            units(keys), two_classes(60), 5, 0, task="binary", day=np.arange(60) // 2, time_folds=how
        )
        assert folds[40] == folds[0]


def test_few_days_are_split_like_undated_rows() -> None:
    folds = assign_folds(units(list(range(100))), two_classes(100), 5, 0, task="binary", day=np.arange(100) // 25)
    assert folds[1] == "stratified"


def test_blocks_without_two_classes_are_not_used() -> None:
    """The label comes in one long run: only dealt-out days, or rows, return every fold both classes."""
    day = np.arange(400) // 10
    run = (day >= 20).astype(int)
    assert assign_folds(units(list(range(400))), run, 4, 0, task="binary", day=day)[1] == "by day"
    rare = (np.arange(400) >= 395).astype(int)
    folds, how = assign_folds(units(list(range(400))), rare, 4, 0, task="binary", day=day)
    assert how == "stratified"
    assert sorted(np.bincount(folds[395:], minlength=4)) == [1, 1, 1, 2]


def test_fewer_keys_than_folds_make_fewer_folds() -> None:
    assert set(assign_folds(units([0, 1, 2]), two_classes(3), 5, 0, task="binary")[0]) == {0, 1, 2}
    with pytest.raises(DataError, match="too few"):
        assign_folds(units([0]), two_classes(1), 5, 0, task="binary")
