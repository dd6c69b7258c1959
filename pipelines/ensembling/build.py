"""From candidates to fitted members and the way to combine them, within the time left."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from pipelines.algorithms.base import Array, OutOfTimeError
from pipelines.algorithms.training_data import Columns
from pipelines.ensembling.candidates.candidate_pool import Pool
from pipelines.ensembling.candidates.candidates import Candidate, label
from pipelines.ensembling.candidates.stacked_candidates import derive, planned
from pipelines.ensembling.combination.calibrate import Calibration, calibrate
from pipelines.ensembling.combination.prune_members import fewer_members
from pipelines.ensembling.combination.selection import Choice, choose
from pipelines.ensembling.compression.compress import compress, spent_before
from pipelines.ensembling.compression.distil import student
from pipelines.ensembling.cost import Cost, guess, measure, total
from pipelines.ensembling.fitting.fit_candidate import FittedParts
from pipelines.ensembling.fitting.nested_oof import Nested
from pipelines.ensembling.fitting.refit import refit
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.errors import DataError
from pipelines.inference.members.combination_nodes import EnsembleNode
from pipelines.metrics import METRICS

log = logging.getLogger(__name__)


@dataclass
class Built:
    """Fitted nodes in the order of asking, each with its candidate; their weights; what was left out on the way.

    ``shrunk_loss`` is what fewer trees and shorter numbers cost, by the certificate.
    """

    members: list[tuple[Candidate, EnsembleNode]]
    combine: dict[str, Any]
    choice: Choice
    left_out: list[dict[str, Any]] = field(default_factory=list)
    calibration: Calibration | None = None
    certificate: dict[str, Any] = field(default_factory=dict)
    shrunk_loss: float = 0.0
    pool: list[Candidate] = field(default_factory=list)


def build(
    candidates: list[Candidate],
    columns: Columns,
    spec: EnsembleSpec,
    *,
    seed: int,
    cores: int,
    seconds: float | None,
    gpus: int = 0,
) -> Built:
    """Choose the combination and refit its members; members that fail are left out and the choice is made again.

    Parameters
    ----------
    seconds
        Time that this may take; None: not limited, and then nothing depends on the clock or on ``cores``.
    gpus
        How many there are, here or on the cluster; 0: what ran on one in the search is fitted on the CPU.

    Raises
    ------
    DataError
        If no member is left.
    SpecError
        If nothing keeps within the limits of the spec.
    """
    until = None if seconds is None else time.time() + seconds
    pool, left_out = _with_devices(candidates, gpus), list[dict[str, Any]]()
    first: tuple[Choice, list[dict[str, Any]]] | None = None
    if pool:
        nested = Nested({trial.number: trial for trial in pool}, columns, seed=seed, cores=cores)
        wanted, left_out = planned(pool, columns, spec)
        if wanted:
            # What the trials alone would need comes first: with these methods no model is worse than without them.
            spared = None
            if until is not None:
                first = _choose(pool, {}, columns, spec)
                spared = until - _refit_seconds(_chosen(pool, first[0].combine), cores)
            made, failed = derive(wanted, nested, columns, seed=seed, cores=cores, until=spared)
            first = None if made else first
            pool, left_out = [*pool, *made], [*left_out, *failed]
    fitted: dict[int, FittedParts] = {}
    known: dict[int, Cost] = {}
    while any(candidate.made is None for candidate in pool):
        choice, steps = first or _choose(pool, known, columns, spec)
        first = None
        chosen = _chosen(pool, choice.combine)
        missing = [candidate for candidate in chosen if candidate.number not in fitted]
        weights = _weights(pool, choice.combine)
        slowest = _too_slow(missing, weights, len(chosen), cores, None if until is None else until - time.time())
        if slowest is not None:
            why = f"its refit would take about {slowest.refit_seconds:.0f} s, more than the budget has left"
            left_out.append(slowest.left_out(why))
            pool = _without(pool, {slowest.number})
            continue
        threads = 1 if seconds is None else max(1, cores // max(1, len(missing)))
        trials = {candidate.number: candidate for candidate in pool}
        made_now, why_not = refit(
            missing,
            columns,
            seed=seed,
            cores=cores,
            threads=threads,
            folds=spec.refit == "folds",
            trials=trials,
            until=until,
            heaviest=_last_to_go(chosen, weights),
        )
        fitted |= made_now
        for candidate in missing:
            if candidate.number in made_now and made_now[candidate.number].note:
                log.info(f"refit of {candidate.name} {made_now[candidate.number].note}")
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
                steps = _distilled(built, nested, columns, spec, seed=seed, cores=cores, until=until) or steps
            return _finished(built, columns, spec, steps, real, until)
    raise DataError(
        "no member is left to make a model of",
        where="ensemble",
        seen=f"{len(candidates)} candidates, all left out",
        expected="at least one that can be refitted",
        cure="read the reasons; give the search more families or more time",
        faults=[label(entry) for entry in left_out],
    )


def _with_devices(candidates: list[Candidate], gpus: int) -> list[Candidate]:
    """Return the candidates with the device that each asks for: that of its trial, where it is here."""
    away = [candidate.name for candidate in candidates if candidate.device != "cpu"]
    if gpus or not away:
        return list(candidates)
    log.info(f"no GPU is here for {', '.join(away)}: what the search fitted on one is fitted again on the cpu")
    return [replace(candidate, device="cpu") for candidate in candidates]


def _choose(
    pool: list[Candidate], known: dict[int, Cost], columns: Columns, spec: EnsembleSpec
) -> tuple[Choice, list[dict[str, Any]]]:
    held = columns.held_out
    y, w, fold = columns.y[held], columns.w[held], columns.fold[held]
    predictions = [_held_out(candidate, columns) for candidate in pool]
    costs = [known.get(c.number) or guess(c, columns.shape.outputs, len(columns.folds), spec) for c in pool]
    costed = Pool.of(pool, costs)
    metric = columns.shape.metric
    with threadpool_limits(1, user_api="blas"):
        choice = choose(predictions, y, w, fold, metric, spec, costed)
        if "members" not in spec.compress:
            return choice, []
        return fewer_members(choice, predictions, y, w, metric, spec.max_loss)


def _distilled(
    built: Built, nested: Nested, columns: Columns, spec: EnsembleSpec, *, seed: int, cores: int, until: float | None
) -> list[dict[str, Any]]:
    """Replace all members by a student where that keeps the bound; return the account."""
    cost = sum(candidate.refit_seconds for candidate, _ in built.members) * len(columns.folds) / cores
    if until is not None and cost > until - time.time():
        why = f"it would take about {cost:.0f} s, more than the budget has left"
        built.left_out.append({"method": "student", "why": why})
        return []
    try:
        found = student(built.members, built.combine, nested, columns, seed=seed, cores=cores, until=until)
    except OutOfTimeError:
        built.left_out.append({"method": "student", "why": "it took longer than the budget has left"})
        return []
    except Exception as problem:  # noqa: BLE001 - a family may fail in any way; the teacher remains
        built.left_out.append({"method": "student", "why": f"{type(problem).__name__}: {problem}".splitlines()[0]})
        return []
    held, metric = columns.held_out, columns.shape.metric
    oof = built.choice.oof
    before, after = METRICS[metric].loss(columns.y[held], oof, columns.w[held]), found.candidate.loss
    turn = -METRICS[metric].sign
    if not after - before <= spec.max_loss * abs(METRICS[metric].error(before)):
        why = f"{metric} {turn * after:.6g} instead of {turn * before:.6g} is more than max_loss allows"
        built.left_out.append({"method": "student", "why": why})
        return []
    smaller, now = measure(found.node), total(measure(node) for _, node in built.members)
    gains = smaller.bytes < now.bytes or smaller.row_ms < now.row_ms
    if not gains or not smaller.within(spec.max_row_ms, spec.max_bytes):
        was = f"{now.bytes:,} bytes and {now.row_ms:.3g} ms"
        why = f"{smaller.bytes:,} bytes and {smaller.row_ms:.3g} ms a row are no gain over {was}, or beyond the limits"
        built.left_out.append({"method": "student", "why": why})
        return []
    losses = {**built.choice.losses, "student": after}
    built.choice = replace(built.choice, oof=found.candidate.oof[held].reshape(oof.shape), losses=losses)
    built.members, built.combine = [(found.candidate, found.node)], {"kind": "student", "weights": [1.0]}
    return [{"step": "distil", "score_before": turn * before, "score_after": turn * after}]


def _finished(
    built: Built, columns: Columns, spec: EnsembleSpec, steps: list[dict[str, Any]], cost: Cost, until: float | None
) -> Built:
    """Make the fitted nodes smaller and calibrate the predictions."""
    held = columns.held_out
    y, w, fold = columns.y[held], columns.w[held], columns.fold[held]
    nodes = [node for _, node in built.members]
    with threadpool_limits(1, user_api="blas"):
        smaller, certificate = compress(
            nodes, built.combine, columns, built.choice.oof, spec, steps, cost=cost, until=until
        )
        calibration = calibrate(built.choice.oof, y, w, fold, columns.shape.metric, spec.calibration)
    built.members = [(candidate, node) for (candidate, _), node in zip(built.members, smaller, strict=True)]
    built.certificate, built.calibration = certificate, calibration
    built.shrunk_loss = certificate["loss"] - spent_before(steps, columns.shape.metric)
    return built


def _held_out(candidate: Candidate, columns: Columns) -> Array:
    held = candidate.oof[columns.held_out]
    return held if columns.shape.classes else np.ascontiguousarray(held[:, 0])


def _weights(pool: list[Candidate], combine: dict[str, Any]) -> dict[int, float]:
    return {c.number: weight for c, weight in zip(pool, combine["weights"], strict=True)}


def _chosen(pool: list[Candidate], combine: dict[str, Any]) -> list[Candidate]:
    """Return the candidates with a weight and those whose predictions they read."""
    weights = _weights(pool, combine)
    wanted = {number for number, weight in weights.items() if weight != 0.0}
    wanted |= {need for c in pool if c.number in wanted and c.made is not None for need in c.made.needs}
    return [candidate for candidate in pool if candidate.number in wanted]


def _without(pool: list[Candidate], numbers: set[int]) -> list[Candidate]:
    """Return the pool without some candidates and all that is fitted on top of them."""
    return [c for c in pool if c.number not in numbers and not (c.made is not None and numbers & set(c.made.needs))]


def _too_slow(
    missing: list[Candidate], weights: dict[int, float], chosen: int, cores: int, seconds: float | None
) -> Candidate | None:
    """Return the member of least weight per second when the refits would not end in time; the last one always stays."""
    if seconds is None or chosen < 2 or not missing:
        return None
    if _refit_seconds(missing, cores) <= seconds:
        return None
    return min(missing, key=lambda candidate: weights[candidate.number] / max(candidate.refit_seconds, 1e-3))


def _refit_seconds(candidates: list[Candidate], cores: int) -> float:
    """Estimate the seconds that refits side by side take."""
    costs = [candidate.refit_seconds for candidate in candidates]
    return max(sum(costs) / cores, *costs, 0.0)


def _last_to_go(chosen: list[Candidate], weights: dict[int, float]) -> int | None:
    """Return number of the trial of most weight, or None if what weighs stands on others: then the first of those."""
    trials = [candidate for candidate in chosen if candidate.made is None]
    return max(trials, key=lambda candidate: (weights[candidate.number], -candidate.number)).number if trials else None


def _ordered(
    chosen: list[Candidate], pool: list[Candidate], choice: Choice, fitted: dict[int, FittedParts], classes: int
) -> Built:
    """Order by weight, the heaviest first, but whatever is needed by others before them; make the nodes."""
    weight_of = _weights(pool, choice.combine)
    by_number = {candidate.number: candidate for candidate in chosen}
    ordered: list[Candidate] = []

    def add(candidate: Candidate) -> None:
        for number in () if candidate.made is None else candidate.made.needs:
            add(by_number[number])
        if candidate not in ordered:
            ordered.append(candidate)

    for candidate in sorted(chosen, key=lambda candidate: (-weight_of[candidate.number], candidate.number)):
        add(candidate)
    index_of = {candidate.number: index for index, candidate in enumerate(ordered)}
    combine = {**choice.combine, "weights": [weight_of[candidate.number] for candidate in ordered]}
    parts = [fitted[candidate.number] for candidate in ordered]
    members = [
        (replace(c, device=own.device), own.node(c.made, index_of, classes))
        for c, own in zip(ordered, parts, strict=True)
    ]
    return Built(members, combine, choice, pool=pool)
