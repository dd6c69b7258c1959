"""Stage evaluate: model directory + champion + sealed rows → verdict and model card."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.artifacts import Artifact, Night, Outcome, write_atomic, write_json
from pipelines.evaluation import card, contest, limits, looks, unlabelled
from pipelines.evaluation.compare import compare
from pipelines.evaluation.days import together
from pipelines.evaluation.fairness import unfair
from pipelines.evaluation.gate import judge
from pipelines.evaluation.judged import Answer, Version, baseline_answer, known, lost, newest, truth_of, unjudged
from pipelines.evaluation.overlap import sides
from pipelines.evaluation.reference import PREDICTION, predictions, reference
from pipelines.evaluation.scores import all_scores, class_scores
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.evaluation.suspicion import check_answers, check_defined, check_leak, constant, nearly_perfect
from pipelines.evaluation.untested import numbers, untested
from pipelines.evaluation.verdict import Candidate, Rival
from pipelines.inference.manifest import verify_manifest
from pipelines.metrics import METRICS
from pipelines.settings import Settings, public_key
from pipelines.spec import ModelSpec

log = logging.getLogger(__name__)

LEAK_ROWS = 1_000

Array = NDArray[np.float64]


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
        If the model is unfit: an answer is not finite or no probability, a sealed row was trained on, one column
        gives the answer away, or it loses to a constant answer and there is no champion.
    DataError
        If the sealed rows cannot judge: none, or the metric is not defined on them.
    SpecError
        If a declared slice or group is no column of the sealed rows.
    """
    if not night.model.supervised:
        return unlabelled.run(
            spec,
            night=night,
            settings=settings,
            out=out,
            ensemble=ensemble,
            split=split,
            champion=champion,
            anchor=anchor,
        )
    task, metric, seed = night.model.task, night.model.judged_by, night.model.seed
    model_dir = ensemble.path / "model"
    digest = verify_manifest(model_dir, public_key(settings))
    group = contest.sealed_by(split)
    sealed, train = sides(split.path, model_dir, contest.compared(champion, night, group), night.model)
    version = Version.load(model_dir)
    own = _answer(version, sealed)
    rivals, theirs = _rivals(champion, anchor, sealed, night.model, group)
    sealed, given, classes = known(task, sealed, {"model": own, **theirs})
    truth, weight = truth_of(sealed["_y"], classes), np.ones(len(sealed))
    labels, shares = truth_of(train["_y"], classes), train["_weight"].to_numpy(np.float64)
    constantly = Answer(baseline_answer(labels, shares, len(sealed), len(classes), metric))
    answers = {"model": given["model"], "baseline": constantly, **given}
    linear: Array | None = None
    curve: list[dict[str, Any]] = []
    if spec.explain_rows or "champion" not in answers:  # without a champion the gate asks the linear model
        linear, curve = looks.simpler(version, train, sealed, truth, classes, night.model, spec.explain_rows)
    if linear is not None:
        answers["linear"] = Answer(linear)
    judged = {name: answer.judged_by(metric) for name, answer in answers.items()}
    score, baseline = (METRICS[metric].score(truth, judged[name], weight) for name in ("model", "baseline"))
    check_defined(metric, score, truth)
    days, unit = together(sealed)
    found = compare(
        metric,
        truth,
        judged["model"],
        {name: answer for name, answer in judged.items() if name != "model"},
        confidence=spec.confidence,
        resamples=spec.bootstrap,
        seed=seed,
        test=spec.test,
        days=days,
        unit=unit,
    )
    rivals = {
        name: contest.judged(rival, metric, truth, answers.get(name), found.get(name)) for name, rival in rivals.items()
    }
    details = _details(spec, version, sealed, truth, classes, answers, night.model, score, baseline)
    details["learning_curve"] = curve
    scores = {name: all_scores(task, truth, answer.values, weight, answer.labelled) for name, answer in answers.items()}
    seen, took = limits.measured(spec, model_dir, public_key(settings), scores["model"])
    details |= {"digest": digest, "model_bytes": seen["model_bytes"], "limits": limits.declared(spec, seen)}
    blocks = [
        *constant(answers["model"].values),
        *limits.broken(spec, seen),
        *unfair(details["fairness"], spec.fairness_floor),
        *(entry["why"] for entry in details["slices"] if entry["why"]),
    ]
    candidate = Candidate(
        score,
        baseline,
        len(sealed),
        night.as_of,
        found["baseline"],
        tuple(blocks),
        newest(train),
        len(train),
        scores["linear"][metric] if linear is not None else None,
        found.get("linear"),
        lost_classes=tuple(lost(sealed["_y"], version.classes, classes)),
        untested=(*details["doubts"], *untested(spec, metric, details, seen), *unjudged(sealed["_y"], version.classes)),
    )
    verdict = judge(spec, metric, candidate, rivals.get("champion"), rivals.get("anchor"))
    facts = {**verdict.to_dict(), **seen, **contest.kept(group)}
    title = f"{night.model.name}, {len(sealed)} sealed rows"
    shown = {name: answer.values for name, answer in answers.items()}
    said = answers["model"].labelled
    spelled = version.as_written(classes)
    names = _drawn(out / "plots", task, truth, shown, spelled, title, said, details) if spec.plots else []
    pictures = {name.removesuffix(".png"): out / "plots" / name for name in names}
    if (ensemble.path / "pareto.png").is_file():
        pictures["pareto"] = ensemble.path / "pareto.png"
    write_json(out / "verdict.json", {**facts, **numbers(spec, details)})
    write_json(out / "metrics.json", scores)
    write_json(out / "details.json", details)
    described: dict[str, Any] = reference(train, version.plan.sources)
    described[PREDICTION] = predictions(own.values, version.as_written(version.classes))
    write_json(out / "reference.json", described)
    write_atomic(out / card.FILE, card.render(card.gather(night, facts, scores, details, model_dir, pictures)))
    log.info(verdict.sentence)
    return Outcome(rows=len(sealed), meta=facts, stats={"scores": scores, **took})


