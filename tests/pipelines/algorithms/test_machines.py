from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from learning import make_columns
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from pipelines.algorithms import nearest_neighbours
from pipelines.algorithms.adapters import learn_adapters
from pipelines.algorithms.base import Array, FitContext, Limit
from pipelines.algorithms.linear import Linear
from pipelines.algorithms.mlp import NETWORKS, Mlp
from pipelines.algorithms.nearest_neighbours import NearestNeighbours, relevance
from pipelines.algorithms.svm import Svm, _kernel
from pipelines.inference.members.linear import Design, LinearMember
from pipelines.inference.members.mlp import NetworkMember
from pipelines.metrics import METRICS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["fourier", "nystroem"])
def test_features_approximate_the_gaussian_kernel(kind: str) -> None:
    z = np.random.default_rng(0).normal(size=(300, 5))
    kernel = _kernel({"kernel": kind, "gamma": 0.5, "features": 4000}, z, seed=0)
    assert kernel is not None
    features = kernel(z)
    exact = np.exp(-0.1 * ((z[:, None] - z) ** 2).sum(axis=2))
    # All 300 rows are landmarks of Nyström's: what they span is exact.
    between = np.eye(features.shape[1]) if kind == "fourier" else np.linalg.pinv(exact)
    assert np.abs(features @ between @ features.T - exact).max() < (0.12 if kind == "fourier" else 1e-6)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_kernel_bends_where_a_line_cannot(task: str) -> None:
    columns = make_columns(task, rows=1200)
    train, valid = columns.part(columns.fold != 0), columns.part(columns.fold == 0)
    metric = "rmse" if task == "regression" else "log_loss"
    loss = {}
    for kernel in ("linear", "fourier", "nystroem"):
        params = {**Svm().default(columns.shape), "kernel": kernel}
        fitted = Svm().fit(params, train, None, columns.shape, FitContext())
        loss[kernel] = METRICS[metric].score(valid.y, fitted.predict(valid.X), valid.w)
    assert max(loss["fourier"], loss["nystroem"]) < 0.95 * loss["linear"]


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_nearest_rows_are_scikit_learns(task: str) -> None:
    columns = make_columns(task, rows=400)
    params = {"neighbours": 9, "power": 0.0, "smoothing": 1e-12, "relevance": 0.0, "levels": 10}
    fitted = NearestNeighbours().fit(params, columns.whole(), None, columns.shape, FitContext())
    design = fitted.member.design  # type: ignore[attr-defined]
    kind = KNeighborsRegressor if task == "regression" else KNeighborsClassifier
    model = kind(9).fit(design(columns.X), columns.y)
    rows = make_columns(task, rows=200, seed=7).X
    expected = model.predict(design(rows)) if task == "regression" else model.predict_proba(design(rows))
    np.testing.assert_allclose(fitted.predict(rows), expected, rtol=1e-9, atol=1e-9)


def test_rare_classes_stay_among_the_kept_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_neighbours, "MAX_ROWS", 300)
    monkeypatch.setattr(nearest_neighbours, "LEAST_OF_CLASS", 20)
    columns = make_columns(rows=3000)
    columns = dataclasses.replace(columns, y=(np.arange(3000) % 250 == 0).astype(np.float64))
    params = NearestNeighbours().default(columns.shape)
    fitted = NearestNeighbours().fit(params, columns.whole(), None, columns.shape, FitContext())
    member = fitted.member
    assert len(member.points) == 300  # type: ignore[attr-defined]
    assert member.values[:, 1].sum() == 12  # type: ignore[attr-defined]
    np.testing.assert_allclose(member.prior, [0.996, 0.004])  # type: ignore[attr-defined]
    assert abs(fitted.predict(columns.X)[:, 1].mean() - 0.004) < 0.003


def test_columns_that_tell_nothing_count_little() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 2))
    strength = relevance(X * [1.0, 1000.0], X[:, :1], np.ones(2000))
    assert strength[0] == 1.0
    assert strength[1] < 0.1


