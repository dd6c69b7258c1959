"""A version as a plain ONNX graph predicts as the version does; what has no form in ONNX is named."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from here import aimass

from pipelines.algorithms.base import Dataset, FitContext, Limit, TaskInfo
from pipelines.algorithms.registry import ALGORITHMS
from pipelines.inference.ensemble.ensemble import Ensemble
from pipelines.inference.members.combination_nodes import EnsembleNode
from pipelines.inference.members.registry import Rescaled

onnx = pytest.importorskip("onnx", reason="needs the extra exchange")
pytest.importorskip("onnxruntime", reason="needs the extra exchange")

FAMILIES = ("lightgbm", "xgboost", "random_forest", "extra_trees", "decision_tree", "adaboost", "linear", "mlp")
TASKS = {"binary": 2, "multiclass": 3, "regression": 0}
SHORT = [("lightgbm", "multiclass"), ("xgboost", "binary"), ("decision_tree", "regression"), ("linear", "binary")]
CASES = [(family, task) for family in FAMILIES for task in TASKS if (family, task) != ("adaboost", "regression")]
CASES = CASES if os.environ.get("AIMASS_FULL") else SHORT


def rows() -> tuple[Any, TaskInfo, Any]:
    random = np.random.default_rng(3)
    X = random.normal(size=(240, 4))
    X[:, 0] = 1.7e9 + X[:, 0] * 1e5  # seconds of an epoch, which single precision does not tell apart
    X[::5, 1] = np.nan
    X[:, 3] = random.integers(-1, 4, 240)
    return X, ("number", "number", "number", "code"), (0, 0, 0, 4)


def fitted(family: str, task: str) -> tuple[Any, Any]:
    X, kinds, cards = rows()
    classes = TASKS[task]
    signal = np.nan_to_num(X[:, 1]) + X[:, 2] + (X[:, 3] == 2) + (X[:, 0] - 1.7e9) / 1e5
    y = signal if classes == 0 else np.digitize(signal, np.quantile(signal, np.linspace(0, 1, classes + 1)[1:-1]))
    metric = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}[task]
    shape = TaskInfo(task, metric, classes, len(X), kinds, cards)
    one = ALGORITHMS[family]
    learner = __import__("pkgutil").resolve_name(one.learner)()
    params = learner.portfolio(shape)[0] | {"iterations": 12}
    train = Dataset(X, np.asarray(y, dtype=np.float64), np.ones(len(X)))
    member = learner.fit(params, train, None, shape, FitContext(seed=0, threads=1, limit=Limit())).member
    return member, X


def graph_of(ensemble: Ensemble, X: Any, classes: int) -> Any:
    """Return what the graph of an ensemble predicts."""
    from pipelines.exchange.onnx_builder import Builder
    from pipelines.exchange.onnx_convert import convert, why_not
    from pipelines.inference.members.onnx import session

    assert why_not(ensemble) == []
    builder = Builder()
    out = convert(builder, ensemble, "features")
    builder.nodes.append(onnx.helper.make_node("Identity", [out], ["y"]))
    double = onnx.TensorProto.DOUBLE
    model = builder.model(
        [onnx.helper.make_tensor_value_info("features", double, ["n", X.shape[1]])],
        [onnx.helper.make_tensor_value_info("y", double, ["n", classes or 1])],
        "",
    )
    return session(model.SerializeToString()).run(["y"], {"features": X})[0]


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize(("family", "task"), CASES)
def test_each_family_predicts_the_same(family: str, task: str) -> None:
    member, X = fitted(family, task)
    ensemble = Ensemble((EnsembleNode((member,)),), {"kind": "single", "weights": [1.0], "intercept": None})
    found = graph_of(ensemble, X, TASKS[task]).reshape(ensemble.predict(X).shape)
    np.testing.assert_allclose(found, ensemble.predict(X), atol=1e-9)


def test_sums_bags_and_calibration_are_the_same() -> None:
    (trees, X), (linear, _) = fitted("lightgbm", "binary"), fitted("linear", "binary")
    weights = np.array([1.0, 3.0])
    nodes = (
        EnsembleNode((trees, linear), kind="bag"),
        EnsembleNode((linear,)),
        EnsembleNode((Rescaled(trees, weights),)),
    )
    combine = {"kind": "weighted_average", "weights": [0.5, 0.25, 0.25], "intercept": None}
    for calibration in (
        None,
        {"kind": "temperature", "scale": 0.8},
        {"kind": "platt", "scale": 1.2, "shift": [0, 0.3]},
    ):
        ensemble = Ensemble(nodes, combine, calibration)
        np.testing.assert_allclose(graph_of(ensemble, X, 2), ensemble.predict(X), atol=1e-12)


def test_what_has_no_form_is_named() -> None:
    from pipelines.exchange.onnx_convert import why_not

    (trees, _), (median, _) = fitted("lightgbm", "regression"), fitted("adaboost", "regression")
    (near, _) = fitted("nearest_neighbours", "regression")
    nodes = (EnsembleNode((trees,)), EnsembleNode((median,)), EnsembleNode((near,)), EnsembleNode((trees,), (0,)))
    faults = why_not(Ensemble(nodes, {"kind": "stacking", "weights": [1, 1, 1, 1], "intercept": 0.0}))
    assert [fault.split(":")[0] for fault in faults[:3]] == [
        "member 1 (adaboost)", "member 2 (nearest_neighbours)", "member 3 (lightgbm)",
    ]  # fmt: skip
    assert "median" in faults[0]
    assert "no weighted sum" in faults[3]


@pytest.mark.slow
def test_a_version_is_written_with_its_difference(packaged: SimpleNamespace, tmp_path: Path) -> None:
    words = ["export", "demo", "--format", "onnx", "--out", str(tmp_path / "demo.onnx")]
    done = aimass(*words, AIMASS_HOME=str(packaged.settings.home))
    assert done.returncode == 0, done.stderr
    assert "largest difference on 200 golden rows" in done.stdout
    assert "not the raw columns" in done.stderr
    model = onnx.load(tmp_path / "demo.onnx")
    assert [each.name for each in model.graph.input] == ["features"]
    assert "people" in done.stdout
    done = aimass(*words, AIMASS_HOME=str(packaged.settings.home))
    assert "there already" in done.stderr
