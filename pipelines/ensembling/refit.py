"""Fits the chosen members on all training rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from pipelines.algorithms.augment import AUGMENT, Augmented
from pipelines.algorithms.base import Fitted, Limit
from pipelines.algorithms.catalogue import family
from pipelines.algorithms.table import Columns
from pipelines.ensembling.candidates import Candidate

CHECK_ROWS = 1_000


def refit(
    chosen: list[Candidate], columns: Columns, *, seed: int, cores: int, threads: int
) -> tuple[dict[int, Fitted], dict[int, str]]:
    """Fit members side by side, the slowest first; give the fitted ones and why the others failed, by trial number.

    Parameters
    ----------
    cores
        Members fitted at one time; does not change the result.
    threads
        Threads within one fit; 1 gives the same bytes on any machine.
    """
    fitted: dict[int, Fitted] = {}
    failed: dict[int, str] = {}
    whole = columns.whole()

    def one(candidate: Candidate) -> Fitted:
        learner = family(candidate.family)
        if AUGMENT in candidate.params:
            learner = Augmented(learner)
        made = learner.fit(candidate.params, whole, None, columns.shape, seed=seed, threads=threads, limit=Limit())
        if not np.isfinite(made.predict(columns.X[:CHECK_ROWS])).all():
            raise ArithmeticError("its predictions are not finite")
        return made

    slowest_first = sorted(chosen, key=lambda candidate: -candidate.refit_seconds)
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(max_workers=max(1, cores // threads)) as pool:
        jobs = [(candidate, pool.submit(one, candidate)) for candidate in slowest_first]
        for candidate, job in jobs:
            try:
                fitted[candidate.number] = job.result()
            except Exception as error:  # noqa: BLE001 - a family may fail in any way; the others make the model
                failed[candidate.number] = f"{type(error).__name__}: {error}".splitlines()[0]
    return fitted, failed
