from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from learning import make_columns

from pipelines.algorithms.base import Dataset, Family, FitContext, Limit, OutOfTimeError, Params, TaskInfo
from pipelines.algorithms.families import family
from pipelines.algorithms.registry import ALGORITHMS, algorithms_for
from pipelines.errors import SpecError
from pipelines.inference.members.registry import load_member
from pipelines.metrics import METRICS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untraced")]

TASKS = ("binary", "multiclass", "regression")
FAMILIES = algorithms_for("regression")


def quick(learner: Family, shape: TaskInfo) -> Params:
    """Its own first configuration, boosters shortened."""
    return learner.settle(learner.default(shape), [{"iterations": 20.0}])


@pytest.mark.parametrize("name", FAMILIES)
def test_two_of_many_classes_are_learned_as_two(name: str) -> None:
    columns, learner = make_columns("binary"), family(name)
    shape = dataclasses.replace(columns.shape, task="multiclass", metric="log_loss")
    fitted = learner.fit(quick(learner, shape), columns.whole(), None, shape, FitContext())
    assert METRICS["roc_auc"].score(columns.y, fitted.predict(columns.X), columns.w) > 0.7


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", FAMILIES)
class TestEveryFamily:
    def test_learns_and_predicts_the_same_after_saving(self, name: str, task: str, tmp_path: Path) -> None:
        columns = make_columns(task)
        train, valid = columns.part(columns.fold != 0), columns.part(columns.fold == 0)
        learner = family(name)
        fitted = learner.fit(learner.default(columns.shape), train, valid, columns.shape, FitContext())
        y_pred = fitted.predict(valid.X)
        spec = fitted.save(tmp_path, f"0-{name}")
        again = load_member(tmp_path, spec).predict(valid.X)
        np.testing.assert_allclose(again, y_pred, rtol=0, atol=1e-12)
        base = (
            np.tile(np.bincount(train.y.astype(int)) / len(train.y), (len(valid.y), 1))
            if task != "regression"
            else (np.full(len(valid.y), train.y.mean()))
        )
        metric = "rmse" if task == "regression" else "log_loss"
        assert METRICS[metric].score(valid.y, y_pred, valid.w) < 0.9 * METRICS[metric].score(valid.y, base, valid.w)
        if task != "regression":
            assert y_pred.shape == (len(valid.y), columns.shape.classes)
            np.testing.assert_allclose(y_pred.sum(axis=1), 1.0, atol=1e-12)

    def test_portfolio_lies_inside_the_space(self, name: str, task: str) -> None:
        shape = make_columns(task).shape
        space = family(name).space(shape)
        for params in family(name).portfolio(shape):
            assert params.keys() == space.keys()
            for key, value in params.items():
                assert space[key]._contains(space[key].to_internal_repr(value)), (key, value)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
