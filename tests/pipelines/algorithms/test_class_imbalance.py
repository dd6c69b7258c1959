from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learning import make_columns

from pipelines.algorithms import class_imbalance
from pipelines.algorithms.base import Array, Dataset, Family, FitContext, Fitted, TaskInfo
from pipelines.algorithms.class_imbalance import AUGMENT, Augmented, class_weights, smote
from pipelines.algorithms.families import family
from pipelines.algorithms.registry import algorithms_for
from pipelines.inference.members.registry import load_member
from pipelines.tuning.crossval import cross_validate


def rare_rows(sizes: tuple[int, ...], kinds: tuple[str, ...] = ("number", "number", "code"), seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(sizes), dtype=np.float64), sizes)
    X = rng.normal(size=(len(y), len(kinds))) + 3.0 * y[:, None]
    for index, kind in enumerate(kinds):
        if kind == "code":
            X[:, index] = rng.integers(-1, 3, len(y))
        else:
            X[rng.random(len(y)) < 0.2, index] = np.nan
    return Dataset(X, y, 1.0 + y)


def shape_of(rows: Dataset, kinds: tuple[str, ...] = ("number", "number", "code")) -> TaskInfo:
    classes = int(rows.y.max()) + 1
    cardinality = tuple(4 if kind == "code" else 0 for kind in kinds)
    task = "binary" if classes == 2 else "multiclass"
    return TaskInfo(task, "log_loss", classes, len(rows.y), kinds, cardinality)


@pytest.mark.parametrize(
    "kinds", [("number",) * 3, ("number", "number", "code"), ("number", "code", "code"), ("code",) * 3]
)
def test_rare_classes_grow_and_real_rows_stay_first_and_unchanged(kinds: tuple[str, ...]) -> None:
    rows = rare_rows((200, 30, 4), kinds)
    grown = smote(rows, shape_of(rows, kinds), seed=3)
    assert np.bincount(grown.y.astype(int)).tolist() == [200, 200, 40]
    for before, after in zip(rows, grown, strict=True):
        np.testing.assert_array_equal(after[: len(before)], before)
    new = grown.y[234:]
    np.testing.assert_array_equal(grown.w[234:], 1.0 + new)
    again = smote(rows, shape_of(rows, kinds), seed=3)
    np.testing.assert_array_equal(again.X, grown.X)
    other = smote(rows, shape_of(rows, kinds), seed=4)
    assert not np.array_equal(other.X, grown.X)
    for index, kind in enumerate(kinds):
        for label in (1, 2):
            made, own = grown.X[234:][new == label, index], rows.X[rows.y == label, index]
            if kind == "code":
                assert set(made) <= set(own)
            else:
                filled = np.where(np.isnan(own), np.nanmedian(rows.X[:, index]), own)
                assert filled.min() - 1e-9 <= made.min() <= made.max() <= filled.max() + 1e-9


def test_one_row_is_left_alone_and_few_rows_have_fewer_neighbours() -> None:
    rows = rare_rows((50, 1, 2))
    grown = smote(rows, shape_of(rows), seed=0)
    assert np.bincount(grown.y.astype(int)).tolist() == [50, 1, 20]


def test_a_column_without_numbers_stays_empty() -> None:
    rows = rare_rows((50, 10))
    rows.X[:, 1] = np.nan
    grown = smote(rows, shape_of(rows), seed=0)
    assert np.isnan(grown.X[:, 1]).all()
    assert np.isfinite(grown.X[60:, 0]).all()


def test_numbers_at_the_ends_of_the_range_stay_within_it() -> None:
    rows = rare_rows((50, 10), ("number", "code"))
    rows.X[:, 0] = np.where(np.arange(60) % 2, 1.7e308, -1.7e308)
    grown = smote(rows, shape_of(rows, ("number", "code")), seed=0)
    assert np.isfinite(grown.X).all()


