"""Searches for the tests of tuning: in this process, in a pool or on Ray; and as a program that can be killed.

As a program: ``python searching.py HOME OUT TRIALS {ray,processes} LOG [PAUSE [MODE]]`` runs the tune stage with a
family that writes a line to LOG for each fit and takes PAUSE seconds for it, or with one of a MODE. With
AIMASS_RAY_ADDRESS ``ray`` is that cluster, and ``OUT/stored.json`` then tells the bytes that its nodes stored.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import learning
import numpy as np
import psutil
from learning import FakeFamily, make_columns
from optuna.distributions import BaseDistribution, CategoricalDistribution

from pipelines.algorithms.base import Dataset, Family, FitContext, Fitted, Params, TaskInfo
from pipelines.algorithms.training_data import Columns
from pipelines.clusters import prepare_environment, ray_session
from pipelines.settings import Settings
from pipelines.tuning.budget import Budget
from pipelines.tuning.search import search
from pipelines.tuning.search_journal import Journal
from pipelines.tuning.study import Study
from pipelines.tuning.trial_manager import Conductor, Turn
from pipelines.tuning.trial_runner import run_trial


def no_ray(*_: Any) -> AbstractContextManager[Any]:
    """A Ray that cannot start."""
    raise RuntimeError("Ray is not to be had")


def conductor_for(
    folder: Path,
    families: Mapping[str, Family],
    columns: Columns,
    *,
    trials: int | None = None,
    seconds: float | None = None,
    trial_seconds: float | None = None,
    memory_mb: int | None = None,
    sized: bool = False,
    generation: int = 4,
    **options: Any,
) -> Conductor:
    """A search over families whose journal lies in ``folder``."""
    folds = len(columns.folds)
    study = Study(families, columns.shape, seed=0, generation=generation, folds=folds, timed=trials is None, **options)
    budget = Budget(seconds, trials, cores=2, members=4, folds=folds, trial_seconds=trial_seconds)
    return Conductor(study, budget, Journal(folder, "key"), columns.shape.metric, memory_mb=memory_mb, sized=sized)


def left_over() -> list[str]:
    """The processes that this one has started and that are still there."""
    mine = psutil.Process().children(recursive=True)
    alive = [child for child in mine if child.status() != psutil.STATUS_ZOMBIE]
    # A process that runs many tests may hold a resource tracker of multiprocessing, and the servers that they share.
    kept = ("tracker", "launch.py", "moto")
    return [child.name() for child in alive if not any(word in " ".join(child.cmdline()) for word in kept)]


def run_here(conductor: Conductor, columns: Columns, families: Mapping[str, Family], *, seed: int = 0, **_: Any) -> str:
    """Run the trials one after the other in this process."""
    while not isinstance(proposal := conductor.next(), Turn):
        found = run_trial(conductor.work(proposal), families, columns, conductor.journal.folder, seed)
        conductor.ended(proposal.number, found)
    return "processes"


def run_on_ray(
    conductor: Conductor,
    columns: Columns,
    families: Mapping[str, Family],
    home: Settings,
    gpus: int | None = 0,
    stored: list[int] | None = None,
) -> str:
    """Run the trials on Ray with a declared number of GPUs (None: those it finds); its workers lack the tests' helpers.

    ``stored`` gets the bytes that the object store has taken in during the search, whether they are there still or not.
    """
    from ray import cloudpickle

    @contextmanager
    def session() -> Iterator[Any]:
        with ray_session(home, gpus=gpus) as ray:
            before = stored_bytes()
            yield ray
            if stored is not None:
                stored.append(stored_bytes() - before)

    modules = (learning, sys.modules[__name__])
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        return search(conductor, columns, families, seed=0, session=session, gpu_share=0.5)
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def stored_bytes() -> int:
    """The bytes that Ray's object store has ever taken in."""
    import ray

    (node,) = ray.nodes()
    return stored_on(node)


def stored_on(node: Mapping[str, Any]) -> int:
    """The same of one node."""
    from ray._private.internal_api import node_stats  # what counts them has no public name

    stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], include_memory_info=False)
    return int(stats.store_stats.cumulative_created_bytes)


class Planned(FakeFamily):
    """A family of as many configurations as ``modes``, each of which does as its mode says.

    A ``victim`` writes its process's number into ``marker`` and waits to be killed; once that is there it is good.
    Beside the marker, ``<marker>-ran`` gets a line a fit: the index among the modes and the process's number.
    """

    def __init__(self, modes: Sequence[str], marker: str = "") -> None:
        super().__init__("good")
        self.modes, self.marker = tuple(modes), marker

    def portfolio(self, shape: TaskInfo) -> tuple[Params, ...]:
        return tuple({"index": index} for index in range(len(self.modes)))

    def space(self, shape: TaskInfo) -> dict[str, BaseDistribution]:
        return {"index": CategoricalDistribution(tuple(range(len(self.modes))))}

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        mode = self.modes[params["index"]]
        if self.marker:
            with Path(f"{self.marker}-ran").open("a") as stream:
                stream.write(f"{params['index']} {os.getpid()}\n")
        if mode == "victim":
            mode = "good"
            if not Path(self.marker).exists():
                Path(self.marker).write_text(str(os.getpid()))
                time.sleep(600)
        return FakeFamily(mode).fit({"strength": 1.0}, train, valid, shape, context)


class Counting(FakeFamily):
    """A good family that writes a line when a trial begins, and takes its time."""

    def __init__(self, log: str, pause: float = 0.05) -> None:
        super().__init__("good")
        self.log, self.pause = log, pause

    def fit(
        self, params: Params, train: Dataset, valid: Dataset | None, shape: TaskInfo, context: FitContext
    ) -> Fitted:
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{params['strength']!r}\n".encode())
        os.close(descriptor)
        time.sleep(self.pause)
        return super().fit(params, train, valid, shape, context)


@contextmanager
def observed(session: AbstractContextManager[Any], out: Path) -> Iterator[Any]:
    """A cluster; what its nodes store is written down before it is left."""
    with session as ray:
        yield ray
        stored = {node["NodeManagerAddress"]: stored_on(node) for node in ray.nodes() if node["Alive"]}
        (out / "stored.json").write_text(json.dumps(stored))


def main(home: str, out: str, trials: str, runner: str, log: str, pause: str = "0.05", mode: str = "") -> None:
    """Run the tune stage."""
    prepare_environment()
    from pipelines import settings as settings_module
    from pipelines.tuning import stage
    from pipelines.tuning.spec import TuneSpec

    if runner == "ray":
        from ray import cloudpickle

        for module in (learning, sys.modules[__name__]):
            cloudpickle.register_pickle_by_value(module)
    else:
        stage.ray_session = no_ray  # type: ignore[assignment]  # the fault that is planted
    joined = stage.ray_cluster
    stage.ray_cluster = lambda *given: observed(joined(*given), Path(out))
    columns = make_columns(rows=400, folds=3)
    if mode:  # a table that a store would notice twice
        columns = dataclasses.replace(columns, extra=np.random.default_rng(0).random((400, 3_000)))
    made = FakeFamily(mode) if mode else Counting(log, float(pause))
    stage.load_columns = lambda folder, model: columns  # type: ignore[assignment]  # without a night's data stages
    stage.family = lambda name: made  # type: ignore[assignment]  # as told
    spec = TuneSpec(trials=int(trials), pruning="none", families=("linear",))
    Path(out).mkdir()
    stage.run(
        spec,
        night=learning.make_night(),
        settings=settings_module.load(home=Path(home), cores=2).ensure(),
        out=Path(out),
        features=learning.artifact("features", Path(home)),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
