"""Where fits on a GPU are made: here, or on a node of the Ray cluster where this machine has none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.algorithms.base import Dataset, Family, FitContext, Fitted, Params, TaskInfo
from pipelines.algorithms.training_data import Columns
from pipelines.clusters import visible_gpus
from pipelines.ensembling.fitting.fit_candidate import fits_on_gpu_by
from pipelines.ray_cluster import ray_cluster
from pipelines.settings import Settings

log = logging.getLogger(__name__)

SPARE_MB, COPIES = 256, 4
"""This machine's object store holds the rows of as many fits as may be on their way at a time."""


@contextmanager
def gpus_for(settings: Settings, columns: Columns, *, wanted: bool) -> Iterator[int]:
    """Yield how many GPUs fits may use, here or else on the cluster; what is fitted inside goes there.

    Parameters
    ----------
    wanted
        Whether anything was fitted on a GPU before; if not, nobody asks the cluster.
    """
    here = visible_gpus()
    if here or not wanted or settings.ray_address is None:
        yield here
        return
    with ray_cluster(settings, SPARE_MB + COPIES * columns.X.nbytes // 2**20) as ray:
        there = int(ray.cluster_resources().get("GPU", 0.0))
        log.info(f"no GPU is here; the Ray cluster has {there}")
        if not there:
            yield 0
            return
        remote = ray.remote(num_cpus=1, num_gpus=1, max_retries=2)(_fit)

        def fit(*given: Any) -> Fitted:
            return ray.get(remote.remote(*given))  # type: ignore[no-any-return]  # Ray ships no types

        with fits_on_gpu_by(fit):
            yield there


def _fit(
    learner: Family, params: Params, rows: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
) -> Fitted:
    """Fit on the node that Ray has chosen, as this machine would."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

    with threadpool_limits(1, user_api="blas"):
        return learner.fit(params, rows, valid, shape, context)
