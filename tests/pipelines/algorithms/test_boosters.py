from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from learning import make_columns

from pipelines.algorithms import xgboost as family_module
from pipelines.algorithms.base import Dataset, FitContext, Limit
from pipelines.algorithms.catboost import CatBoost
from pipelines.algorithms.families import family
from pipelines.algorithms.xgboost import XGBoost
from pipelines.inference.members.catboost import FEW_ROWS, CatBoostMember
from pipelines.inference.members.registry import load_member


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_xgboost_as_text_predicts_as_xgboost_does(task: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    columns = make_columns(task, rows=1200)
    columns.X[:, 2] = np.arange(1200) % 37 - 1  # a second code column, with the missing code and many others
    shape = columns.shape.__class__(
        **{**columns.shape.__dict__, "kinds": ("number", "number", "code", "code"), "cardinality": (0, 0, 36, 5)}
    )
    kept: list[Any] = []
    export = family_module.export

    def keep(booster: Any, *rest: Any) -> Any:
        kept.append(booster)
        return export(booster, *rest)

    monkeypatch.setattr(family_module, "export", keep)
    learner = XGBoost()
    params = {**learner.default(shape), "iterations": 40, "learning_rate": 0.2}
    fitted = learner.fit(params, columns.whole(), None, shape, FitContext())
    rows = make_columns(task, rows=700, seed=5).X * [1.4, 1.4, 1.0, 1.0]
    rows[:, 2] = np.arange(700) % 37 - 1
    rows[::9, :2] = np.nan
    matrix = xgboost.DMatrix(
        family_module._input(rows, [2, 3]), feature_types=["q", "q", "c", "c"], enable_categorical=True
    )
    expected = kept[0].predict(matrix)
    member = load_member(tmp_path, fitted.save(tmp_path, "0"))
    y_pred = member.predict(rows)
    np.testing.assert_allclose(y_pred[:, 1] if task == "binary" else y_pred, expected, rtol=2e-5, atol=2e-6)
    assert any(tree["cat_threshold"] for tree in _trees(member)), "no tree splits by categories"


def _trees(member: Any) -> list[dict[str, Any]]:
    text = member.booster.model_to_string()
    return [{"cat_threshold": line} for line in text.splitlines() if line.startswith("cat_threshold=")] or [
        {"cat_threshold": ""}
    ]


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "catboost"])
def test_counts_may_be_learned_by_their_logarithm(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3_000, 4))
    X[:, 2:] = rng.integers(0, 3, (3_000, 2))
    y = rng.poisson(np.exp(1.0 + 1.2 * X[:, 0] + 0.8 * X[:, 2])).astype(np.float64)
    columns = make_columns("regression", rows=10)
    shape = dataclasses.replace(columns.shape, rows=2_000, nonnegative=True)
    train, test = Dataset(X[:2_000], y[:2_000], np.ones(2_000)), Dataset(X[2_000:], y[2_000:], np.ones(1_000))
    learner = family(name)
    plain, logarithm = learner.portfolio(shape)[:2]
    assert (plain["link"], logarithm["link"]) == ("identity", "log")
    assert set(logarithm) == set(learner.space(shape))
    errors = []
    for params in (plain, logarithm):
        fitted = learner.fit(params, train, test, shape, FitContext())
        y_pred = load_member(tmp_path, fitted.save(tmp_path, params["link"])).predict(test.X)
        np.testing.assert_allclose(y_pred, fitted.predict(test.X), rtol=1e-9)
        positive = np.maximum(y_pred, 1e-3)
        errors.append(float(np.mean(positive - test.y * np.log(positive))))  # deviance, but for a constant
    assert (y_pred >= 0).all()
    assert errors[1] < errors[0] + 0.02
    assert "link" not in learner.space(columns.shape), "numbers below 0 have no logarithm"


