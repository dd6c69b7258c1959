"""Predictions that the labels of the sealed rows judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.evaluation.comparison.block_bootstrap import together
from pipelines.evaluation.comparison.compare import Comparison, compare
from pipelines.evaluation.explanation import explanations
from pipelines.evaluation.flow import OpenedNight
from pipelines.evaluation.gate.sanity_checks import check_defined, check_leak, check_predictions, nearly_perfect
from pipelines.evaluation.gate.verdict import Rival
from pipelines.evaluation.predictions import ModelPredictions, baseline_predictions, known, lost, truth_of, unjudged
from pipelines.evaluation.report.reference_distribution import predictions
from pipelines.evaluation.scores import all_scores, class_scores
from pipelines.inference.predictor import Predictor
from pipelines.metrics import METRICS
from pipelines.metrics.expected import expected_score

Array = NDArray[np.float64]
LEAK_ROWS = 1_000


@dataclass(frozen=True)
class SupervisedPredictions:
    """Predictions of the models, with the true values.

    Parameters
    ----------
    rows
        The sealed rows of a class that any model knows.
    truth
        (n,) values, or indices of ``classes``.
    predicted
        By model, the predictions for these rows: ``model``, ``baseline``, where there are, ``linear``, ``champion`` and
        ``anchor``.
    own
        The model's to all sealed rows, in its own classes.
    curve
        The learning curve of a small booster.
    """

    opened: OpenedNight
    rows: pd.DataFrame
    truth: Array
    classes: list[str]
    predicted: dict[str, ModelPredictions]
    own: ModelPredictions
    rivals: dict[str, Rival]
    curve: list[dict[str, Any]]

    @property
    def predictions(self) -> Array:
        """The model's predictions, (n,) or (n, classes)."""
        return self.predicted["model"].values

    @property
    def version(self) -> Predictor:
        """Tonight's model."""
        return self.opened.model.predictor

    @property
    def metric(self) -> str:
        """The name of the metric that judges."""
        return self.opened.night.model.judged_by

    @cached_property
    def weight(self) -> Array:
        """A weight of 1 for each row."""
        return np.ones(len(self.rows))

    @cached_property
    def judged(self) -> dict[str, Array]:
        """What the metric uses of each model's predictions."""
        return {name: one.judged_by(self.metric) for name, one in self.predicted.items()}

    def score(self, name: str) -> float:
        """Return the metric of a model."""
        return METRICS[self.metric].score(self.truth, self.judged[name], self.weight)

    def compare(self) -> dict[str, Comparison | None]:
        """Compare the model with each other one, paired by row, day or entity.

        Raises
        ------
        DataError
            If the metric is not defined on these rows.
        """
        check_defined(self.metric, self.score("model"), self.truth)
        spec, (days, unit) = self.opened.spec, together(self.rows)
        others = {name: y_pred for name, y_pred in self.judged.items() if name != "model"}
        return compare(
            self.metric,
            self.truth,
            self.judged["model"],
            others,
            confidence=spec.confidence,
            resamples=spec.bootstrap,
            seed=self.opened.night.model.seed,
            test=spec.test,
            days=days,
            unit=unit,
        )

    def scores(self) -> dict[str, dict[str, Any]]:
        """Return every metric of the task."""
        model = self.opened.night.model
        return {
            name: all_scores(model.task, self.truth, one.values, self.weight, one.labelled, model.judged_by)
            for name, one in self.predicted.items()
        }

    def explain(self) -> dict[str, Any]:
        """Look at columns, slices and groups.

        Raises
        ------
        GateError
            If one column reveals the target.
        """
        spec, model, version = self.opened.spec, self.opened.night.model, self.version
        asked = (version, self.rows, self.truth, self.classes, model, spec.explain_rows or LEAK_ROWS)
        score, baseline = self.score("model"), self.score("baseline")
        suspect = nearly_perfect(self.metric, score, baseline)
        importance = explanations.important(*asked) if spec.explain_rows or suspect else []
        alone = explanations.alone(*asked) if suspect else {}
        doubts = check_leak(self.metric, score, baseline, importance, alone, spec.leaks_allowed, len(self.truth))
        attention: list[dict[str, Any]] = []
        how, labelled = "", self.predicted["model"].labelled
        if spec.explain_rows:
            attention, how = explanations.attended(version, self.rows, model, spec.explain_rows)
        return {
            "metric": self.metric,
            "sources": version.plan.sources,
            "importance": importance,
            "partial_dependence": explanations.dependent(version, self.rows, importance, model) if spec.plots else [],
            "attention": attention,
            "attention_how": how,
            "classes": class_scores(self.truth, labelled, version.as_written(self.classes)) if self.classes else [],
            "slices": explanations.cut(spec, self.rows, self.truth, self.predicted, model, importance),
            "slices_declared": bool(spec.slices),
            "slice_rows": spec.slice_rows,
            "doubts": doubts,
            "fairness": explanations.grouped(spec, model.task, self.rows, self.truth, labelled),
            "fairness_floor": spec.fairness_floor,
            "threshold": version.threshold,
            "learning_curve": self.curve,
        }

    def candidate_fields(self, compared: Mapping[str, Comparison | None]) -> dict[str, Any]:
        """Return the linear model's score, the classes that were lost, and those that no row has."""
        labels, own = self.rows["_y"], self.version.classes
        return {
            "linear": self.score("linear") if "linear" in self.predicted else None,
            "over_linear": compared.get("linear"),
            "lost_classes": tuple(lost(labels, own, self.classes)),
            "untested": tuple(unjudged(labels, own)),
        }

    def reference(self) -> dict[str, Any]:
        """Describe the predictions for all sealed rows."""
        return predictions(self.own.values, self.version.labels)

    def expected(self) -> dict[str, Any]:
        """Return the score, and what the probabilities alone let expect."""
        if not self.classes:
            return {}
        one = self.predicted["model"]
        estimated, error = expected_score(self.metric, one.values, one.judged_by(self.metric))
        if not np.isfinite([estimated, error]).all():
            return {}
        return {"metric": self.metric, "realised": self.score("model"), "estimated": estimated, "error": error}

    def draw(self, folder: Path, title: str, details: Mapping[str, Any]) -> list[str]:
        """Draw the curves; see :func:`pipelines.evaluation.report.plots.draw`."""
        from pipelines.evaluation.report.plots import draw

        shown = {name: one.values for name, one in self.predicted.items()}
        spelled, labelled = self.version.as_written(self.classes), self.predicted["model"].labelled
        return draw(folder, self.opened.night.model.task, self.truth, shown, spelled, title, labelled, details)


