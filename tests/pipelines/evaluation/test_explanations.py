"""Importances, Shapley values, suspicion and limits, each on a model whose truth is known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import learning
import lightgbm
import numpy as np
import pandas as pd
import pytest

from pipelines.algorithms.base import Dataset, FitContext, TaskInfo
from pipelines.algorithms.families import family
from pipelines.errors import DataError, GateError
from pipelines.evaluation.comparison.simple_baselines import label_free, learning_curve, linear_predictions
from pipelines.evaluation.explanation.importance import kept_alone, permutation_importance
from pipelines.evaluation.explanation.shapley import (
    EXACT,
    SAMPLED,
    WEIGHTED,
    attention,
    contributions,
    sampled,
    tree_contributions,
)
from pipelines.evaluation.gate import limits
from pipelines.evaluation.gate.sanity_checks import (
    check_defined,
    check_leak,
    check_predictions,
    constant,
    nearly_perfect,
)
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.inference.ensemble.ensemble import Ensemble
from pipelines.inference.members.boosters import LightGBMMember
from pipelines.inference.members.combination_nodes import BAG, EnsembleNode

RNG = np.random.default_rng(0)


def test_the_column_that_the_score_hangs_on_comes_first() -> None:
    rows = pd.DataFrame(RNG.normal(size=(500, 3)), columns=["strong", "weak", "noise"])
    truth = 3.0 * rows["strong"].to_numpy() + rows["weak"].to_numpy()

    def predict(part: pd.DataFrame) -> np.ndarray:
        return 3.0 * part["strong"].to_numpy() + part["weak"].to_numpy()

    found = permutation_importance(rows, list(rows), truth, predict, "rmse", rows=400, seed=0)
    assert [entry["column"] for entry in found] == ["strong", "weak", "noise"]
    assert found[0]["loss"] == pytest.approx(3.0 * 2**0.5, rel=0.15)
    assert found[2]["loss"] == 0.0


def test_what_a_column_carries_alone_shows_where_shuffling_it_does_not() -> None:
    """Of two copies of the target a model that reads one loses nothing with the other; each alone shows it."""
    truth = RNG.integers(0, 2, 300).astype(float)
    rows = pd.DataFrame({"copy": truth, "noise": RNG.normal(size=300)})

    def predict(part: pd.DataFrame) -> np.ndarray:
        p = np.clip(0.9 * part["copy"].to_numpy() + 0.01 * part["noise"].to_numpy(), 0, 1)
        return np.column_stack([1 - p, p])

    found = kept_alone(rows, list(rows), truth, predict, "roc_auc", rows=300, seed=0)
    assert found["copy"] == pytest.approx(1.0)
    assert found["noise"] == pytest.approx(0.5, abs=0.1)


def test_sampled_shapley_values_of_a_linear_model_are_its_terms_and_add_up() -> None:
    X, weights = RNG.normal(size=(40, 4)), np.array([2.0, -1.0, 0.5, 0.0])
    background = RNG.normal(size=(3000, 4))
    phi = np.mean([sampled(lambda batch: batch @ weights, X, background, seed) for seed in range(60)], axis=0)
    np.testing.assert_allclose(phi, weights * (X - background.mean(axis=0)), atol=0.9)
    assert np.abs(phi - weights * X).mean() < 0.15
    same = sampled(lambda batch: np.tanh(batch).sum(axis=1), X, np.zeros((1, 4)), 0)
    np.testing.assert_allclose(same.sum(axis=1), np.tanh(X).sum(axis=1))


def test_one_booster_is_explained_by_its_own_trees_and_a_combination_by_sampling() -> None:
    X = RNG.normal(size=(800, 4))
    y = (X[:, 0] + 0.5 * X[:, 1] + RNG.normal(scale=0.5, size=800) > 0).astype(float)
    data = lightgbm.Dataset(X, y)
    options = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    fitted = LightGBMMember(lightgbm.train(options, data, 30), 2)
    exact = tree_contributions(fitted, X[:50])
    np.testing.assert_allclose(exact.sum(axis=1), fitted.booster.predict(X[:50], raw_score=True), atol=1e-9)
    node = EnsembleNode((fitted,))
    alone = Ensemble((node,), {"kind": "single", "weights": [1.0]})
    several = Ensemble((node, node), {"kind": "average", "weights": [0.5, 0.5]})
    shares = {}
    for name, ensemble in {EXACT: alone, SAMPLED: several}.items():
        indices, phi, how = contributions(ensemble, X, 2, 0)
        assert how == name
        heaviest = attention(phi, X[indices], [("a", True), ("b", True), ("c", True), ("d", False)])
        assert [entry["feature"] for entry in heaviest[:2]] == ["a", "b"]
        assert heaviest[0]["pulls"] > 0.5
        assert next(entry["pulls"] for entry in heaviest if entry["feature"] == "d") is None
        assert sum(entry["share"] for entry in heaviest) == pytest.approx(1.0)
        shares[name] = heaviest[0]["share"]
    assert shares[EXACT] == pytest.approx(shares[SAMPLED], abs=0.1)


def expected(tree: dict[str, Any], row: np.ndarray, known: frozenset[int]) -> float:
    """A tree's prediction where only some features are known: at the others both sides count, by their rows."""
    if "leaf_value" in tree:
        return float(tree["leaf_value"])
    left, right = (expected(tree[f"{side}_child"], row, known) for side in ("left", "right"))
    if tree["split_feature"] not in known:
        counts = [
            side.get("internal_count", side.get("leaf_count")) for side in (tree["left_child"], tree["right_child"])
        ]
        return float((counts[0] * left + counts[1] * right) / tree["internal_count"])
    x = row[tree["split_feature"]]
    if tree["decision_type"] == "==":
        return left if x >= 0 and str(int(x)) in tree["threshold"].split("||") else right
    goes_left = tree["default_left"] if np.isnan(x) else x <= tree["threshold"]
    return left if goes_left else right


