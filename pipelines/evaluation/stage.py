"""Stage evaluate: model directory + champion + sealed rows → verdict and model card.

One flow for all tasks: open → predict → compare → explain → gate → write. What differs with and without a target stands
behind :class:`pipelines.evaluation.flow.Predicted`.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.artifacts import Artifact, Night, Outcome, write_atomic, write_json
from pipelines.evaluation import supervised, unsupervised
from pipelines.evaluation.comparison import reference_models
from pipelines.evaluation.explanation.fairness import unfair
from pipelines.evaluation.flow import OpenedNight, Predicted, open_night
from pipelines.evaluation.gate import limits
from pipelines.evaluation.gate.gate import judge
from pipelines.evaluation.gate.sanity_checks import constant
from pipelines.evaluation.gate.untested_limits import numbers, untested
from pipelines.evaluation.gate.verdict import Candidate, Verdict
from pipelines.evaluation.predictions import newest
from pipelines.evaluation.report import model_card
from pipelines.evaluation.report.reference_distribution import PREDICTION, reference
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.settings import Settings

log = logging.getLogger(__name__)


def fingerprint(spec: EvaluateSpec, night: Night, settings: Settings) -> str:
    """Return what the verdict depends on besides the inputs: the date, for a backfill never moves what is live."""
    return night.as_of.isoformat()


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
    """Score the model, the champion, the best version ever and simple models on the same sealed rows, and decide.

    Parameters
    ----------
    ensemble
        ``model/``; ``pareto.png`` if there is one goes into the card.
    split
        ``sealed/`` and ``train/``.
    champion, anchor
        The live model directory and that of the best version that ever was live; the ref's meta holds ``version``,
        ``as_of`` and, where known, ``trained_until`` and ``rows_trained``.

    Raises
    ------
    GateError
        If the model is unfit: a prediction is not finite or no probability, a sealed row was trained on, one column
        reveals the target, or it is no better than the baseline and there is no champion.
    DataError
        If the sealed rows cannot judge: none, or the metric is not defined on them.
    SpecError
        If a declared slice or group is no column of the sealed rows, or a limit needs a label and there is none.
    """
    opened = open_night(
        spec, night=night, settings=settings, ensemble=ensemble, split=split, champion=champion, anchor=anchor
    )
    predicted: Predicted = (supervised if night.model.supervised else unsupervised).predict(opened)
    compared = predicted.compare()
    details, scores = predicted.explain(), predicted.scores()
    seen, took = limits.measured(spec, opened.model, scores["model"])
    details |= {
        "digest": opened.model.digest,
        "model_bytes": seen["model_bytes"],
        "limits": limits.declared(spec, seen),
    }
    verdict = _gate(opened, predicted, compared, details, seen)
    facts = {**verdict.to_dict(), **seen, **reference_models.kept(opened.sealed_by)}
    title = f"{night.model.name}, {len(predicted.rows)} sealed rows"
    names = predicted.draw(out / "plots", title, details) if spec.plots else []
    pictures = {name.removesuffix(".png"): out / "plots" / name for name in names}
    if (ensemble.path / "pareto.png").is_file():
        pictures["pareto"] = ensemble.path / "pareto.png"
    write_json(out / "verdict.json", {**facts, **numbers(spec, details)})
    write_json(out / "metrics.json", scores)
    write_json(out / "details.json", details)
    write_json(out / "reference.json", _reference(opened, predicted))
    write_json(out / "expected.json", {"sealed_rows": len(opened.sealed), **predicted.expected()})
    write_atomic(
        out / model_card.FILE,
        model_card.render(model_card.gather(night, facts, scores, details, opened.model, pictures)),
    )
    log.info("\n".join(filter(None, (verdict.sentence, details.get("found")))))
    return Outcome(rows=len(predicted.rows), meta=facts, stats={"scores": scores, **took})


def _gate(
    opened: OpenedNight, predicted: Predicted, compared: dict[str, Any], details: dict[str, Any], seen: dict[str, Any]
) -> Verdict:
    """Put together what is known of the model and its rivals, and decide."""
    spec, metric = opened.spec, opened.night.model.judged_by
    blocks = [
        *constant(predicted.predictions),
        *limits.broken(spec, seen),
        *unfair(details["fairness"], spec.fairness_floor),
        *(entry["why"] for entry in details["slices"] if entry["why"]),
    ]
    fields = predicted.candidate_fields(compared)
    fields["untested"] = (
        *details.get("doubts", ()),
        *untested(spec, metric, details, seen),
        *fields.get("untested", ()),
    )
    candidate = Candidate(
        predicted.score("model"),
        predicted.score("baseline"),
        len(predicted.rows),
        opened.night.as_of,
        compared["baseline"],
        tuple(blocks),
        newest(opened.train),
        len(opened.train),
        **fields,
    )
    rivals = {
        name: replace(rival, score=predicted.score(name), comparison=compared[name]) if name in compared else rival
        for name, rival in predicted.rivals.items()
    }
    return judge(spec, metric, candidate, rivals.get("champion"), rivals.get("anchor"))


def _reference(opened: OpenedNight, predicted: Predicted) -> dict[str, Any]:
    """Describe training rows and predictions: what monitoring compares live traffic with."""
    described: dict[str, Any] = reference(opened.train, opened.model.plan.sources)
    predictions = predicted.reference()
    if predictions is not None:
        described[PREDICTION] = predictions
    return described
