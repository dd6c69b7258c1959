from __future__ import annotations

import os
from typing import Any

import lightgbm
import numpy as np
import pytest
from learning import make_columns

from pipelines.algorithms.base import Array
from pipelines.inference.members.boosters import LightGBMMember
from pipelines.inference.trees import bitset_lookup, fast_predict
from pipelines.inference.trees.bitset_lookup import Masks
from pipelines.inference.trees.lightgbm_format import Nodes, booster_text


def booster(leaves: int = 9, trees: int = 12, **options: Any) -> lightgbm.Booster:
    columns = make_columns("regression", rows=1_500)
    settings = {
        "verbosity": -1,
        "num_leaves": leaves,
        "num_threads": 1,
        "cat_smooth": 1.0,
        "min_data_per_group": 5,
        "min_data_in_leaf": 2,
        **options,
    }
    label = np.digitize(columns.y, [-5.0, 10.0]) if options.get("num_class") else columns.y - columns.y.min()
    return lightgbm.train(settings, lightgbm.Dataset(columns.X, label=label, categorical_feature=[3]), trees)


def odd_rows() -> Array:
    """Rows with whatever a cell may hold, thresholds themselves among them."""
    rows = make_columns("regression", rows=600, seed=2).X
    odd = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-36, -1e-36, 1e300, -0.5, -1.0, -3.0, 2.7, 4.0, 5.0, 31.0, 32.0, 1e18]
    for index, value in enumerate(odd):
        rows[index], rows[40 + index, 3], rows[80 + index, 0] = value, value, value
    for index, word in enumerate(booster().model_to_string().partition("threshold=")[2].splitlines()[0].split()):
        rows[120 + index] = float(word)
    return rows


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"leaves": 4},
        {"leaves": 31, "trees": 300},
        {"leaves": 40},
        {"leaves": 100, "trees": 6},
        {"objective": "multiclass", "num_class": 3, "trees": 60},
        {"use_missing": False},
    ],
    ids=["16 bits", "8 bits", "32 bits, groups", "64 bits", "two words", "classes, groups", "no missing"],
)
def test_sums_are_those_of_a_walk_bit_for_bit(options: dict[str, Any]) -> None:
    trees = booster(**options)
    made = Masks.of(trees)
    assert made is not None
    rows = odd_rows()
    expected = trees.predict(rows, raw_score=True).reshape(len(rows), -1)
    np.testing.assert_array_equal(made.sums(rows), expected)
    np.testing.assert_array_equal(made.sums(rows[:33]), expected[:33])


def test_what_is_not_known_is_left_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = odd_rows()
    for trees in (
        booster(zero_as_missing=True),
        booster(boosting="rf", bagging_fraction=0.5, bagging_freq=1),
        booster(leaves=600, trees=1),
    ):
        assert Masks.of(trees) is None
    monkeypatch.setattr(bitset_lookup, "MOST_BYTES", 10)
    assert Masks.of(booster()) is None
    other = booster(objective="tweedie")
    member = LightGBMMember(other, 0)
    np.testing.assert_array_equal(member.predict(rows), other.predict(rows))


def test_a_tree_of_one_leaf_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    none, value = np.zeros(1, dtype=np.int32), np.array([0.5])
    single = Nodes(none, np.zeros(1), none, none, np.array([False]), np.array([True]), value)
    read = lightgbm.Booster(model_str=booster_text([single, single], columns=2))
    made = Masks.of(read)
    assert made is not None
    assert made.sums(np.zeros((3, 2))).tolist() == [[1.0]] * 3


@pytest.mark.parametrize("threshold", [0.0, 1e-38, -1.4e-45, 1e-35, 2e-35])
def test_what_is_nearly_zero_goes_where_the_library_sends_it(threshold: float) -> None:
    inner, none = np.array([False, True, True]), np.zeros(3, dtype=np.int32)
    nodes = Nodes(none, np.full(3, threshold), none + 1, none + 2, ~inner, inner, np.array([0.0, 1.0, 2.0]))
    read = lightgbm.Booster(model_str=booster_text([nodes], columns=2))
    made = Masks.of(read)
    assert made is not None
    cells = np.array([0.0, -0.0, 1e-45, 2e-38, 1e-36, float(np.float32(1e-35)), 1.1e-35, 3e-35, 1e-30])
    rows = np.zeros((2 * len(cells), 2))
    rows[:, 0] = np.concatenate([cells, -cells])
    np.testing.assert_array_equal(made.sums(rows)[:, 0], read.predict(rows, raw_score=True))


def test_a_trial_of_one_thread_looks_up_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for threads, expected in (
        ("1", 1),
        ("3", 3),
        ("", len(os.sched_getaffinity(0))),
        ("2,1", len(os.sched_getaffinity(0))),
    ):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        bitset_lookup._threads.cache_clear()
        assert bitset_lookup._threads()._max_workers == expected
    bitset_lookup._threads.cache_clear()


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_a_member_predicts_alike_alone_and_among_others(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = make_columns({0: "regression", 2: "binary", 3: "multiclass"}[classes], rows=500)
    objective = {0: {}, 2: {"objective": "binary"}, 3: {"objective": "multiclass", "num_class": 3}}[classes]
    data = lightgbm.Dataset(columns.X, label=columns.y, categorical_feature=[3])
    trees = lightgbm.train({"verbosity": -1, "num_leaves": 9, "num_threads": 1, **objective}, data, 20)
    member, asked = LightGBMMember(trees, classes), []
    monkeypatch.setattr(Masks, "sums", lambda self, X, sums=Masks.sums: asked.append(len(X)) or sums(self, X))
    monkeypatch.setattr(fast_predict, "TABLE_ROWS", 900)
    walked = member.predict(columns.X)
    assert asked == []  # so few rows do not pay for the tables yet
    many = member.predict(columns.X)
    assert asked == [500]
    np.testing.assert_array_equal(walked, many)
    expected = trees.predict(columns.X)
    np.testing.assert_allclose(many[:, 1] if classes == 2 else many, expected, rtol=1e-13)
    alone = np.concatenate([member.predict(columns.X[row : row + 1]) for row in range(200)])
    np.testing.assert_array_equal(many[:200], alone)
    np.testing.assert_array_equal(many[:200], member.predict(columns.X[:200]))
    few = fast_predict.MASK_ROWS - 1
    np.testing.assert_array_equal(many[:few], member.predict(columns.X[:few]))
    assert asked == [500, 200]