def test_the_perceptron_keeps_its_best_pass() -> None:
    columns = make_columns(rows=1000)
    train, valid = columns.part(columns.fold != 0), columns.part(columns.fold == 0)
    learner = Mlp()
    params = learner.default(columns.shape)
    fitted = learner.fit(params, train, valid, columns.shape, FitContext())
    stop = int(fitted.learned["stop"])
    assert 1 <= stop <= fitted.learned["passes"] == params["passes"]
    again = learner.fit({**params, "stop": stop}, train, None, columns.shape, FitContext())
    np.testing.assert_allclose(again.predict(valid.X), fitted.predict(valid.X), rtol=0, atol=1e-12)
    settled = learner.settle({}, [{"passes": 4.0, "stop": 2.0}, {"passes": 7.0, "stop": 3.0}])
    assert settled == {"passes": 6, "stop": 2}


def test_the_perceptron_takes_ever_smaller_steps() -> None:
    columns = make_columns(rows=300)
    learner = Mlp()

    def first_layer(stop: int) -> Array:
        params = {**learner.default(columns.shape), "stop": stop}
        fitted = learner.fit(params, columns.whole(), None, columns.shape, FitContext())
        layer: Array = fitted.member.networks[0][0][0]  # type: ignore[attr-defined]
        return layer

    early, late = (np.abs(first_layer(stop + 1) - first_layer(stop)).mean() for stop in (1, 19))
    assert late < 0.2 * early


def test_the_perceptron_passes_as_often_as_there_is_time() -> None:
    columns = make_columns(rows=1000)
    learner = Mlp()
    train, valid = columns.part(columns.fold != 0), columns.part(columns.fold == 0)
    params = {**learner.default(columns.shape), "passes": 40}
    limit = Limit(soft=time.time())
    fitted = learner.fit(params, train, valid, columns.shape, FitContext(limit=limit))
    assert fitted.learned == {"passes": 1.0, "stop": 1.0}
    assert np.isfinite(fitted.predict(valid.X)).all()


def test_the_perceptron_is_the_mean_of_its_networks() -> None:
    columns = make_columns("multiclass", rows=1000)
    learner = Mlp()
    fitted = learner.fit(learner.default(columns.shape), columns.whole(), None, columns.shape, FitContext())
    member = fitted.member
    assert isinstance(member, NetworkMember)
    assert len(member.networks) == NETWORKS
    alone = [
        NetworkMember(member.adapters, [one], member.present, member.classes).predict(columns.X)
        for one in member.networks
    ]
    np.testing.assert_allclose(member.predict(columns.X), np.mean(alone, axis=0), rtol=1e-12)
    assert np.abs(alone[0] - alone[1]).max() > 1e-3


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_penalty_on_sizes_leaves_columns_out(task: str) -> None:
    columns = make_columns(task)
    zeros = {}
    for ratio in (0.0, 0.3, 1.0):
        params = {**Linear().default(columns.shape), "strength": 8.0, "l1_ratio": ratio}
        fitted = Linear().fit(params, columns.whole(), None, columns.shape, FitContext())
        assert isinstance(fitted.member, LinearMember)
        zeros[ratio] = int(np.count_nonzero(fitted.member.coefficients == 0.0))
    assert zeros[0.0] < zeros[0.3] < zeros[1.0]


def test_one_matrix_holds_what_each_column_says() -> None:
    columns = make_columns()
    adapters = learn_adapters({"numbers": "pieces", "pieces": 6, "levels": 3}, columns.X, columns.shape)
    adapters += learn_adapters({"numbers": "straight", "pieces": 6, "levels": 3}, columns.X, columns.shape)
    rows = np.vstack([columns.X, np.full((1, 4), np.nan), np.full((1, 4), 1e300)])
    made, at = Design(adapters)(rows), 0
    for adapter in adapters:
        values, block = rows[:, adapter.column], made[:, at : at + adapter.width]
        at += adapter.width
        filled = np.where(np.isnan(values), adapter.fill, values)
        if adapter.kind == "code":
            expected = values[:, None] == np.array(adapter.levels)
        elif adapter.knots:
            low, high = np.array(adapter.knots[:-1]), np.array(adapter.knots[1:])
            expected = np.clip((filled[:, None] - low) / (high - low), 0.0, 1.0)
        else:
            expected = np.clip((filled[:, None] - adapter.mean) / adapter.scale, -8.0, 8.0)
        np.testing.assert_array_equal(block[:, : expected.shape[1]], expected)
        if adapter.flag:
            np.testing.assert_array_equal(block[:, -1], np.isnan(values))
    assert at == made.shape[1]
