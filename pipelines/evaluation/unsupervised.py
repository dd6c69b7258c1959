"""Predictions of a model without target, judged by its own metrics on the sealed rows.

No prediction is compared with a label, nor with another version's: clusters have no names that two fits share.
Each version is judged in its own design matrix, on the same sealed rows; the gate compares the scores, and bounds their
difference by resampling these rows, each with what it contributes to either score. A row's silhouette also hangs on the
rows beside it, which the resampling takes as given: the bounds are those of other rows among the same clusters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.errors import SpecError
from pipelines.evaluation.comparison.block_bootstrap import Indices, Unit, day_indices, draws, together
from pipelines.evaluation.comparison.compare import POWER, Comparison, bounded, bounded_by_day
from pipelines.evaluation.explanation.cluster_profile import profile
from pipelines.evaluation.flow import OpenedNight
from pipelines.evaluation.gate.sanity_checks import check_finite
from pipelines.evaluation.gate.verdict import Rival
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.inference.members.unsupervised import cluster_names
from pipelines.inference.predictor import Predictor
from pipelines.metrics import unsupervised as quality
from pipelines.metrics.unsupervised import MemberOutput, TermRows

Array = NDArray[np.float64]
BASELINE = {
    "clustering": "the same clusters dealt out at random reach",
    "reduction": "as many columns, drawn at random, hold",
}
MOST_ROWS = 20_000
"""Training rows that the baseline's means are learned on."""


@dataclass(frozen=True)
class Terms:
    """A model on the sealed rows: what each contributes to the metric, and every metric."""

    terms: Array
    scores: dict[str, Any]

    @classmethod
    def of(cls, metric: str, output: MemberOutput) -> Terms:
        """Return the terms of a member's output."""
        return cls(quality.row_terms(metric, output), quality.all_scores(output))

    @property
    def score(self) -> float:
        """The metric that judges."""
        return quality.ratio(self.terms)


@dataclass(frozen=True)
class UnsupervisedPredictions:
    """What the models make of the rows, each in its own design matrix.

    Parameters
    ----------
    output
        The points of the rows and the model's predictions.
    judged
        ``model``, ``baseline``, and ``champion`` and ``anchor`` where there are.
    """

    opened: OpenedNight
    output: MemberOutput
    judged: dict[str, Terms]
    rivals: dict[str, Rival]

    @property
    def rows(self) -> pd.DataFrame:
        """All sealed rows."""
        return self.opened.sealed

    @property
    def predictions(self) -> Array:
        """The model's clusters (n,) or coordinates (n, k)."""
        return self.output.predicted

    def score(self, name: str) -> float:
        """Return the metric of a model."""
        return self.judged[name].score

    def compare(self) -> dict[str, Comparison | None]:
        """Compare the model with each other one on the same resampled rows, days or entities."""
        spec, (days, unit) = self.opened.spec, together(self.rows)
        return compare(
            self.judged,
            confidence=spec.confidence,
            resamples=spec.bootstrap,
            seed=self.opened.night.model.seed,
            days=days,
            unit=unit,
        )

    def scores(self) -> dict[str, dict[str, Any]]:
        """Return every metric of the task."""
        return {name: one.scores for name, one in self.judged.items()}

    def explain(self) -> dict[str, Any]:
        """Tell what was found, by the columns that people know."""
        sources = self.opened.model.plan.sources
        return {
            "metric": self.opened.night.model.judged_by,
            "sources": sources,
            "found": quality.describe(self.output),
            "importance": [],
            "attention": [],
            "classes": [],
            "slices": [],
            "fairness": [],
            "profile": profile(self.rows, sources, self.output.predicted),
        }

    def candidate_fields(self, compared: Mapping[str, Comparison | None]) -> dict[str, Any]:
        """Return what the baseline does."""
        return {"baseline_is": BASELINE[self.opened.night.model.task]}

    def reference(self) -> dict[str, Any] | None:
        """Return the share of each cluster, by the name that callers read; coordinates are not watched."""
        if self.output.restored is not None:
            return None
        numbers, counts = np.unique(self.output.predicted, return_counts=True)
        shares = [float(count) for count in counts / max(1, len(self.output.predicted))]
        return {"kind": "predicted_class", "categories": cluster_names(numbers), "shares": shares}

    def expected(self) -> dict[str, Any]:
        """Return nothing: without a target there are no probabilities."""
        return {}

    def draw(self, folder: Path, title: str, details: Mapping[str, Any]) -> list[str]:
        """Draw the rows in two dimensions; see :func:`pipelines.evaluation.report.cluster_plots.draw`."""
        from pipelines.evaluation.report.cluster_plots import draw

        return draw(folder, self.output, title)


