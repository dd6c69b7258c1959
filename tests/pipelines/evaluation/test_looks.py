"""Importances, Shapley values, suspicion and limits, each on a model whose truth is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import learning
import lightgbm
import numpy as np
import pandas as pd
import pytest

from pipelines.errors import DataError, GateError
from pipelines.evaluation import limits
from pipelines.evaluation.importance import kept_alone, permutation_importance
from pipelines.evaluation.shapley import attention, contributions, sampled, tree_contributions
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.evaluation.suspicion import check_answers, check_defined, check_leak, constant, nearly_perfect
from pipelines.evaluation.yardsticks import label_free, learning_curve, linear_answer

RNG = np.random.default_rng(0)


def test_the_column_that_the_score_hangs_on_comes_first() -> None:
    rows = pd.DataFrame(RNG.normal(size=(500, 3)), columns=["strong", "weak", "noise"])
    truth = 3.0 * rows["strong"].to_numpy() + rows["weak"].to_numpy()

    def answer(part: pd.DataFrame) -> np.ndarray:
        return 3.0 * part["strong"].to_numpy() + part["weak"].to_numpy()

    found = permutation_importance(rows, list(rows), truth, answer, "rmse", rows=400, seed=0)
    assert [entry["column"] for entry in found] == ["strong", "weak", "noise"]
    assert found[0]["loss"] == pytest.approx(3.0 * 2**0.5, rel=0.15)
    assert found[2]["loss"] == 0.0


def test_what_a_column_carries_alone_shows_where_shuffling_it_does_not() -> None:
    """Of two copies of the answer a model that reads one loses nothing with the other; each alone tells."""
    truth = RNG.integers(0, 2, 300).astype(float)
    rows = pd.DataFrame({"copy": truth, "noise": RNG.normal(size=300)})

    def answer(part: pd.DataFrame) -> np.ndarray:
        p = np.clip(0.9 * part["copy"].to_numpy() + 0.01 * part["noise"].to_numpy(), 0, 1)
        return np.column_stack([1 - p, p])

    found = kept_alone(rows, list(rows), truth, answer, "roc_auc", rows=300, seed=0)
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


def booster(X: np.ndarray, y: np.ndarray) -> Any:
    data = lightgbm.Dataset(X, y)
    return lightgbm.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, data, 30)


def test_one_booster_is_explained_by_its_own_trees_and_a_combination_by_sampling() -> None:
    X = RNG.normal(size=(800, 4))
    y = (X[:, 0] + 0.5 * X[:, 1] + RNG.normal(scale=0.5, size=800) > 0).astype(float)
    fitted = SimpleNamespace(booster=booster(X, y), family="lightgbm")
    exact = tree_contributions(fitted, X[:50])
    assert exact is not None
    np.testing.assert_allclose(exact.sum(axis=1), fitted.booster.predict(X[:50], raw_score=True), atol=1e-9)

    def predict(batch: np.ndarray) -> np.ndarray:
        p = fitted.booster.predict(batch, num_threads=1)
        return np.column_stack([1 - p, p])

    node = SimpleNamespace(parts=(fitted,), inputs=(), kind="member")
    alone: Any = SimpleNamespace(nodes=(node,), calibration=None, predict=predict)
    several: Any = SimpleNamespace(nodes=(node, node), calibration=None, predict=predict)
    shares = {}
    for name, ensemble in {"tree": alone, "sampled": several}.items():
        places, phi, how = contributions(ensemble, X, 2, 0)
        assert how == name
        heaviest = attention(phi, X[places], [("a", True), ("b", True), ("c", True), ("d", False)])
        assert [entry["feature"] for entry in heaviest[:2]] == ["a", "b"]
        assert heaviest[0]["pulls"] > 0.5
        assert next(entry["pulls"] for entry in heaviest if entry["feature"] == "d") is None
        assert sum(entry["share"] for entry in heaviest) == pytest.approx(1.0)
        shares[name] = heaviest[0]["share"]
    assert shares["tree"] == pytest.approx(shares["sampled"], abs=0.1)
    assert tree_contributions(SimpleNamespace(family="linear"), X) is None


@pytest.mark.fault
def test_answers_that_no_model_may_give_are_refused() -> None:
    with pytest.raises(GateError, match="not finite") as caught:
        check_answers(np.array([[0.5, 0.5], [np.nan, 0.5]]))
    assert caught.value.seen == "1 of 2 rows"
    for wrong in ([[0.7, 0.7]], [[1.2, -0.2]]):
        with pytest.raises(GateError, match="not probabilities"):
            check_answers(np.array(wrong))
    check_answers(np.array([[0.3, 0.7]]))
    check_answers(np.array([3.0, -9.0]))
    assert constant(np.full((5, 2), 0.5)) == ["it answers every row alike"]
    assert constant(np.arange(3.0)) == constant(np.ones(1)) == []


@pytest.mark.fault
def test_a_nearly_perfect_score_that_hangs_on_one_column_is_a_leak() -> None:
    carried = [{"column": "outcome", "loss": 0.45, "error": 0.0}, {"column": "age", "loss": 0.01, "error": 0.0}]
    with pytest.raises(GateError, match="one column gives the answer away") as caught:
        check_leak("roc_auc", 0.9991, 0.5, carried, {}, ())
    assert caught.value.where == "outcome"
    check_leak("roc_auc", 0.9991, 0.5, carried, {}, ("outcome",))
    check_leak("roc_auc", 0.93, 0.5, carried, {}, ())
    shared = [{**entry, "loss": 0.2} for entry in carried]
    check_leak("roc_auc", 0.9991, 0.5, shared, {"outcome": 0.9, "age": 0.6}, ())
    with pytest.raises(GateError, match="one column gives the answer away"):
        check_leak("roc_auc", 0.9991, 0.5, shared, {"outcome": 0.9985, "age": 0.6}, ())
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
    assert linear_answer(train, rest.X, columns.shape, 0).shape == (200, 2)

    def step(kind: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Any:
        return SimpleNamespace(kind=kind, inputs=inputs, outputs=[SimpleNamespace(name=name) for name in outputs])

    steps = (
        step("target_mean", ("town",), ("town mean",)), step("ratio", ("town mean", "age"), ("mixed",)),
        step("scale", ("age",), ("age",)),
    )  # fmt: skip
    plan: Any = SimpleNamespace(operations=steps, outputs=("age", "town mean", "mixed", "other"))
    assert label_free(plan).tolist() == [0, 3]
