"""From candidates to fitted members and the way to combine them, within the time left."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from pipelines.algorithms import metrics
from pipelines.algorithms.base import Array
from pipelines.algorithms.table import Columns
from pipelines.ensembling.calibrate import Calibration, calibrate
from pipelines.ensembling.candidates import Candidate, label
from pipelines.ensembling.choose import Choice, choose
from pipelines.ensembling.compress import compress
from pipelines.ensembling.cost import Cost, guess, measure, total
from pipelines.ensembling.derive import derive, planned
from pipelines.ensembling.distil import student
from pipelines.ensembling.fewer import error, fewer_members
from pipelines.ensembling.fit import FittedParts
from pipelines.ensembling.pareto import described
from pipelines.ensembling.pool import Pool
from pipelines.ensembling.refit import refit
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.errors import DataError
from pipelines.inference.combine_nodes import Node

DERIVED_SHARE = 0.6
"""Share of the time left that candidates fitted on top of trials may take."""


@dataclass
class Built:
    """Fitted nodes in the order of asking, each with its candidate; their weights; what was left out on the way."""

    members: list[tuple[Candidate, Node]]
    combine: dict[str, Any]
    choice: Choice
    left_out: list[dict[str, Any]] = field(default_factory=list)
    calibration: Calibration | None = None
    certificate: dict[str, Any] = field(default_factory=dict)
    pool: list[Candidate] = field(default_factory=list)


def build(
    candidates: list[Candidate], columns: Columns, spec: EnsembleSpec, *, seed: int, cores: int, seconds: float | None
) -> Built:
    """Choose the combination and refit its members; members that fail are left out and the choice is made again.

    Parameters
    ----------
    seconds
        Time that this may take; None: not limited, and then nothing depends on the clock or on ``cores``.

    Raises
    ------
    DataError
        If no member is left.
    SpecError
        If nothing keeps within the limits of the spec.
    """
    started = time.time()
    pool, left_out = list(candidates), list[dict[str, Any]]()
    if pool:
        wanted, left_out = planned(pool, columns, spec)
        share = None if seconds is None else DERIVED_SHARE * seconds
        made, failed = derive(wanted, pool, columns, seed=seed, cores=cores, seconds=share)
        pool, left_out = [*pool, *made], [*left_out, *failed]
        if seconds is not None and wanted:
            seconds = max(0.0, seconds - (time.time() - started))
    fitted: dict[int, FittedParts] = {}
    known: dict[int, Cost] = {}
    while any(candidate.made is None for candidate in pool):
        choice, steps = _choose(pool, known, columns, spec)
        chosen = _chosen(pool, choice.combine)
        missing = [candidate for candidate in chosen if candidate.number not in fitted]
        slowest = _too_slow(missing, _weights(pool, choice.combine), len(chosen), cores, seconds)
        if slowest is not None:
            why = f"its refit would take about {slowest.refit_seconds:.0f} s, more than the budget has left"
            left_out.append(slowest.left_out(why))
            pool = _without(pool, {slowest.number})
            continue
        threads = 1 if seconds is None else max(1, cores // max(1, len(missing)))
        trials = {candidate.number: candidate for candidate in pool}
        made_now, why_not = refit(
            missing, columns, seed=seed, cores=cores, threads=threads, folds=spec.refit == "folds", trials=trials
        )
        fitted |= made_now
        left_out += [c.left_out(f"refit: {why_not[c.number]}") for c in missing if c.number in why_not]
        pool = _without(pool, set(why_not))
        if why_not:
            continue
        built = _ordered(chosen, pool, choice, fitted, columns.shape.classes)
        for candidate, node in built.members:
            known.setdefault(candidate.number, measure(node))
        real = total([known[candidate.number] for candidate, _ in built.members])
        if real.within(spec.max_row_ms, spec.max_bytes):
            built.left_out = left_out
            if "distil" in spec.compress:
                left = None if seconds is None else seconds - (time.time() - started)
                steps = _distilled(built, columns, spec, seed=seed, cores=cores, seconds=left) or steps
            return _finished(built, columns, spec, steps)
    raise DataError(
        "no member is left to make a model of",
        where="ensemble",
        seen=f"{len(candidates)} candidates, all left out",
        expected="at least one that can be refitted",
        cure="look at the reasons; give the search more families or more time",
        faults=[label(entry) for entry in left_out],
    )


def _choose(
    pool: list[Candidate], known: dict[int, Cost], columns: Columns, spec: EnsembleSpec
) -> tuple[Choice, list[dict[str, Any]]]:
    held = columns.held_out
    y, w, fold = columns.y[held], columns.w[held], columns.fold[held]
    answers = [_answer(candidate, columns) for candidate in pool]
    costs = [known.get(c.number) or guess(c, columns.shape.outputs, len(columns.folds), spec) for c in pool]
    places = Pool.of(pool, costs)
    metric = columns.shape.metric
    with threadpool_limits(1, user_api="blas"):
        choice = choose(answers, y, w, fold, metric, spec, places)
        if "members" not in spec.compress:
            return choice, []
        return fewer_members(choice, answers, y, w, metric, spec.max_loss)


def _distilled(
    built: Built, columns: Columns, spec: EnsembleSpec, *, seed: int, cores: int, seconds: float | None
) -> list[dict[str, Any]]:
    """Put a student in the place of all members where that keeps the bound; give the account."""
    cost = sum(candidate.refit_seconds for candidate, _ in built.members) * len(columns.folds) / cores
    if seconds is not None and cost > seconds:
        why = f"it would take about {cost:.0f} s, more than the budget has left"
        built.left_out.append({"method": "student", "why": why})
        return []
    trials = {candidate.number: candidate for candidate in built.pool}
    try:
        found = student(built.members, built.combine, trials, columns, seed=seed, cores=cores)
    except Exception as problem:  # noqa: BLE001 - a family may fail in any way; the teacher remains
        built.left_out.append({"method": "student", "why": f"{type(problem).__name__}: {problem}".splitlines()[0]})
        return []
    held, metric = columns.held_out, columns.shape.metric
    oof = built.choice.oof
    before, after = metrics.loss(metric, columns.y[held], oof, columns.w[held]), found.candidate.loss
    turn = -metrics.sign(metric)
    if not after - before <= spec.max_loss * abs(error(metric, before)):
        why = f"{metric} {turn * after:.6g} instead of {turn * before:.6g} is more than max_loss allows"
        built.left_out.append({"method": "student", "why": why})
        return []
    losses = {**built.choice.losses, "student": after}
    built.choice = replace(built.choice, oof=found.candidate.oof[held].reshape(oof.shape), losses=losses)
    built.members, built.combine = [(found.candidate, found.node)], {"kind": "student", "weights": [1.0]}
    return [{"step": "distil", "score_before": turn * before, "score_after": turn * after}]


def _finished(built: Built, columns: Columns, spec: EnsembleSpec, steps: list[dict[str, Any]]) -> Built:
    """Make the fitted nodes smaller and calibrate the answers."""
    held = columns.held_out
    y, w, fold = columns.y[held], columns.w[held], columns.fold[held]
    nodes = [node for _, node in built.members]
    with threadpool_limits(1, user_api="blas"):
        smaller, certificate = compress(nodes, built.combine, columns, built.choice.oof, spec, steps)
        calibration = calibrate(built.choice.oof, y, w, fold, columns.shape.metric, spec.calibration)
    built.members = [(candidate, node) for (candidate, _), node in zip(built.members, smaller, strict=True)]
    built.certificate, built.calibration = certificate, calibration
    return built


def _answer(candidate: Candidate, columns: Columns) -> Array:
    held = candidate.oof[columns.held_out]
    return held if columns.shape.classes else np.ascontiguousarray(held[:, 0])


def _weights(pool: list[Candidate], combine: dict[str, Any]) -> dict[int, float]:
    return {c.number: weight for c, weight in zip(pool, combine["weights"], strict=True)}


def _chosen(pool: list[Candidate], combine: dict[str, Any]) -> list[Candidate]:
    """Give the candidates with a weight and those whose answers they take."""
    weights = _weights(pool, combine)
    wanted = {number for number, weight in weights.items() if weight != 0.0}
    wanted |= {need for c in pool if c.number in wanted and c.made is not None for need in c.made.needs}
    return [candidate for candidate in pool if candidate.number in wanted]


def _without(pool: list[Candidate], numbers: set[int]) -> list[Candidate]:
    """Give the pool without some candidates and all that is fitted on top of them."""
    return [c for c in pool if c.number not in numbers and not (c.made is not None and numbers & set(c.made.needs))]


def _too_slow(
    missing: list[Candidate], weights: dict[int, float], chosen: int, cores: int, seconds: float | None
) -> Candidate | None:
    """Give the member of least weight per second when the refits would not end in time; the last one always stays."""
    if seconds is None or chosen < 2 or not missing:
        return None
    costs = [candidate.refit_seconds for candidate in missing]
    if max(sum(costs) / cores, *costs, 0.0) <= seconds:
        return None
    return min(missing, key=lambda candidate: weights[candidate.number] / max(candidate.refit_seconds, 1e-3))


def _ordered(
    chosen: list[Candidate], pool: list[Candidate], choice: Choice, fitted: dict[int, FittedParts], classes: int
) -> Built:
    """Order by weight, the heaviest first, but whatever is needed by others before them; make the nodes."""
    weight_of = _weights(pool, choice.combine)
    by_number = {candidate.number: candidate for candidate in chosen}
    ordered: list[Candidate] = []

    def place(candidate: Candidate) -> None:
        for number in () if candidate.made is None else candidate.made.needs:
            place(by_number[number])
        if candidate not in ordered:
            ordered.append(candidate)

    for candidate in sorted(chosen, key=lambda candidate: (-weight_of[candidate.number], candidate.number)):
        place(candidate)
    places = {candidate.number: index for index, candidate in enumerate(ordered)}
    combine = {**choice.combine, "weights": [weight_of[candidate.number] for candidate in ordered]}
    members = [(c, fitted[c.number].node(c.made, places, classes)) for c in ordered]
    return Built(members, combine, choice, pool=pool)


def describe(built: Built, columns: Columns) -> dict[str, Any]:
    """Give the content of ``report.json``: who is in the model, honest out-of-fold scores, the front, compression."""
    turn = -metrics.sign(columns.shape.metric)
    members = [
        {
            "number": c.number if c.made is None else None, "name": c.name, "family": c.family, "weight": weight,
            "score": turn * c.loss, "reads": list(node.inputs), "parts": len(node.parts),
        }
        for (c, node), weight in zip(built.members, built.combine["weights"], strict=True)
    ]  # fmt: skip
    calibration = built.calibration
    return {
        "kind": built.combine["kind"],
        "metric": columns.shape.metric,
        "weights": built.combine["weights"],
        "members": members,
        "score": {name: turn * loss for name, loss in built.choice.losses.items()},
        "left_out": built.left_out,
        "pareto": described(built.choice.points, built.choice.point, turn),
        "certificate": built.certificate,
        "calibration": None if calibration is None else {"kind": calibration.kind, "log_loss": calibration.losses},
    }


def report(line: str) -> None:
    """Print one line of progress."""
    print(line, file=sys.stderr, flush=True)
