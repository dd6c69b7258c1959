from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.errors import SpecError
from pipelines.evaluation.explanation.fairness import fairness, unfair
from pipelines.evaluation.explanation.slices import FEW_ROWS, MOST_VALUES, slice_scores, slices_of
from pipelines.evaluation.spec import EvaluateSpec

RNG = np.random.default_rng(0)
ROWS = 900
PEOPLE = pd.DataFrame(
    {
        "town": RNG.choice(["a", "b", "c"], ROWS, p=[0.6, 0.35, 0.05]),
        "age": np.where(RNG.random(ROWS) < 0.1, np.nan, RNG.integers(18, 90, ROWS)),
        "many": [f"v{number}" for number in RNG.integers(0, 60, ROWS)],
        "day": pd.date_range("2026-01-01", periods=ROWS, freq="h"),
    }
)
TRUTH = RNG.integers(0, 2, ROWS).astype(float)


def predictions(right: Any) -> np.ndarray:
    """Probabilities that are right where ``right`` is true, and uninformative elsewhere."""
    p = np.where(right, 0.3 + 0.4 * TRUTH, 0.5) + RNG.normal(scale=0.05, size=ROWS)
    p = np.clip(p, 0.01, 0.99)
    return np.column_stack([1 - p, p])


def test_every_row_lies_in_one_slice_of_each_column() -> None:
    cut = slices_of(PEOPLE, ["town", "age", "many", "day"])
    for column in ("town", "age", "many", "day"):
        total = sum(one.mask.astype(int) for one in cut if one.column == column)
        np.testing.assert_array_equal(total, 1)
    values = {column: [one.value for one in cut if one.column == column] for column in PEOPLE}
    assert values["town"] == ["a", "b", "c"]
    assert values["age"][-1] == "(missing)"
    assert len(values["age"]) == 5
    assert values["many"][-1] == f"({60 - MOST_VALUES} rarer)"
    assert values["day"][0] == "2026-01"


def test_values_of_a_few_rows_are_taken_together() -> None:
    gains = pd.DataFrame({"gain": [0.0] * 30 + [594.0, 4064.0, 7298.0, 15024.0], "kind": ["x"] * 30 + ["y"] * 4})
    assert len(slices_of(gains, ["gain", "kind"])) == 5 + 2, "what is declared is cut as it is"
    cut = slices_of(gains, ["gain", "kind"], least=FEW_ROWS)
    assert [(one.column, one.value, int(one.mask.sum())) for one in cut] == [
        ("gain", "0", 30),
        ("gain", "(4 rarer)", 4),
        ("kind", "x", 30),
        ("kind", "(1 rarer)", 4),
    ]


def test_columns_that_are_not_there_are_named_at_once() -> None:
    with pytest.raises(SpecError, match="2 columns to cut") as caught:
        slices_of(PEOPLE, ["town", "sex", "race"])
    assert caught.value.seen == "sex, race"


def test_a_slice_that_got_worse_blocks_and_others_do_not() -> None:
    town = PEOPLE["town"].to_numpy()
    sides = {"model": predictions(town == "a"), "champion": predictions(town != "c")}
    found = {
        entry["value"]: entry
        for entry in slice_scores(
            "roc_auc", TRUTH, sides, slices_of(PEOPLE, ["town"]), EvaluateSpec(slices=("town",)), declared=True, seed=0
        )
    }
    assert [found[value]["rows"] for value in "abc"] == [int((town == value).sum()) for value in "abc"]
    assert found["a"]["why"] == ""
    assert "where town is b" in found["b"]["why"]
    assert not found["c"]["binds"]  # too few rows
    undeclared = slice_scores(
        "roc_auc", TRUTH, sides, slices_of(PEOPLE, ["town"]), EvaluateSpec(), declared=False, seed=0
    )
    assert not any(entry["why"] for entry in undeclared)


def test_equal_models_are_hardly_ever_blocked_however_many_slices() -> None:
    blocked = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = pd.DataFrame({"c": rng.integers(0, 8, 1600).astype(str)})
        truth = rng.integers(0, 2, 1600).astype(float)
        both = []
        for _ in range(2):
            p = np.clip(0.3 + 0.4 * truth + rng.normal(scale=0.35, size=1600), 0.01, 0.99)
            both.append(np.column_stack([1 - p, p]))
        sides = {"model": both[0], "champion": both[1]}
        spec = EvaluateSpec(slices=("c",))
        found = slice_scores("roc_auc", truth, sides, slices_of(rows, ["c"]), spec, declared=True, seed=0)
        blocked += any(entry["why"] for entry in found)
    assert blocked <= 4  # one in twenty is expected


def test_a_slice_with_enough_days_is_paired_by_day() -> None:
    """One town had its good and its bad days; row by row it looks surely worse."""
    rng, day = np.random.default_rng(1), np.repeat(np.arange(12), 75)
    off = rng.normal(size=12)
    off = 0.25 + (off - off.mean()) / off.std()
    truth, slight = np.zeros(900), rng.normal(scale=0.1, size=900)
    sides = {"model": 10.0 + off[day] + slight, "champion": 10.0 - slight}
    cut, spec = slices_of(pd.DataFrame({"town": ["a"] * 900}), ["town"]), EvaluateSpec(slices=("town",))
    by_row, by_day = (
        slice_scores("mae", truth, sides, cut, spec, declared=True, seed=0, days=days)[0] for days in (None, day)
    )
    assert "worse than the champion" in by_row["why"]
    assert by_day["why"] == ""
    assert by_day["lower"] < by_row["lower"] < by_row["upper"] < 0 < by_day["upper"]


def test_a_slice_below_its_floor_blocks_without_a_champion() -> None:
    cut = slices_of(PEOPLE, ["town"])
    spec, y_pred = EvaluateSpec(slices=("town",), slice_floor=0.8), predictions(PEOPLE["town"] == "a")
    found = slice_scores("roc_auc", TRUTH, {"model": y_pred}, cut, spec, declared=True, seed=0)
    assert ["floor" in entry["why"] for entry in found] == [False, True, False]


def test_rates_of_groups_and_their_ratios() -> None:
    town = PEOPLE["town"].to_numpy()
    positive = np.where(town == "a", RNG.random(ROWS) < 0.6, RNG.random(ROWS) < 0.2).astype(float)
    y_pred = np.column_stack([1 - positive, positive])
    (found,) = fairness("binary", TRUTH, y_pred, slices_of(PEOPLE, ["town"], "fairness"), 60)
    by = {group["value"]: group for group in found["groups"]}
    assert by["a"]["rates"]["selected"] == pytest.approx(positive[town == "a"].mean())
    assert by["b"]["rates"]["found"] == pytest.approx(positive[(town == "b") & (TRUTH == 1)].mean())
    expected = by["b"]["rates"]["selected"] / by["a"]["rates"]["selected"]
    assert found["ratios"]["selected"] == pytest.approx(expected)  # group c has too few rows to count
    assert len(unfair([found], 0.8)) == 3
    assert unfair([found], None) == unfair([found], 0.01) == []


def test_errors_of_groups_of_a_regression() -> None:
    truth = np.arange(ROWS, dtype=float)
    y_pred = truth + np.where(PEOPLE["town"] == "a", 1.0, 4.0)
    (found,) = fairness("regression", truth, y_pred, slices_of(PEOPLE, ["town"], "fairness"), 10)
    assert found["ratios"] == {"error": pytest.approx(0.25)}