def predict(opened: OpenedNight) -> SupervisedPredictions:
    """Let the model, the rivals, a constant and, where it is asked for, a linear model predict the sealed rows.

    Raises
    ------
    GateError
        If a prediction is not finite, or no probability.
    """
    spec, model, version, rivals = opened.spec, opened.night.model, opened.model.predictor, dict(opened.rivals)
    own = ModelPredictions.of(version, version.read_cleaned(opened.sealed))
    check_predictions(own.values)
    theirs: dict[str, ModelPredictions] = {}
    for name, live in opened.admitted.items():
        other = ModelPredictions.of(live.predictor, live.predictor.read_cleaned(opened.sealed))
        if np.isfinite(other.values).all():
            theirs[name] = other
        else:
            rivals[name] = replace(rivals[name], unfit="gives predictions that are not finite")
    rows, given, classes = known(model.task, opened.sealed, {"model": own, **theirs})
    truth, labels = truth_of(rows["_y"], classes), truth_of(opened.train["_y"], classes)
    shares = opened.train["_weight"].to_numpy(np.float64)
    constantly = ModelPredictions(baseline_predictions(labels, shares, len(rows), len(classes), model.judged_by))
    predicted = {"model": given["model"], "baseline": constantly, **given}
    curve: list[dict[str, Any]] = []
    if spec.explain_rows or "champion" not in predicted:  # without a champion the gate asks the linear model
        linear, curve = explanations.simpler(version, opened.train, rows, truth, classes, model, spec.explain_rows)
        if linear is not None:
            predicted["linear"] = ModelPredictions(linear)
    return SupervisedPredictions(opened, rows, truth, classes, predicted, own, rivals, curve)