def brute_force(value: Callable[[frozenset[int]], float], p: int) -> list[float]:
    """Shapley's own formula: what a feature adds to each set of the others, weighted by the orders that lead there."""
    found = []
    for feature in range(p):
        others = [other for other in range(p) if other != feature]
        sets = [frozenset(chosen) for size in range(p) for chosen in itertools.combinations(others, size)]
        found.append(
            sum(
                math.factorial(len(s)) * math.factorial(p - len(s) - 1) * (value(s | {feature}) - value(s))
                for s in sets
            )
            / math.factorial(p)
        )
    return found


def test_weighted_boosters_of_numbers_are_explained_exactly() -> None:
    X = np.column_stack([RNG.normal(size=300), RNG.normal(size=300), RNG.integers(-1, 4, 300).astype(float)])
    X[RNG.random(300) < 0.1, 0] = np.nan
    y = np.nan_to_num(X[:, 0]) * (1.0 + (X[:, 2] == 2)) + 0.5 * X[:, 1]
    shape = TaskInfo("regression", "rmse", 0, 300, ("number", "number", "code"), (0, 0, 4))
    small = {"lightgbm": {"num_leaves": 6, "iterations": 5}, "xgboost": {"max_leaves": 6, "iterations": 4}}
    members = {}
    for name, few in small.items():
        learner, rows = family(name), Dataset(X, y, np.ones(300))
        fitted = learner.fit({**learner.default(shape), **few}, rows, None, shape, FitContext())
        members[name] = fitted.member
    lgb, xgb = members["lightgbm"], members["xgboost"]
    combine = {"kind": "weighted_average", "weights": [0.7, 0.3, 0.0]}
    ensemble = Ensemble((EnsembleNode((lgb,)), EnsembleNode((xgb, lgb), kind=BAG), EnsembleNode((xgb,))), combine)
    indices, phi, how = contributions(ensemble, X[:20], 0, 0)
    assert how == WEIGHTED
    parts = [(0.85, lgb, X), (0.15, xgb, X.astype(np.float32).astype(float))]  # the second is in the bag
    trees = [
        (weight, tree["tree_structure"], rows)
        for weight, member, rows in parts
        for tree in member.booster.dump_model()["tree_info"]
    ]
    for index, found in zip(indices, phi, strict=True):

        def value(known: frozenset[int], index: int = index) -> float:
            return sum(weight * expected(tree, rows[index], known) for weight, tree, rows in trees)

        np.testing.assert_allclose(found, brute_force(value, 3), atol=1e-9)
        assert value(frozenset(range(3))) == pytest.approx(ensemble.predict(X[index][None])[0], abs=1e-9)
    options = {"objective": "poisson", "verbosity": -1, "num_threads": 1}
    curved = LightGBMMember(lightgbm.train(options, lightgbm.Dataset(X, y - y.min()), 3), 0)
    average = {"kind": "average", "weights": [0.5, 0.5]}
    assert contributions(Ensemble((EnsembleNode((lgb,)), EnsembleNode((curved,))), average), X[:20], 0, 0)[2] == SAMPLED


@pytest.mark.fault
def test_predictions_that_no_model_may_make_are_refused() -> None:
    with pytest.raises(GateError, match="not finite") as caught:
        check_predictions(np.array([[0.5, 0.5], [np.nan, 0.5]]))
    assert caught.value.seen == "1 of 2 rows"
    for wrong in ([[0.7, 0.7]], [[1.2, -0.2]]):
        with pytest.raises(GateError, match="not probabilities"):
            check_predictions(np.array(wrong))
    check_predictions(np.array([[0.3, 0.7]]))
    check_predictions(np.array([3.0, -9.0]))
    assert constant(np.full((5, 2), 0.5)) == ["its predictions are the same for every row"]
    assert constant(np.arange(3.0)) == constant(np.ones(1)) == []