def test_large_or_even_classes_and_regressions_are_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    even = rare_rows((40, 40))
    assert smote(even, shape_of(even), seed=0) is even
    monkeypatch.setattr(class_imbalance, "RARE_ROWS", 20)
    rows = rare_rows((50, 21))
    assert smote(rows, shape_of(rows), seed=0) is rows
    assert smote(rows, dataclasses.replace(shape_of(rows), classes=0), seed=0) is rows


@pytest.mark.parametrize("name", algorithms_for("binary"))
def test_the_space_holds_every_configuration_of_the_portfolio(name: str) -> None:
    columns = make_columns()
    augmented = Augmented(family(name))
    space, portfolio = augmented.space(columns.shape), augmented.portfolio(columns.shape)
    assert augmented.name == name
    assert [params[AUGMENT] for params in portfolio[:3]] == ["none", "smote", "none"]
    assert all(set(params) == set(space) for params in portfolio)
    settled = augmented.settle(portfolio[1], [{"iterations": 10.0, "learning_rate": 0.1}])
    assert settled[AUGMENT] == "smote"
    weighted = Augmented(family(name), "weights")
    assert weighted.portfolio(columns.shape)[1][AUGMENT] == "weights"
    assert weighted.space(columns.shape)[AUGMENT].choices == ("none", "weights")  # type: ignore[attr-defined]  # a choice


class Watcher(Family):
    """Keeps what it was given."""

    name = "watcher"

    def __init__(self) -> None:
        self.calls: list[tuple[Dataset, Dataset | None, dict[str, Any]]] = []

    def portfolio(self, shape: TaskInfo) -> tuple[dict[str, Any], ...]:
        return ({},)

    def space(self, shape: TaskInfo) -> dict[str, Any]:
        return {}

    def fit(self, params: Any, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext) -> Fitted:
        self.calls.append((train, valid, params))

        class Even:
            def predict(self, X: Array) -> Array:
                return np.full((len(X), 2), 0.5)

        return Fitted(self.name, Even())  # type: ignore[arg-type]


def test_weights_turn_the_eye_to_rare_classes_and_leave_probabilities_as_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6000, 3))
    y = (X[:, 0] + rng.normal(size=6000) > 3.0).astype(np.float64)
    rows = Dataset(X, y, np.ones(6000))
    shape = TaskInfo("binary", "log_loss", 2, 6000, ("number",) * 3, (0,) * 3)
    weights = class_weights(rows, shape)
    assert weights is not None
    assert weights[0] == 1.0
    assert weights[1] == pytest.approx(np.sqrt((y == 0).sum() / y.sum()))
    learner = Augmented(family("linear"))
    fitted = learner.fit({**family("linear").default(shape), AUGMENT: "weights"}, rows, None, shape, FitContext())
    y_pred = fitted.predict(X)
    np.testing.assert_allclose(y_pred.sum(axis=1), 1.0, atol=1e-12)
    assert y_pred[:, 1].mean() == pytest.approx(y.mean(), rel=0.1)
    spec = fitted.save(tmp_path, "0")
    assert spec["class_weights"] == weights.tolist()
    np.testing.assert_allclose(load_member(tmp_path, spec).predict(X), y_pred, rtol=0, atol=1e-12)


def test_only_the_training_side_of_a_fold_is_augmented() -> None:
    columns = make_columns(rows=400)
    y = (np.arange(400) % 21 == 0).astype(np.float64)
    columns = dataclasses.replace(columns, y=y)
    inner = Watcher()
    cross_validate(Augmented(inner), {AUGMENT: "smote"}, columns, seed=0)
    for fold, (train, valid, params) in zip(columns.folds[::-1], inner.calls, strict=True):
        inside = columns.fold == fold
        assert params == {}
        assert valid is not None
        np.testing.assert_array_equal(valid.X, columns.X[inside])
        np.testing.assert_array_equal(train.X[: (~inside).sum()], columns.X[~inside])
        assert len(train.y) > (~inside).sum()
    cross_validate(Augmented(plain := Watcher()), {AUGMENT: "none"}, columns, seed=0)
    assert [len(train.y) for train, _, _ in plain.calls] == [300] * 4
