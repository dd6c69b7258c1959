"""Stage evaluate: model directory + champion + sealed rows → verdict."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines import storage
from pipelines.algorithms import metrics
from pipelines.artifacts import Artifact, Night, Outcome, write_atomic
from pipelines.errors import DataError, GateError
from pipelines.evaluation.bootstrap import paired_improvements
from pipelines.evaluation.gate import Champion, judge
from pipelines.evaluation.judged import Version, aligned, baseline_answer, truth_of
from pipelines.evaluation.overlap import DECLARE, MAX_NAMED, unseen
from pipelines.evaluation.plots import draw
from pipelines.evaluation.reference import PREDICTION, predictions, reference
from pipelines.evaluation.scores import all_scores
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.settings import Settings
from pipelines.spec import ModelSpec

SPEC = EvaluateSpec
INPUTS = ("ensemble", "split")
OPTIONAL = ("champion",)

Array = NDArray[np.float64]


def fingerprint(spec: EvaluateSpec, night: Night, settings: Settings) -> str:
    """Give what the verdict depends on besides the inputs: the date, for a backfill never moves what is live."""
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
) -> Outcome:
    """Score the model, the champion and a constant answer on the same sealed rows, and decide.

    Parameters
    ----------
    ensemble
        ``model/``.
    split
        ``sealed/`` and ``train/``.
    champion
        The live model directory; its ref's meta holds ``version`` and ``as_of``.

    Raises
    ------
    GateError
        If the model is unfit: an answer is not finite, a sealed row was trained on, or it loses to a constant answer
        and there is no champion.
    DataError
        If the sealed rows cannot judge: none, or the metric is not defined on them.
    """
    task, metric = night.model.task, night.model.judged_by
    sealed = storage.read_table(split.path / "sealed").to_pandas()
    train = storage.read_table(split.path / "train").to_pandas()
    _check_rows(sealed, train)
    sealed = unseen(sealed, ensemble.path / "model", _rival(champion, night), night.model)
    model = Version.load(ensemble.path / "model")
    classes = model.classes
    truth, weight = truth_of(sealed["_y"], classes), np.ones(len(sealed))
    answers = {"model": _answer(model, sealed, classes)}
    base = baseline_answer(
        truth_of(train["_y"], classes), train["_weight"].to_numpy(np.float64), len(sealed), len(classes), metric
    )
    score = metrics.score(metric, truth, answers["model"], weight)
    baseline = metrics.score(metric, truth, base, weight)
    _check_defined(metric, score, truth)
    incumbent = None
    if champion is not None:
        incumbent = _champion(champion, sealed, truth, answers, classes, metric, spec, night.model)
    verdict = judge(spec, metric, score, baseline, len(sealed), night.as_of, incumbent)
    facts = verdict.to_dict()
    scores = {
        "model": all_scores(task, truth, answers["model"], weight),
        "baseline": all_scores(task, truth, base, weight),
        **({"champion": all_scores(task, truth, answers["champion"], weight)} if "champion" in answers else {}),
    }
    write_atomic(out / "verdict.json", json.dumps(facts, indent=1, ensure_ascii=False))
    write_atomic(out / "metrics.json", json.dumps(scores, indent=1))
    described: dict[str, Any] = reference(train, model.plan.sources)
    described[PREDICTION] = predictions(answers["model"], classes)
    write_atomic(out / "reference.json", json.dumps(described, indent=1, ensure_ascii=False))
    if spec.plots:
        draw(out / "plots", task, truth, answers, classes, f"{night.model.name}, {len(sealed)} sealed rows")
    print(verdict.sentence, file=sys.stderr, flush=True)
    return Outcome(rows=len(sealed), meta=facts, stats={"scores": scores})


def _check_rows(sealed: pd.DataFrame, train: pd.DataFrame) -> None:
    if not len(sealed):
        raise DataError(
            "no sealed row is left to judge by",
            where="split, sealed/",
            seen="0 rows",
            expected="some rows that no model trains on",
            cure="read more rows, or give IngestSpec a larger sealed share",
        )
    both = sealed["_key"].isin(train["_key"].dropna()) & sealed["_key"].notna()
    if both.any():
        raise GateError(
            f"{int(both.sum())} sealed rows were trained on",
            where="split, column _key",
            expected="no key on both sides",
            cure=DECLARE,
            faults=[f"key {key!r}" for key in sealed.loc[both, "_key"].head(MAX_NAMED)],
        )


def _rival(champion: Artifact | None, night: Night) -> Path | None:
    """Give the live model directory, unless it is newer than the night: it is then not compared, and may know all."""
    if champion is None:
        return None
    stamp = champion.ref.meta.get("as_of")
    return None if stamp and night.as_of < datetime.fromisoformat(stamp) else _folder(champion)


def _folder(champion: Artifact) -> Path:
    return champion.path / "model" if (champion.path / "model").is_dir() else champion.path


def _check_defined(metric: str, score: float, truth: Array) -> None:
    if not np.isfinite(score):
        raise DataError(
            f"{metric} is not defined on the sealed rows",
            where="split, sealed/",
            seen=f"{len(truth)} rows, all of one class" if len(np.unique(truth)) < 2 else f"{metric} = {score}",
            expected="rows of both classes",
            cure="seal more rows, or judge by log_loss",
        )


def _answer(version: Version, rows: pd.DataFrame, classes: list[str]) -> Array:
    answer = version.answer(rows)
    bad = ~np.isfinite(answer)
    if bad.any():
        raise GateError(
            "the model's answers are not finite",
            where="sealed rows",
            seen=f"{int(bad.reshape(len(rows), -1).any(axis=1).sum())} of {len(rows)} rows",
            expected="finite numbers",
            cure="look at the members in ensemble's report.json; leave the family at fault out of TuneSpec.families",
        )
    return aligned(answer, version.classes, classes) if classes else answer


def _champion(
    champion: Artifact,
    sealed: pd.DataFrame,
    truth: Array,
    answers: dict[str, Array],
    classes: list[str],
    metric: str,
    spec: EvaluateSpec,
    model: ModelSpec,
) -> Champion:
    """Judge the champion on the same rows; if it cannot answer them, the verdict says so."""
    number, stamp = int(champion.ref.meta["version"]), champion.ref.meta.get("as_of")
    as_of = datetime.fromisoformat(stamp) if stamp else None
    live = Version.load(_folder(champion))
    if live.identity != (model.key, model.time):
        return Champion(number, as_of, unfit="was sealed by another key or time: tonight's sealed rows trained it")
    missing = live.missing(sealed)
    if missing:
        return Champion(number, as_of, unfit=f"needs columns that are gone: {', '.join(missing[:MAX_NAMED])}")
    if bool(live.classes) != bool(classes):
        return Champion(number, as_of, unfit=f"answers another task, {live.facts['task']}")
    answer = live.answer(sealed)
    if not np.isfinite(answer).all():
        return Champion(number, as_of, unfit="gives answers that are not finite")
    answers["champion"] = aligned(answer, live.classes, classes) if classes else answer
    score = metrics.score(metric, truth, answers["champion"], np.ones(len(truth)))
    improvements = paired_improvements(
        metric,
        truth,
        answers["model"],
        answers["champion"],
        np.ones(len(truth)),
        resamples=spec.bootstrap,
        seed=model.seed,
    )
    return Champion(number, as_of, score, improvements)
