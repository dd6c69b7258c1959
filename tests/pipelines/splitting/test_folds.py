from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import DataError
from pipelines.splitting.folds import assign_folds


def frame(count: int, **columns: object) -> pd.DataFrame:
    keys = [f"key {number}" for number in range(count)]
    return pd.DataFrame({"_key": keys, "_y": ["a", "b"] * (count // 2) + ["a"] * (count % 2), **columns})


@given(st.permutations(range(40)), st.integers(0, 5))
def test_the_order_of_the_rows_does_not_matter(order: list[int], seed: int) -> None:
    rows = frame(40)
    folds, _ = assign_folds(rows, 5, seed, task="binary", dated=False)
    shuffled, _ = assign_folds(rows.iloc[order].reset_index(drop=True), 5, seed, task="binary", dated=False)
    np.testing.assert_array_equal(folds[order], shuffled)


def test_the_seed_matters() -> None:
    one, two = (assign_folds(frame(100), 5, seed, task="binary", dated=False)[0] for seed in (0, 1))
    assert (one != two).any()


def test_classes_are_spread_evenly() -> None:
    rows = frame(1000)
    rows["_y"] = ["rare"] * 13 + ["common"] * 987
    folds, how = assign_folds(rows, 5, 0, task="binary", dated=False)
    assert how == "stratified"
    assert sorted(pd.Series(folds[:13]).value_counts()) == [2, 2, 3, 3, 3]
    assert max(np.bincount(folds)) - min(np.bincount(folds)) <= 1


def test_a_class_of_one_row_is_assigned_too() -> None:
    rows = frame(50)
    rows.loc[0, "_y"] = "only"
    folds, _ = assign_folds(rows, 5, 0, task="multiclass", dated=False)
    assert len(folds) == 50
    assert set(folds) == set(range(5))


def test_equal_keys_share_a_fold() -> None:
    rows = frame(60)
    rows["_key"] = [f"key {number // 3}" for number in range(60)]
    folds, _ = assign_folds(rows, 5, 0, task="binary", dated=False)
    assert (pd.Series(folds).groupby(rows["_key"]).nunique() == 1).all()


def test_regression_folds_have_alike_targets() -> None:
    rows = frame(2000, _y=np.random.default_rng(0).lognormal(size=2000))
    folds, _ = assign_folds(rows, 5, 0, task="regression", dated=False)
    medians = rows["_y"].groupby(folds).median()
    assert medians.max() - medians.min() < 0.1


def test_rows_of_a_day_share_a_fold() -> None:
    days = pd.date_range("2026-01-01", periods=30, tz="UTC").repeat(20) + pd.Timedelta("3h")
    rows = frame(600, _time=days)
    folds, how = assign_folds(rows, 5, 0, task="binary", dated=True)
    assert how == "by day"
    assert (pd.Series(folds).groupby(days.floor("D")).nunique() == 1).all()
    assert np.bincount(folds).tolist() == [120] * 5


def test_a_key_on_two_days_stays_in_one_fold() -> None:
    days = pd.date_range("2026-01-01", periods=30, tz="UTC").repeat(2)
    rows = frame(60, _time=days)
    rows.loc[40, "_key"] = "key 0"
    folds, _ = assign_folds(rows, 5, 0, task="binary", dated=True)
    assert folds[40] == folds[0]


def test_few_days_are_split_like_undated_rows() -> None:
    rows = frame(100, _time=pd.date_range("2026-01-01", periods=4, tz="UTC").repeat(25))
    assert assign_folds(rows, 5, 0, task="binary", dated=True)[1] == "stratified"


def test_fewer_keys_than_folds_make_fewer_folds() -> None:
    assert set(assign_folds(frame(3), 5, 0, task="binary", dated=False)[0]) == {0, 1, 2}
    with pytest.raises(DataError, match="too few"):
        assign_folds(frame(1), 5, 0, task="binary", dated=False)
