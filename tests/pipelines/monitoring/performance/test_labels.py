from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.monitoring.performance import realised
from pipelines.monitoring.performance.labels import Labelled, truth
from pipelines.monitoring.performance.logged import logged
from pipelines.monitoring.performance.loss import accepted, shown
from pipelines.monitoring.spec import MonitorSpec


def test_labels_are_read_in_any_spelling_of_their_class() -> None:
    y_true, readable = truth(pd.Series(["1.0", "2", " 2.0", "three"]), ["1", "2"])
    assert y_true.tolist() == [0, 1, 1, -1]
    assert readable.tolist() == [True, True, True, False]
    y_true, readable = truth(pd.Series(["TRUE", "False", "true"]), ["False", "True"])
    assert y_true.tolist() == [1, 0, 1]
    y_true, readable = truth(pd.Series(["a", "d"]), ["a", "b", "c"])
    assert y_true.tolist() == [0, -1]
    assert readable.all(), "a new class is a class that the model does not know"
    y_true, readable = truth(pd.Series(["12.5", "many"]), [])
    assert y_true[0] == 12.5
    assert readable.tolist() == [True, False]


def test_predictions_of_every_task_become_arrays() -> None:
    rows: list[dict[str, Any]] = [
        {"prediction": "b", "probability": 0.7, "probabilities": {"a": 0.2, "b": 0.7, "old": 0.1}},
        {"components": [1.0]},
    ]
    several, whole = logged(rows, "multiclass", ["a", "b", "c"])
    assert whole.tolist() == [True, False]
    assert several.values.tolist() == [[0.2, 0.7, 0.0]]
    assert several.judged.tolist() == [[0.0, 1.0, 0.0]]
    assert several.confidence.tolist() == [0.7]
    binary, _ = logged([{"prediction": "no", "probability": 0.6}], "binary", ["no", "yes"])
    assert binary.values.tolist() == [[0.4, 0.6]]
    assert binary.judged_by("accuracy").tolist() == [[1.0, 0.0]], "the threshold of the version decided"
    numbers, _ = logged([{"prediction": 3.5}, {"prediction": None}], "regression", [])
    assert numbers.values.tolist() == [3.5]


@pytest.mark.parametrize(("off", "gross"), [(0.0, None), (3.0, True)])
def test_a_regression_is_judged_by_its_own_metric(off: float, gross: bool | None) -> None:
    random = np.random.default_rng(0)
    y_true = random.normal(size=800)
    own, _ = logged([{"prediction": float(y)} for y in y_true + random.normal(size=800) + off], "regression", [])
    version = SimpleNamespace(version=1, metric="rmse", score=1.0)
    live: Any = SimpleNamespace(name="demo", ledger=SimpleNamespace(versions=lambda _: [version]))
    found = Labelled(pd.DataFrame({"version": [1.0] * 800}), [], 0)
    figures = realised._figures(MonitorSpec(), live, "rmse", own, y_true, found)
    assert figures["shows"] == ({} if gross is None else {"realised": gross})
    assert figures["then"] == 1.0
    assert figures["limit"] == pytest.approx(0.05)
    assert "calibration" not in figures
    seen = realised._finding("demo", "realised", "rmse", figures, 800, gross is not None)
    assert "1 on sealed rows (accepted loss 0.05)" in seen.message


def test_a_loss_must_be_more_than_accepted_and_sure() -> None:
    assert accepted("roc_auc", 0.8, None) == 0.02
    assert accepted("log_loss", 0.4, None) == pytest.approx(0.02)
    assert accepted("rmse", 200.0, 1.5) == 1.5
    assert shown("realised", 0.03, 0.02, 0.02) == {}
    assert shown("realised", 0.03, 0.02, 0.005) == {"realised": False}
    assert shown("realised", 0.3, 0.02, 0.005) == {"realised": True}
    assert shown("realised", float("nan"), 0.02, 0.005) == {}
