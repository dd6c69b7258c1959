"""The plots of predictions: thresholds as defined, and PNG files of whatever a model predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from pipelines.evaluation.report import plots
from pipelines.evaluation.report.prediction_plots import by_threshold, dependence
from pipelines.metrics.labels import at_threshold

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untraced")]

RNG = np.random.default_rng(2)


def test_precision_and_recall_are_those_of_scikit_learn() -> None:
    truth, score = RNG.integers(0, 2, 200), RNG.random(200).round(1)
    levels, found = by_threshold(score, truth == 1, int(truth.sum()))
    precision, recall, known = precision_recall_curve(truth, score)
    np.testing.assert_allclose(levels[::-1], known)
    np.testing.assert_allclose(found["precision"][::-1], precision[:-1])
    np.testing.assert_allclose(found["recall"][::-1], recall[:-1])
    np.testing.assert_allclose(found["F1"], 2 / (1 / found["precision"] + 1 / np.maximum(found["recall"], 1e-300)))


def drawn(folder: Path, task: str, truth: Any, y_pred: Any, classes: list[str], **details: Any) -> set[str]:
    labelled = at_threshold(y_pred, details.get("threshold"))
    made = plots.draw(folder, task, np.asarray(truth, float), {"model": y_pred}, classes, "demo", labelled, details)
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in made)
    return {name.removesuffix(".png") for name in made}


@pytest.mark.parametrize("threshold", [None, 0.3, 0.999])
@pytest.mark.parametrize("wide", [0.0, 0.02, 1.0])
def test_any_probabilities_can_be_drawn(tmp_path: Path, wide: float, threshold: float | None) -> None:
    p = RNG.random(60) * wide
    made = drawn(
        tmp_path / "p", "binary", [0, 1] * 30, np.column_stack([1 - p, p]), ["no", "y" * 40], threshold=threshold
    )
    assert {"probabilities", "thresholds"} <= made


def test_many_classes_and_one_that_no_row_has(tmp_path: Path) -> None:
    truth = np.append(RNG.integers(0, 39, 300), -1)
    y_pred = RNG.dirichlet(np.ones(40), 301)
    made = drawn(tmp_path / "p", "multiclass", truth, y_pred, [f"class {index}" for index in range(40)])
    assert {"probabilities", "thresholds"} <= made


@pytest.mark.parametrize("y_pred", [np.full(50, 3.0), RNG.normal(size=50) * 1e9])
def test_any_numbers_can_be_drawn(tmp_path: Path, y_pred: Any) -> None:
    one: dict[str, Any] = {"column": "x", "kind": "number", "values": [1.0, 2.5], "means": {"prediction": [3.0, 4.0]}}
    kinds = [
        one, {**one, "kind": "date", "values": ["2026-01-01", "2026-07-01"]},
        {**one, "kind": "category", "values": ["a", "b" * 50], "column": "c" * 80},
    ]  # fmt: skip
    found = [*kinds, *kinds]
    made = drawn(tmp_path / "p", "regression", np.full(50, 3.0), y_pred, [], partial_dependence=found[:5])
    assert {"distribution", "partial_dependence"} <= made
    for count in (1, 2, 3, 4):
        dependence(tmp_path / f"{count}.png", "demo", found[:count])
        assert (tmp_path / f"{count}.png").read_bytes().startswith(b"\x89PNG")