@pytest.mark.parametrize("name", FAMILIES)
def test_same_seed_gives_the_same_bytes(name: str, task: str, tmp_path: Path) -> None:
    columns = make_columns(task, rows=150)
    learner = family(name)
    files = []
    for stem in ("0", "1"):
        fitted = learner.fit(quick(learner, columns.shape), columns.whole(), None, columns.shape, FitContext(seed=3))
        files.append((tmp_path / fitted.save(tmp_path, stem)["file"]).read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_class_absent_from_a_fold_has_its_column(name: str) -> None:
    columns = make_columns("multiclass", rows=200)
    some = columns.part(columns.y != 1.0)
    learner = family(name)
    fitted = learner.fit(learner.default(columns.shape), some, columns.whole(), columns.shape, FitContext())
    y_pred = fitted.predict(columns.X)
    assert y_pred.shape == (len(columns.y), 3)
    assert y_pred[:, 1].max() < 1e-3
    assert np.isfinite(y_pred).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_one_class_and_few_rows_still_predict(name: str) -> None:
    columns = make_columns("binary", rows=40)
    part = Dataset(columns.X, np.ones(40), columns.w)
    learner = family(name)
    fitted = learner.fit(learner.default(columns.shape), part, None, columns.shape, FitContext())
    assert fitted.predict(columns.X)[:, 1].min() > 0.99


@pytest.mark.parametrize("name", FAMILIES)
def test_rare_classes_do_not_collapse(name: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 3))
    y = np.zeros(2000)
    y[:6], y[6:14] = 1.0, 2.0
    shape = TaskInfo("multiclass", "log_loss", 3, 2000, ("number",) * 3, (0,) * 3)
    fold = np.arange(2000) % 2
    train, valid = (Dataset(X[fold == side], y[fold == side], np.ones(1000)) for side in (0, 1))
    learner = family(name)
    fitted = learner.fit(learner.default(shape), train, valid, shape, FitContext())
    assert METRICS["log_loss"].score(valid.y, fitted.predict(valid.X), valid.w) < 0.15


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", FAMILIES)
def test_odd_tables_are_learned_from(name: str, task: str) -> None:
    """R4: a constant column, one without any value, a class with one member, one row, equal rows, huge numbers."""
    columns = make_columns(task, rows=60)
    columns.X[:, 0], columns.X[:, 2] = 7.0, np.nan
    columns.X[::5, 1] = 1e300
    y = columns.y.copy()
    if task == "multiclass":
        y[y == 2.0] = 0.0
        y[0] = 2.0
    learner = family(name)
    for rows in (Dataset(columns.X, y, columns.w), Dataset(columns.X[:1], y[:1], np.ones(1))):
        fitted = learner.fit(quick(learner, columns.shape), rows, None, columns.shape, FitContext())
        y_pred = fitted.predict(columns.X)
        assert np.isfinite(y_pred).all()
        alone = np.concatenate([fitted.predict(columns.X[row : row + 1]) for row in range(5)])
        np.testing.assert_allclose(alone, y_pred[:5], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_its_memory_grows_with_the_rows(name: str) -> None:
    learner = family(name)
    shape = make_columns().shape
    few, many = (learner.memory(dataclasses.replace(shape, rows=rows)) for rows in (1_000, 20_000))
    assert 2**20 < few <= many < 2**31


def test_a_missing_library_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.algorithms.families.find_spec", lambda need: None if need == "xgboost" else need)
    with pytest.raises(SpecError, match="pip install xgboost-cpu") as caught:
        family("xgboost")
    assert "no module xgboost" in str(caught.value)
    assert ALGORITHMS["catboost"].extra == "catboost"


def test_asking_a_family_imports_no_booster() -> None:
    code = (
        "import sys; from pipelines.algorithms.families import family; from pipelines.tuning.spec import FAMILIES;"
        "[family(name) for name in FAMILIES];"
        "print(sorted({'lightgbm', 'xgboost', 'catboost', 'sklearn', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", FAMILIES)
def test_hard_limit_gives_up(name: str) -> None:
    columns = make_columns()
    context = FitContext(limit=Limit(hard=1.0))
    with pytest.raises(OutOfTimeError):
        family(name).fit(family(name).default(columns.shape), columns.whole(), None, columns.shape, context)


def test_soft_limit_keeps_what_is_grown() -> None:
    columns = make_columns()
    learner = family("extra_trees")
    fitted = learner.fit(
        learner.default(columns.shape), columns.whole(), None, columns.shape, FitContext(limit=Limit(soft=1.0))
    )
    assert fitted.learned == {"trees": 10.0}


def test_soft_limit_of_boosting_keeps_a_few_iterations() -> None:
    columns = make_columns()
    learner = family("lightgbm")
    train, valid = columns.part(columns.fold != 0), columns.part(columns.fold == 0)
    fitted = learner.fit(learner.default(columns.shape), train, valid, columns.shape, FitContext(limit=Limit(soft=1.0)))
    assert 1.0 <= fitted.learned["iterations"] <= 10.0


def test_unknown_family_names_the_known_ones() -> None:
    with pytest.raises(SpecError, match="lightgbm, xgboost"):
        family("forest")