def _drawn(*what: Any) -> list[str]:
    """Draw, with the library that only drawing needs; see :func:`pipelines.evaluation.plots.draw`."""
    from pipelines.evaluation.plots import draw

    return draw(*what)


def _details(
    spec: EvaluateSpec,
    version: Version,
    sealed: pd.DataFrame,
    truth: Array,
    classes: list[str],
    answers: dict[str, Answer],
    model: ModelSpec,
    score: float,
    baseline: float,
) -> dict[str, Any]:
    """Look at columns, slices and groups; refuses a leak."""
    count = spec.explain_rows
    importance: list[dict[str, Any]] = []
    suspect = nearly_perfect(model.judged_by, score, baseline)
    if count or suspect:
        importance = looks.important(version, sealed, truth, classes, model, count or LEAK_ROWS)
    alone = looks.alone(version, sealed, truth, classes, model, count or LEAK_ROWS) if suspect else {}
    doubts = check_leak(model.judged_by, score, baseline, importance, alone, spec.leaks_allowed, len(truth))
    attention: list[dict[str, Any]] = []
    how, said = "", answers["model"].labelled
    if count:
        attention, how = looks.attended(version, sealed, model, count)
    return {
        "metric": model.judged_by,
        "sources": version.plan.sources,
        "importance": importance,
        "attention": attention,
        "attention_how": how,
        "classes": class_scores(truth, said, version.as_written(classes)) if classes else [],
        "slices": looks.cut(spec, sealed, truth, answers, model, importance),
        "slices_declared": bool(spec.slices),
        "slice_rows": spec.slice_rows,
        "doubts": doubts,
        "fairness": looks.grouped(spec, model.task, sealed, truth, said),
        "fairness_floor": spec.fairness_floor,
        "threshold": version.threshold,
    }


def _rivals(
    champion: Artifact | None, anchor: Artifact | None, sealed: pd.DataFrame, model: ModelSpec, group: tuple[str, ...]
) -> tuple[dict[str, Rival], dict[str, Answer]]:
    """Let the live version and the best ever answer, each in its own classes."""
    found: dict[str, Rival] = {}
    answers: dict[str, Answer] = {}
    for name, version, enter in (("champion", champion, contest.enter), ("anchor", anchor, contest.enter_anchor)):
        if version is not None:
            found[name], answer = enter(version, sealed, model, group)
            if answer is not None:
                answers[name] = answer
    return found, answers


def _answer(version: Version, rows: pd.DataFrame) -> Answer:
    answer = version.answer(rows)
    check_answers(answer)
    return Answer(answer, version.threshold, tuple(version.classes))