def predict(opened: OpenedNight) -> UnsupervisedPredictions:
    """Let the model, a baseline and the rivals predict the sealed rows.

    Raises
    ------
    GateError
        If a prediction is not finite.
    SpecError
        If a limit is declared that needs a label.
    """
    model, version, rivals = opened.night.model, opened.model.predictor, dict(opened.rivals)
    _refuse_labels(opened.spec, model.task)
    output = _output(version, opened.sealed)
    check_finite(output.predicted)
    baseline = _baseline(version, output, opened.train, model.seed)
    judged = {"model": Terms.of(model.judged_by, output), "baseline": Terms.of(model.judged_by, baseline)}
    for name, live in opened.admitted.items():
        theirs = _output(live.predictor, opened.sealed)
        if np.isfinite(theirs.predicted).all():
            judged[name] = Terms.of(model.judged_by, theirs)
        else:
            rivals[name] = replace(rivals[name], unfit="gives predictions that are not finite")
    return UnsupervisedPredictions(opened, output, judged, rivals)


def compare(
    judged: dict[str, Terms],
    *,
    confidence: float,
    resamples: int,
    seed: int,
    days: Indices | None = None,
    unit: Unit = "days",
) -> dict[str, Comparison | None]:
    """Compare the model with each other one on the same resampled rows, or days or entities where there are enough.

    More of every metric is better.
    """
    rows, (day_index, several) = {name: TermRows(one.terms) for name, one in judged.items()}, day_indices(days)
    units = several or len(judged["model"].terms)
    models = {name: one.by_block(day_index, several) if several else one.score for name, one in rows.items()}
    found: dict[str, list[Array]] = {name: [] for name in judged}
    for drawn in draws(units, units, resamples, seed):
        for name, score in models.items():
            found[name].append(score(drawn))
    drawn_scores = {name: np.concatenate(parts) for name, parts in found.items()}
    reach = NormalDist().inv_cdf(confidence) + NormalDist().inv_cdf(POWER)
    gains = {
        name: (judged["model"].score - one.score, drawn_scores["model"] - drawn_scores[name])
        for name, one in judged.items()
        if name != "model"
    }
    if several:
        return {name: bounded_by_day(gain, drawn, confidence, several, unit) for name, (gain, drawn) in gains.items()}
    return {name: bounded(gain, drawn, confidence, reach) for name, (gain, drawn) in gains.items()}


def on_rows(version: Predictor, rows: pd.DataFrame, metric: str) -> float:
    """Return the score of a version on cleaned rows."""
    return Terms.of(metric, _output(version, rows)).score


def _output(version: Predictor, rows: pd.DataFrame) -> MemberOutput:
    X = version.plan.transform(version.read_cleaned(rows))
    return quality.evaluate_member(version.ensemble.nodes[0].parts[0], X)


def _baseline(version: Predictor, output: MemberOutput, train: pd.DataFrame, seed: int) -> MemberOutput:
    """Return the output of a random baseline: the clusters permuted, or as many random columns of the design matrix.

    Each other column is restored as its mean over training rows.
    """
    rng = np.random.default_rng(seed)
    if output.restored is None:
        return MemberOutput(output.points, rng.permutation(output.predicted))
    some = train.iloc[rng.permutation(len(train))[:MOST_ROWS]].reset_index(drop=True)
    known = _output(version, some).points
    drawn = rng.permutation(np.flatnonzero(np.ptp(known, axis=0) > 0))[: output.predicted.shape[1]]
    restored = np.tile(known.mean(axis=0), (len(output.points), 1))
    restored[:, drawn] = output.points[:, drawn]
    return MemberOutput(output.points, output.points[:, drawn], restored)


def _refuse_labels(spec: EvaluateSpec, task: str) -> None:
    declared = {
        "slices": bool(spec.slices),
        "fairness": bool(spec.fairness),
        "test": spec.test == "delong",
        "max_calibration_error": spec.max_calibration_error is not None,
    }
    faults = [f"{name}={getattr(spec, name)!r}" for name, set_ in declared.items() if set_]
    if faults:
        raise SpecError(
            f"a {task} model has no labels to judge this by",
            where="EvaluateSpec",
            seen=", ".join(faults),
            expected="floor, ceiling, margin, max_row_ms, max_megabytes",
            cure="leave these settings out",
            faults=faults,
        )
