"""Fits the chosen candidates on all training rows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from pipelines.algorithms.base import Dataset, Limit, OutOfTimeError
from pipelines.algorithms.training_data import Columns
from pipelines.ensembling.candidates.candidates import Candidate
from pipelines.ensembling.fitting.fit_candidate import FittedParts, fit_parts

CHECK_ROWS = 1_000


def refit(
    chosen: list[Candidate],
    columns: Columns,
    *,
    seed: int,
    cores: int,
    threads: int,
    folds: bool = False,
    trials: Mapping[int, Candidate] | None = None,
    until: float | None = None,
    heaviest: int | None = None,
) -> tuple[dict[int, FittedParts], dict[int, str]]:
    """Fit candidates side by side, the slowest first; return the fitted ones and why the others failed, by number.

    Parameters
    ----------
    cores
        Candidates fitted at one time; does not change the result.
    threads
        Threads within one fit; 1 gives the same bytes on any machine.
    folds
        Fit each trial once without each fold instead of once on all rows.
    trials
        By number, those whose out-of-fold predictions the chosen read.
    until, heaviest
        Moment of ``time.time`` at which all candidates but the one of this number are given up; that one ends growing
        then, but not before the time that it is known to take.
    """
    fitted: dict[int, FittedParts] = {}
    failed: dict[int, str] = {}

    def one(candidate: Candidate) -> FittedParts:
        limit = Limit(hard=until)
        if candidate.number == heaviest and until is not None:
            limit = Limit(soft=max(until, time.time() + candidate.refit_seconds))
        made = fit_whole(candidate, columns, trials or {}, seed=seed, threads=threads, folds=folds, limit=limit)
        for part in made.parts:
            width = _width(candidate, columns, trials or {})
            sample = np.zeros((min(CHECK_ROWS, len(columns.X)), width))
            sample[:, : columns.X.shape[1]] = columns.X[:CHECK_ROWS]
            if not np.isfinite(part.predict(sample)).all():
                raise ArithmeticError("its predictions are not finite")
        return made

    slowest_first = sorted(chosen, key=lambda candidate: -candidate.refit_seconds)
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(max_workers=max(1, cores // threads)) as pool:
        jobs = [(candidate, pool.submit(one, candidate)) for candidate in slowest_first]
        for candidate, job in jobs:
            try:
                fitted[candidate.number] = job.result()
            except OutOfTimeError:
                failed[candidate.number] = "it took longer than the budget has left"
            except Exception as error:  # noqa: BLE001 - a family may fail in any way; the others make the model
                failed[candidate.number] = f"{type(error).__name__}: {error}".splitlines()[0]
    return fitted, failed


def fit_whole(
    candidate: Candidate,
    columns: Columns,
    trials: Mapping[int, Candidate],
    *,
    seed: int,
    threads: int,
    folds: bool,
    limit: Limit,
) -> FittedParts:
    """Fit one candidate for the model; what reads others' predictions learns from rows that were held out."""
    made = candidate.made
    if made is None and folds:
        fits = [
            fit_parts(
                candidate,
                candidate.params,
                columns.part(columns.fold != fold),
                None,
                [],
                [],
                columns.shape,
                seed=seed,
                threads=threads,
                limit=limit,
            )
            for fold in columns.folds
        ]
        members, learned = tuple(fit.parts[0] for fit in fits), [fit.learned[0] for fit in fits]
        devices, notes = sorted({fit.device for fit in fits}), [fit.note for fit in fits if fit.note]
        return FittedParts(members, learned, bag=True, device=" and ".join(devices), note="".join(notes[:1]))
    rows, given = columns.whole(), []
    if made is not None and made.kind != "bag":
        held = columns.held_out
        rows = Dataset(*(values[held] for values in rows))
        needed = [trials[number].oof[held] for number in made.needs]
        given = [oof if columns.shape.classes else oof[:, 0] for oof in needed]
    return fit_parts(
        candidate, candidate.params, rows, None, given, [], columns.shape, seed=seed, threads=threads, limit=limit
    )


def _width(candidate: Candidate, columns: Columns, trials: Mapping[int, Candidate]) -> int:
    reads = () if candidate.made is None else candidate.made.reads
    scores = 1 if columns.shape.classes in (0, 2) else columns.shape.classes
    return int(columns.X.shape[1]) + scores * len([number for number in reads if number in trials])