def test_xgboost_stops_early_and_settles_above_most_folds() -> None:
    columns = make_columns(rows=1200)
    train, valid = columns.part(columns.fold != 0), columns.part(columns.fold == 0)
    learner = XGBoost()
    fitted = learner.fit(learner.default(columns.shape), train, valid, columns.shape, FitContext())
    assert fitted.member.booster.num_trees() == fitted.learned["iterations"] < 1000  # type: ignore[attr-defined]
    assert learner.settle({}, [{"iterations": 10.0}, {"iterations": 15.0}]) == {"iterations": 15}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_catboost_member_predicts_as_catboost_does(task: str, tmp_path: Path) -> None:
    columns = make_columns(task, rows=500)
    learner = CatBoost()
    params = {**learner.default(columns.shape), "iterations": 30}
    fitted = learner.fit(params, columns.whole(), None, columns.shape, FitContext())
    member = load_member(tmp_path, fitted.save(tmp_path, "0"))
    assert isinstance(member, CatBoostMember)
    rows = make_columns(task, rows=300, seed=3).X
    rows[:5, 3] = 77.0  # codes that it has not seen
    raw = [[*map(float, row[:3]), str(int(row[3]))] for row in rows]
    kind = "Probability" if task != "regression" else "RawFormulaVal"
    expected = np.asarray(fitted.member.model.predict(raw, prediction_type=kind))  # type: ignore[attr-defined]
    np.testing.assert_allclose(member.predict(rows), expected, rtol=0, atol=1e-12)


def test_catboost_members_share_what_they_read_of_the_same_rows_alone(tmp_path: Path) -> None:
    columns = make_columns("binary", rows=1200)
    learner = CatBoost()
    members = []
    for number, iterations in enumerate((10, 25)):
        params = {**learner.default(columns.shape), "iterations": iterations}
        fitted = learner.fit(params, columns.whole(), None, columns.shape, FitContext())
        members.append(load_member(tmp_path, fitted.save(tmp_path, str(number))))
    rows = make_columns("binary", rows=300, seed=3).X
    rows[::7, 0] = np.nan
    alone = [np.concatenate([member.predict(rows[i : i + 1]) for i in range(300)]) for member in members]
    assert not np.array_equal(alone[0], alone[1])
    for count in (2, FEW_ROWS, FEW_ROWS + 1, 300):
        part = rows[:count].copy()
        for member, expected in zip(members, alone, strict=True):
            np.testing.assert_array_equal(member.predict(part), expected[:count])
        part[:] = rows[-count:]  # other rows in the same memory
        for member, expected in zip(members, alone, strict=True):
            np.testing.assert_array_equal(member.predict(part), expected[-count:])


def test_soft_limit_keeps_a_few_iterations() -> None:
    columns = make_columns()
    for learner in (XGBoost(), CatBoost()):
        fitted = learner.fit(
            learner.default(columns.shape), columns.whole(), None, columns.shape, FitContext(limit=Limit(soft=1.0))
        )
        assert 1.0 <= fitted.learned["iterations"] <= 12.0


def test_the_device_is_handed_to_the_library() -> None:
    shape = make_columns().shape
    xgb, cat = XGBoost(), CatBoost()
    seen = np.array([0, 1])
    assert xgb._options(xgb.default(shape), shape, seen, FitContext(device="gpu"))["device"] == "cuda"
    assert xgb._options(xgb.default(shape), shape, seen, FitContext())["device"] == "cpu"
    shared = cat._options(cat.default(shape), shape, 2, FitContext(limit=Limit(gpu_share=0.5), device="gpu"))
    assert (shared["task_type"], shared["devices"], shared["gpu_ram_part"]) == ("GPU", "0", 0.45)
    assert "task_type" not in cat._options(cat.default(shape), shape, 2, FitContext())
    assert xgb.devices == cat.devices == ("cpu", "gpu")
    if not xgboost.build_info()["USE_CUDA"]:  # such a build would go on, on the CPU
        rows = make_columns().whole()
        with pytest.raises(RuntimeError, match=r"cannot use a GPU: build \.venv from requirements-gpu\.lock"):
            xgb.fit(xgb.default(shape), rows, None, shape, FitContext(device="gpu"))
