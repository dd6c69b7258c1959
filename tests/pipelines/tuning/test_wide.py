"""Many columns or many rare classes in little time: every family trains or says why, and the time holds."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines.algorithms import forest
from pipelines.algorithms.base import FitContext, TaskInfo
from pipelines.algorithms.families import family
from pipelines.algorithms.training_data import Columns
from pipelines.tuning.budget import Budget
from pipelines.tuning.crossval import cross_validate
from pipelines.tuning.results import UNTRIED, check, summary
from pipelines.tuning.search import search
from pipelines.tuning.search_journal import Journal
from pipelines.tuning.spec import DEFAULT, TuneSpec
from pipelines.tuning.study import Study
from pipelines.tuning.trial_manager import KILL_FIRST_SECONDS, Conductor

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untraced")]

ROWS, FOLDS = 120, 3
FULL = os.environ.get("AIMASS_FULL") == "1"


def wide(columns: int, classes: int) -> Columns:
    """Rows of which two columns tell the class; beyond the first three classes each has one or two rows."""
    rng = np.random.default_rng(columns)
    y = np.arange(ROWS) % min(classes, 3)
    y[: 2 * classes] = np.minimum(np.arange(2 * classes) * 3 // 4, classes - 1)
    X = rng.normal(size=(ROWS, columns))
    X[:, -1] += 3.0 * (y % 2)
    X[:, -2] += y // 2
    fold = np.empty(ROWS, np.int8)
    fold[np.lexsort((rng.random(ROWS), y))] = np.arange(ROWS) % FOLDS
    task, metric = ("multiclass", "log_loss") if classes > 2 else ("binary", "roc_auc")
    shape = TaskInfo(task, metric, classes, ROWS, ("number",) * columns, (0,) * columns)
    names = tuple(f"x{index}" for index in range(columns)), tuple(map(str, range(classes)))
    return Columns(X, y.astype(float), np.ones(ROWS), fold, shape, *names)


@pytest.mark.full
@pytest.mark.parametrize(("columns", "classes"), [(300, 30), (3_000, 2), *([(300, 2)] if FULL else [])])
def test_every_family_trains_or_says_why(columns: int, classes: int, tmp_path: Path) -> None:
    table, spec = wide(columns, classes), TuneSpec(budget_seconds=30.0)
    families = {name: family(name) for name in DEFAULT}
    study = Study(families, table.shape, seed=0, generation=4, folds=FOLDS, timed=True)
    budget = Budget(30.0, None, 2, 4, FOLDS, columns=columns, pooled=True)
    budget.started -= max(0.0, budget.left() - 6.0)  # six seconds are left
    conductor = Conductor(study, budget, Journal(tmp_path, "key"), table.shape.metric)
    began = time.time()
    runner = search(conductor, table, families, seed=0, session=None)
    assert time.time() - began < 6.0 + KILL_FIRST_SECONDS, "a late model is better than none"
    outcomes = study.outcomes()
    done = check(outcomes, budget)
    found = summary(outcomes, done, spec, study, conductor, runner, table.shape.metric)
    ended = {outcome.proposal.family for outcome in outcomes if outcome.result.counts}
    reported = {entry["family"] for entry in found["left_out"]} | {
        name for name, why in found["dropped"].items() if why == UNTRIED
    }
    assert ended | reported == set(DEFAULT)
    assert all(entry["why"] for entry in found["left_out"])


FEW: dict[str, dict[str, int]] = {
    **{name: {"iterations": 20} for name in ("lightgbm", "xgboost", "catboost")},
    "adaboost": {"trees": 20},
    "mlp": {"passes": 8},
}
"""Smaller estimators than by default."""
COUNTS = [[60, 30, *range(1, 6), *range(1, 6)], [40, 40, 1], [60, 2], [3, 3, 3, 3]]


@pytest.mark.parametrize("counts", COUNTS, ids=str)
@pytest.mark.parametrize(
    "name",
    [
        "lightgbm",
        "xgboost",
        "catboost",
        "random_forest",
        "extra_trees",
        "decision_tree",
        "adaboost",
        "svm",
        "nearest_neighbours",
        "mlp",
        "linear",
    ],
)
def test_classes_with_fewer_rows_than_folds_are_learned(
    name: str, counts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forest, "TREES", 30)
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts)).astype(float)
    X = np.column_stack(
        [y % 4 + rng.normal(size=len(y)), y // 4 + rng.normal(size=len(y)), rng.integers(-1, 5, len(y))]
    )
    fold = np.empty(len(y), np.int8)
    fold[np.lexsort((rng.random(len(y)), y))] = np.arange(len(y)) % 5
    task = "multiclass" if len(counts) > 2 else "binary"
    shape = TaskInfo(task, "log_loss", len(counts), len(y), ("number", "number", "code"), (0, 0, 5))
    table = Columns(X, y, np.ones(len(y)), fold, shape, ("a", "b", "c"), tuple(map(str, range(len(counts)))))
    learner = family(name)
    params = {**learner.default(shape), **FEW.get(name, {})}
    found = cross_validate(learner, params, table, seed=0)
    assert np.isfinite(found.loss)
    np.testing.assert_allclose(found.oof.sum(axis=1), 1.0, atol=1e-6)
    settled = learner.settle(params, found.learned)
    whole = learner.fit(settled, table.whole(), None, shape, FitContext()).predict(X)
    np.testing.assert_allclose(whole.sum(axis=1), 1.0, atol=1e-6)
    assert whole.shape == (len(y), len(counts))
    assert (whole.max(axis=0) > 0.0).all(), "a class with a row has a probability"
