"""K16: a worker of Ray, of the pool or of Dask is killed, or needs more memory than it may have."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
import learning
import numpy as np
import pytest
from distributed import get_client
from learning import FakeFamily, make_columns
from searching import Planned, conductor_for, left_over, no_ray, run_here, run_on_ray

from pipelines import clusters, storage
from pipelines.errors import SpecError
from pipelines.features import stage as features
from pipelines.features.spec import FeatureSpec
from pipelines.settings import Settings
from pipelines.tuning.results import check
from pipelines.tuning.search import search

FULL = bool(os.environ.get("AIMASS_FULL"))
COLUMNS = make_columns(rows=300, folds=3)

pytestmark = [pytest.mark.fault, pytest.mark.timeout(180)]


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short folder that all temporary folders go to; nothing is left in it, and no process."""
    folder = Path(tempfile.mkdtemp(prefix="k16-", dir="/tmp"))  # sockets need a short path
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(clusters, "SHORT", str(folder))
    yield folder
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    shutil.rmtree(folder)
    assert (left, left_over()) == ([], [])


def kill_when_told(marker: Path) -> threading.Thread:
    """Kill the process that writes its number into ``marker``."""

    def wait() -> None:
        until = time.time() + 120.0
        while time.time() < until:
            if marker.exists() and marker.read_text():
                os.kill(int(marker.read_text()), signal.SIGKILL)
                return
            time.sleep(0.02)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_ray_s_workers_are_replaced_and_gpus_go_to_those_that_can_use_them(
    private: Path, home: Settings, tmp_path: Path
) -> None:
    plan = ("good", "victim", "greedy", *("good",) * 5, *(("die", "hang") if FULL else ()))
    marker = tmp_path / "victim"
    families = {"gpu": FakeFamily("gpu"), "gpu_broken": FakeFamily("gpu_broken"), "planned": Planned(plan, str(marker))}
    (tmp_path / "search").mkdir()
    conductor = conductor_for(
        tmp_path / "search",
        families,
        COLUMNS,
        trials=2 + len(plan),
        trial_seconds=20.0 if FULL else None,
        memory_mb=2000,
        pruning="none",
    )
    heavy = dataclasses.replace(COLUMNS, extra=np.random.default_rng(0).random((len(COLUMNS.y), 3_000)))
    assert heavy.extra is not None
    killer, stored = kill_when_told(marker), list[int]()
    assert run_on_ray(conductor, heavy, families, home, gpus=1, stored=stored) == "ray"
    killer.join(5.0)
    assert not killer.is_alive()
    outcomes = conductor.study.outcomes()
    told = {plan[o.proposal.params["index"]]: o.result for o in outcomes if o.proposal.family == "planned"}
    wanted = {"good": "done", "victim": "done", "hang": "cut"}
    assert {mode: answer.state for mode, answer in told.items()} == {mode: wanted.get(mode, "failed") for mode in plan}
    assert told["victim"].loss == told["good"].loss, "tried again as if nothing had been"
    assert "more than its 2000 MB of memory" in told["greedy"].error
    if FULL:
        assert told["die"].error == "its process died, 2 times"
    # The table is put into the object store once, whatever the number of trials, and processes run one after another.
    assert heavy.extra.nbytes < stored[0] < 1.5 * heavy.extra.nbytes
    ran = {tuple(map(int, line.split())) for line in Path(f"{marker}-ran").read_text().splitlines()}
    processes = Counter(process for _, process in ran)
    assert len(processes) < len(plan), processes
    assert max(processes.values()) > 2, processes
    given = {o.proposal.family: o.result for o in outcomes if o.proposal.family != "planned"}
    assert {name: (answer.state, answer.device) for name, answer in given.items()} == {
        "gpu": ("done", "gpu"),
        "gpu_broken": ("done", "cpu"),
    }
    assert "no kernel image" in given["gpu_broken"].error
    assert len(list((tmp_path / "search").glob("*.npy"))) == 4 + 5
    assert not list((tmp_path / "search").glob("*.hung"))


def test_a_killed_worker_of_the_pool_costs_one_trial_more_and_changes_nothing(private: Path, tmp_path: Path) -> None:
    plan = ("good", "victim", "good", "good")
    found = []
    for name in ("calm", "stormy"):
        (tmp_path / name).mkdir()
        marker = tmp_path / f"{name}-victim"
        families = {"planned": Planned(plan, str(marker))}
        conductor = conductor_for(tmp_path / name, families, COLUMNS, trials=4, pruning="none")
        if name == "stormy":
            kill_when_told(marker)
            search(conductor, COLUMNS, families, seed=0, session=no_ray)
        else:
            marker.touch()
            run_here(conductor, COLUMNS, families)
        found.append([(o.proposal, o.result.state, o.result.loss) for o in conductor.study.outcomes()])
    assert found[0] == found[1]


def test_where_every_worker_dies_the_error_says_so(private: Path, tmp_path: Path) -> None:
    families = {mode: FakeFamily(mode) for mode in ("die", "greedy")}
    conductor = conductor_for(tmp_path, families, COLUMNS, trials=2, memory_mb=2000)
    search(conductor, COLUMNS, families, seed=0, session=no_ray)
    with pytest.raises(SpecError, match="too few trials") as caught:
        check(conductor.study.outcomes())
    assert caught.value.faults == [
        "trial 1 die: its process died, 2 times",
        "trial 2 greedy: it needs more than its 2000 MB of memory (TuneSpec.trial_memory_mb)",
    ]


def hog() -> int:
    """Hold more than a worker may have, for long enough to be seen."""
    held = np.ones(2**26)
    time.sleep(60.0)
    return len(held)


def test_the_features_stage_outlives_a_worker_of_dask_and_its_memory_limit(
    private: Path, home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = learning.data_stages(tmp_path, home, learning.make_night(), learning.raw_table(rows=400))
    before = {path.name: path.read_bytes() for path in (tmp_path / "features" / "plan").iterdir() if path.is_file()}
    monkeypatch.setattr(clusters, "THREADS_BELOW_BYTES", 1)
    real = clusters.dask_scheduler

    @contextmanager
    def one_dies(settings: Settings, nbytes: int) -> Iterator[None]:
        with real(settings, nbytes):
            workers = list(get_client().run(os.getpid).values())
            assert len(workers) == home.cores, "large tables get a cluster"
            os.kill(workers[0], signal.SIGKILL)
            yield

    monkeypatch.setattr(features, "dask_scheduler", one_dies)
    out = tmp_path / "again"
    out.mkdir()
    inputs = {name: made[name] for name in ("split", "cleaned")}
    features.run(FeatureSpec(), night=learning.make_night(), settings=home, out=out, **inputs)
    after = {path.name: path.read_bytes() for path in (out / "plan").iterdir() if path.is_file()}
    assert after == before
    calm, stormy = (storage.read_table(folder / "train").to_pandas() for folder in (tmp_path / "features", out))
    assert stormy.equals(calm)

    small = home.model_copy(update={"memory_gb": 0.4, "cores": 1})
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        pytest.raises(SpecError, match="most likely it needs more memory") as caught,
        clusters.dask_scheduler(small, 1000),
    ):
        dask.delayed(hog)().compute()
    assert caught.value.seen == "2 workers gone, each with 0.4 GB"
    assert "AIMASS_MEMORY_GB" in caught.value.cure
