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
from pipelines.evaluation.gate.sanity_checks import check_answers, check_defined, check_leak, nearly_perfect
from pipelines.evaluation.gate.verdict import Rival
from pipelines.evaluation.predictions import Answer, baseline_answer, known, lost, truth_of, unjudged
from pipelines.evaluation.report.reference_distribution import predictions
from pipelines.evaluation.scores import all_scores, class_scores
from pipelines.inference.predictor import Predictor
from pipelines.metrics import METRICS

Array = NDArray[np.float64]
LEAK_ROWS = 1_000


@dataclass(frozen=True)
class SupervisedPredictions:
    """What the models answer, beside what is true.

    Parameters
    ----------
    rows
        The sealed rows of a class that any model knows.
    truth
        (n,) values, or indices of ``classes``.
    answers
        To these rows: ``model``, ``baseline``, and ``linear``, ``champion``, ``anchor`` where there are.
    own
        The model's to all sealed rows, in its own classes.
    curve
        The learning curve of a small booster.
    """

    opened: OpenedNight
    rows: pd.DataFrame
    truth: Array
    classes: list[str]
    answers: dict[str, Answer]
    own: Answer
    rivals: dict[str, Rival]
    curve: list[dict[str, Any]]

    @property
    def predictions(self) -> Array:
        """The model's predictions, (n,) or (n, classes)."""
        return self.answers["model"].values

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
    def seen(self) -> dict[str, Array]:
        """What the metric sees of each model's answers."""
        return {name: answer.judged_by(self.metric) for name, answer in self.answers.items()}

    def score(self, name: str) -> float:
        """Return the metric of a model."""
        return METRICS[self.metric].score(self.truth, self.seen[name], self.weight)

    def compare(self) -> dict[str, Comparison | None]:
        """Compare the model with each other one, paired by row, day or entity.

        Raises
        ------
        DataError
            If the metric is not defined on these rows.
        """
        check_defined(self.metric, self.score("model"), self.truth)
        spec, (days, unit) = self.opened.spec, together(self.rows)
        others = {name: answer for name, answer in self.seen.items() if name != "model"}
        return compare(
            self.metric,
            self.truth,
            self.seen["model"],
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
            name: all_scores(model.task, self.truth, answer.values, self.weight, answer.labelled, model.judged_by)
            for name, answer in self.answers.items()
        }

    def explain(self) -> dict[str, Any]:
        """Look at columns, slices and groups.

        Raises
        ------
        GateError
            If one column gives the answer away.
        """
        spec, model, version = self.opened.spec, self.opened.night.model, self.version
        asked = (version, self.rows, self.truth, self.classes, model, spec.explain_rows or LEAK_ROWS)
        score, baseline = self.score("model"), self.score("baseline")
        suspect = nearly_perfect(self.metric, score, baseline)
        importance = explanations.important(*asked) if spec.explain_rows or suspect else []
        alone = explanations.alone(*asked) if suspect else {}
        doubts = check_leak(self.metric, score, baseline, importance, alone, spec.leaks_allowed, len(self.truth))
        attention: list[dict[str, Any]] = []
        how, said = "", self.answers["model"].labelled
        if spec.explain_rows:
            attention, how = explanations.attended(version, self.rows, model, spec.explain_rows)
        return {
            "metric": self.metric,
            "sources": version.plan.sources,
            "importance": importance,
            "partial_dependence": explanations.dependent(version, self.rows, importance, model) if spec.plots else [],
            "attention": attention,
            "attention_how": how,
            "classes": class_scores(self.truth, said, version.as_written(self.classes)) if self.classes else [],
            "slices": explanations.cut(spec, self.rows, self.truth, self.answers, model, importance),
            "slices_declared": bool(spec.slices),
            "slice_rows": spec.slice_rows,
            "doubts": doubts,
            "fairness": explanations.grouped(spec, model.task, self.rows, self.truth, said),
            "fairness_floor": spec.fairness_floor,
            "threshold": version.threshold,
            "learning_curve": self.curve,
        }

    def told(self, compared: Mapping[str, Comparison | None]) -> dict[str, Any]:
        """Return the linear model's score, the classes that were lost, and those that no row has."""
        labels, own = self.rows["_y"], self.version.classes
        return {
            "linear": self.score("linear") if "linear" in self.answers else None,
            "over_linear": compared.get("linear"),
            "lost_classes": tuple(lost(labels, own, self.classes)),
            "untested": tuple(unjudged(labels, own)),
        }

    def reference(self) -> dict[str, Any]:
        """Describe the predictions for all sealed rows."""
        return predictions(self.own.values, self.version.labels)

    def draw(self, folder: Path, title: str, details: Mapping[str, Any]) -> list[str]:
        """Draw the curves; see :func:`pipelines.evaluation.report.plots.draw`."""
        from pipelines.evaluation.report.plots import draw

        shown = {name: answer.values for name, answer in self.answers.items()}
        spelled, said = self.version.as_written(self.classes), self.answers["model"].labelled
        return draw(folder, self.opened.night.model.task, self.truth, shown, spelled, title, said, details)


def predict(opened: OpenedNight) -> SupervisedPredictions:
    """Let the model, the rivals, a constant and, where it is asked for, a linear model predict the sealed rows.

    Raises
    ------
    GateError
        If an answer is not finite, or no probability.
    """
    spec, model, version, rivals = opened.spec, opened.night.model, opened.model.predictor, dict(opened.rivals)
    own = Answer.of(version, version.read_cleaned(opened.sealed))
    check_answers(own.values)
    theirs: dict[str, Answer] = {}
    for name, live in opened.admitted.items():
        answer = Answer.of(live.predictor, live.predictor.read_cleaned(opened.sealed))
        if np.isfinite(answer.values).all():
            theirs[name] = answer
        else:
            rivals[name] = replace(rivals[name], unfit="gives answers that are not finite")
    rows, given, classes = known(model.task, opened.sealed, {"model": own, **theirs})
    truth, labels = truth_of(rows["_y"], classes), truth_of(opened.train["_y"], classes)
    shares = opened.train["_weight"].to_numpy(np.float64)
    constantly = Answer(baseline_answer(labels, shares, len(rows), len(classes), model.judged_by))
    answers = {"model": given["model"], "baseline": constantly, **given}
    curve: list[dict[str, Any]] = []
    if spec.explain_rows or "champion" not in answers:  # without a champion the gate asks the linear model
        linear, curve = explanations.simpler(version, opened.train, rows, truth, classes, model, spec.explain_rows)
        if linear is not None:
            answers["linear"] = Answer(linear)
    return SupervisedPredictions(opened, rows, truth, classes, answers, own, rivals, curve)