@pytest.mark.fault
def test_a_nearly_perfect_score_that_hangs_on_one_column_is_a_leak() -> None:
    carried = [{"column": "outcome", "loss": 0.45, "error": 0.0}, {"column": "age", "loss": 0.01, "error": 0.0}]
    with pytest.raises(GateError, match="one column reveals the target") as caught:
        check_leak("roc_auc", 0.9991, 0.5, carried, {}, ())
    assert caught.value.where == "outcome"
    check_leak("roc_auc", 0.9991, 0.5, carried, {}, ("outcome",))
    check_leak("roc_auc", 0.93, 0.5, carried, {}, ())
    shared = [{**entry, "loss": 0.2} for entry in carried]
    assert not check_leak("roc_auc", 0.9991, 0.5, shared, {"outcome": 0.9, "age": 0.6}, ())
    with pytest.raises(GateError, match="one column reveals the target"):
        check_leak("roc_auc", 0.9991, 0.5, shared, {"outcome": 0.9985, "age": 0.6}, ())
    doubts = check_leak("roc_auc", 1.0, 0.5, carried, {}, (), rows=21)
    assert doubts == ["whether outcome reveals the target (21 of 50 rows needed)"], "so few rows fit by chance"
    assert nearly_perfect("rmse", 0.4, 50.0)
    assert not nearly_perfect("rmse", 0.6, 50.0)


def test_one_class_says_what_to_do() -> None:
    with pytest.raises(DataError, match="not defined") as caught:
        check_defined("roc_auc", float("nan"), np.ones(5))
    assert caught.value.seen == "5 rows, all of one class"


def test_limits_name_what_they_bind() -> None:
    seen = {"model_bytes": 60_000_000, "row_ms": 3.0, "calibration_error": 0.08}
    spec = EvaluateSpec(max_megabytes=50, max_row_ms=1, max_calibration_error=0.05)
    found = limits.broken(spec, seen)
    assert [line.split()[0:2] for line in found] == [["the", "model"], ["one", "row"], ["the", "calibration"]]
    assert limits.broken(EvaluateSpec(), seen) == []
    assert limits.broken(spec, {"model_bytes": 10, "calibration_error": None}) == []
    assert limits.declared(spec, seen)["megabytes"] == (60.0, 50)


def test_yardsticks_learn_and_features_made_of_labels_are_left_out() -> None:
    columns = learning.make_columns("binary", rows=600)
    train, rest = columns.part(np.arange(600) < 400), columns.part(np.arange(600) >= 400)
    curve = learning_curve(train, rest.X, rest.y, columns.shape, 0)
    assert [entry["rows"] for entry in curve] == [50, 100, 200, 400]
    assert curve[-1]["score"] > 0.75
    assert linear_predictions(train, rest.X, columns.shape, 0).shape == (200, 2)

    def step(kind: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Any:
        return SimpleNamespace(kind=kind, inputs=inputs, outputs=[SimpleNamespace(name=name) for name in outputs])

    steps = (
        step("target_mean", ("town",), ("town mean",)),
        step("ratio", ("town mean", "age"), ("mixed",)),
        step("scale", ("age",), ("age",)),
    )
    plan: Any = SimpleNamespace(operations=steps, outputs=("age", "town mean", "mixed", "other"))
    assert label_free(plan).tolist() == [0, 3]


def test_columns_shuffled_together_have_the_importance_that_they_have_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(3)
    clean = pd.DataFrame(
        {"a": rng.normal(size=60), "b": rng.normal(size=60), "c": pd.array(list("xyz") * 20, "string")}
    )
    clean.loc[::7, "b"] = np.nan
    truth = clean["a"].to_numpy() + (clean["c"] == "x").to_numpy(float)
    asked: list[int] = []

    def predict(rows: pd.DataFrame) -> np.ndarray:
        asked.append(len(rows))
        assert rows.dtypes.tolist() == clean.dtypes.tolist()
        return np.asarray(rows["a"] + (rows["c"] == "x").to_numpy(float) + 0.1 * rows["b"].fillna(0.0))

    found = []
    for cells in (1, 400, 10**6):
        monkeypatch.setattr("pipelines.evaluation.explanation.importance.CELLS_AT_ONCE", cells)
        asked.clear()
        ranked = permutation_importance(clean, ["a", "b", "c"], truth, predict, "rmse", rows=50, seed=1)
        found.append((ranked, kept_alone(clean, ["a", "b", "c"], truth, predict, "rmse", rows=50, seed=1)))
    assert found[0] == found[1] == found[2]
    assert asked == [50, 300, 150], "all at once"
    assert [entry["column"] for entry in found[0][0]] == ["a", "c", "b"]
