"""The evaluation of a model without target: own metrics on the sealed rows, and the same gate.

No answer is compared with a label, nor one version's answer with another's: clusters have no names that two fits share.
Each version is judged in its own design matrix, on the same sealed rows; the gate compares the scores, and bounds their
difference by resampling these rows, each with what it contributes to either score. A row's silhouette also hangs on the
rows beside it, which the resampling takes as given: the bounds are those of other rows among the same clusters.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.artifacts import Artifact, Night, Outcome, write_atomic, write_json
from pipelines.errors import SpecError
from pipelines.evaluation import card, contest, limits
from pipelines.evaluation.compare import POWER, Comparison, bounded, bounded_by_day
from pipelines.evaluation.days import Places, Unit, draws, placed, together
from pipelines.evaluation.gate import judge
from pipelines.evaluation.judged import Version, newest
from pipelines.evaluation.overlap import sides
from pipelines.evaluation.profile import profile
from pipelines.evaluation.reference import PREDICTION, reference
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.evaluation.suspicion import check_finite, constant
from pipelines.evaluation.untested import numbers
from pipelines.evaluation.verdict import Candidate, Rival
from pipelines.inference.manifest import verify_manifest
from pipelines.inference.members.unsupervised import cluster_names
from pipelines.metrics import unsupervised as quality
from pipelines.metrics.unsupervised import Seen, TermRows
from pipelines.settings import Settings, public_key

log = logging.getLogger(__name__)

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
    def of(cls, metric: str, seen: Seen) -> Terms:
        """Judge answers."""
        return cls(quality.row_terms(metric, seen), quality.all_scores(seen))

    @property
    def score(self) -> float:
        """The metric that judges."""
        return quality.ratio(self.terms)


def run(
    spec: EvaluateSpec,
    *,
    night: Night,
    settings: Settings,
    out: Path,
    ensemble: Artifact,
    split: Artifact,
    champion: Artifact | None = None,
    anchor: Artifact | None = None,
) -> Outcome:
    """Score the model, a baseline, the champion and the best version ever, and decide; see the stage's ``run``.

    Raises
    ------
    GateError
        If the model is unfit: an answer is not finite, a sealed row was trained on, or it is no better than the
        baseline and there is no champion.
    DataError
        If no row is sealed.
    SpecError
        If a limit is declared that needs a label.
    """
    _refuse_labels(spec, night.model.task)
    metric, seed = night.model.judged_by, night.model.seed
    model_dir = ensemble.path / "model"
    digest = verify_manifest(model_dir, public_key(settings))
    sealed_by = contest.sealed_by(split)
    sealed, train = sides(split.path, model_dir, contest.compared(champion, night, sealed_by), night.model)
    version = Version.load(model_dir)
    seen = _seen(version, sealed)
    check_finite(seen.answer)
    judged = {"model": Terms.of(metric, seen), "baseline": Terms.of(metric, _baseline(version, seen, train, seed))}
    rivals: dict[str, Rival] = {}
    for name, rival in (("champion", champion), ("anchor", anchor)):
        if rival is not None:
            rivals[name], live = contest.admit(rival, sealed, night.model, sealed_by, unseen_only=name == "anchor")
            if live is not None:
                theirs = _seen(live, sealed)
                if np.isfinite(theirs.answer).all():
                    judged[name] = Terms.of(metric, theirs)
                else:
                    rivals[name] = replace(rivals[name], unfit="gives answers that are not finite")
    days, unit = together(sealed)
    found = compare(judged, confidence=spec.confidence, resamples=spec.bootstrap, seed=seed, days=days, unit=unit)
    rivals = {
        name: replace(rival, score=judged[name].score, comparison=found[name]) if name in judged else rival
        for name, rival in rivals.items()
    }
    scores = {name: one.scores for name, one in judged.items()}
    measured, took = limits.measured(spec, model_dir, public_key(settings), scores["model"])
    candidate = Candidate(
        judged["model"].score,
        judged["baseline"].score,
        len(sealed),
        night.as_of,
        found["baseline"],
        (*constant(seen.answer), *limits.broken(spec, measured)),
        newest(train),
        len(train),
        baseline_is=BASELINE[night.model.task],
    )
    verdict = judge(spec, metric, candidate, rivals.get("champion"), rivals.get("anchor"))
    facts = {**verdict.to_dict(), **measured, **contest.kept(sealed_by)}
    details = {
        "metric": metric,
        "sources": version.plan.sources,
        "found": quality.told(seen),
        "importance": [],
        "attention": [],
        "classes": [],
        "slices": [],
        "fairness": [],
        "digest": digest,
        "model_bytes": measured["model_bytes"],
        "limits": limits.declared(spec, measured),
        "profile": profile(sealed, version.plan.sources, seen.answer),
    }
    described: dict[str, Any] = reference(train, version.plan.sources)
    if seen.restored is None:
        described[PREDICTION] = _clusters(seen.answer)
    write_json(out / "verdict.json", {**facts, **numbers(spec, details)})
    write_json(out / "metrics.json", scores)
    write_json(out / "details.json", details)
    write_json(out / "reference.json", described)
    names = _drawn(out / "plots", seen, f"{night.model.name}, {len(sealed)} sealed rows") if spec.plots else []
    pictures = {name.removesuffix(".png"): out / "plots" / name for name in names}
    write_atomic(out / card.FILE, card.render(card.gather(night, facts, scores, details, model_dir, pictures)))
    log.info(f"{verdict.sentence}\n{details['found']}")
    return Outcome(rows=len(sealed), meta=facts, stats={"scores": scores, **took})


def _drawn(folder: Path, seen: Seen, title: str) -> list[str]:
    """Draw, with the library that only drawing needs; see :func:`pipelines.evaluation.maps.draw`."""
    from pipelines.evaluation.maps import draw

    return draw(folder, seen, title)


def compare(
    judged: dict[str, Terms],
    *,
    confidence: float,
    resamples: int,
    seed: int,
    days: Places | None = None,
    unit: Unit = "days",
) -> dict[str, Comparison | None]:
    """Compare the model with each other one on the same resampled rows, or days or entities where there are enough.

    More of every metric is better.
    """
    rows, (place, several) = {name: TermRows(one.terms) for name, one in judged.items()}, placed(days)
    units = several or len(judged["model"].terms)
    models = {name: one.by_block(place, several) if several else one.score for name, one in rows.items()}
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
        return {name: bounded_by_day(gain, seen, confidence, several, unit) for name, (gain, seen) in gains.items()}
    return {name: bounded(gain, seen, confidence, reach) for name, (gain, seen) in gains.items()}


def on_rows(version: Version, rows: pd.DataFrame, metric: str) -> float:
    """Return the score of a version on cleaned rows."""
    return Terms.of(metric, _seen(version, rows)).score


def _seen(version: Version, rows: pd.DataFrame) -> Seen:
    X = version.plan.transform(version.clean(rows))
    return quality.seen_by(version.ensemble.nodes[0].parts[0], X)


def _baseline(version: Version, seen: Seen, train: pd.DataFrame, seed: int) -> Seen:
    """Answer without looking: clusters dealt out anew, or as many columns of the design matrix, drawn at random.

    These columns are known then; of each other one nothing but its mean over training rows.
    """
    rng = np.random.default_rng(seed)
    if seen.restored is None:
        return Seen(seen.points, rng.permutation(seen.answer))
    some = train.iloc[rng.permutation(len(train))[:MOST_ROWS]].reset_index(drop=True)
    known = _seen(version, some).points
    drawn = rng.permutation(np.flatnonzero(np.ptp(known, axis=0) > 0))[: seen.answer.shape[1]]
    restored = np.tile(known.mean(axis=0), (len(seen.points), 1))
    restored[:, drawn] = seen.points[:, drawn]
    return Seen(seen.points, seen.points[:, drawn], restored)


def _clusters(answer: Array) -> dict[str, Any]:
    """Describe the answers for monitoring: the share of each cluster, by the name that callers read."""
    numbers, counts = np.unique(answer, return_counts=True)
    shares = [float(count) for count in counts / max(1, len(answer))]
    return {"kind": "predicted_class", "categories": cluster_names(numbers), "shares": shares}


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
