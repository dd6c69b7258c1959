from __future__ import annotations

import dask
import pytest
from distributed import Client, LocalCluster
from shipped import Shipped

from pipelines import clusters, dask_cluster, installation
from pipelines.dask_cluster import check_workers, is_for_cluster, lanes, later, on_each
from pipelines.errors import SpecError, UnreachableError


@pytest.mark.parametrize(
    ("given", "nbytes", "expected"),
    [
        ({}, 10**12, False),
        ({"dask_scheduler": "tcp://h:1"}, 10**9, False),
        ({"dask_scheduler": "tcp://h:1"}, 10**9 + 1, True),
        ({"dask_scheduler": "tcp://h:1", "dask_from_gb": 0.5}, 5 * 10**8 + 1, True),
        ({"dask_scheduler": "tcp://h:1", "dask_from_gb": 2.0}, 10**9 + 1, False),
        ({"dask_from_gb": 0.0}, 10**12, False),
    ],
)
def test_tables_above_a_machine_s_share_are_for_the_cluster(home, given, nbytes, expected):
    assert is_for_cluster(home.model_copy(update={"memory_gb": 4.0, **given}), nbytes) is expected


def test_below_it_there_are_threads_and_nobody_connects(home, monkeypatch):
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 0.5)
    far = home.model_copy(update={"dask_scheduler": "tcp://127.0.0.1:9"})
    with clusters.dask_scheduler(far, 1000):
        assert dask.config.get("scheduler") is dask.threaded.get
        assert on_each(lambda item: item * item, range(4)) == [0, 1, 4, 9]
        assert lanes(far) == far.cores
        first, second = later(lambda item: item + 1, [1, 2])
        assert dask.delayed(max)([first, second]).compute() == 3
    assert on_each(lambda item: item, []) == []
    with pytest.raises(UnreachableError, match="AIMASS_DASK_SCHEDULER"), clusters.dask_scheduler(far, 10**10):
        pytest.fail("nobody is there")


def test_without_certificates_nobody_connects(home):
    far = home.model_copy(update={"dask_scheduler": "tls://127.0.0.1:9"})
    with pytest.raises(SpecError, match="no certificates") as caught, dask_cluster.connected(far):
        pytest.fail("there are none")
    assert len(caught.value.faults) == 3


def profiles(dask_worker):
    """Whether a worker looks at its threads all the time."""
    return dask_worker.periodic_callbacks["profile"].is_running()


@pytest.mark.slow
def test_a_plan_is_sent_once_and_another_release_is_refused(home, tmp_path, monkeypatch):
    plan = Shipped(str(tmp_path / "sent"))

    def work(item):
        return type(plan).__name__, item

    security = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "security": True}
    with (
        dask.config.set(clusters.NO_PAGES),
        LocalCluster(n_workers=2, threads_per_worker=1, **security) as cluster,
        Client(cluster) as client,
    ):
        assert on_each(work, range(40)) == [("Shipped", item) for item in range(40)]
        sent = (tmp_path / "sent").read_text().splitlines()
        assert 1 <= len(sent) <= 3, "to the scheduler, to a worker, and perhaps from that one to the other"
        assert on_each(lambda item: plan.log, range(3), here=True) == [plan.log] * 3
        assert (tmp_path / "sent").read_text().splitlines() == sent
        assert lanes(home) == 2
        assert set(client.run(profiles).values()) == {False}, "whoever works for us"

        cluster.scale(3)
        client.wait_for_workers(3)
        assert sorted(client.run(profiles).values()) == [False, False, True]
        assert len(check_workers(client, home)) == 3
        assert set(client.run(profiles).values()) == {False}, "whoever will"
        cluster.scale(2)
        assert not list(home.staging.iterdir())
        here = installation.describe()
        other = {**here, "python": "3.12.99", "libraries": {**here["libraries"], "numpy": "9.9"}}
        monkeypatch.setattr(installation, "describe", lambda names=None: other)
        with pytest.raises(SpecError, match="not like this machine") as caught:
            check_workers(client, home)
        assert len(caught.value.faults) == 2, "both workers"
        assert f"Python {here['python']} instead of 3.12.99; numpy {here['libraries']['numpy']} instead of 9.9" in str(
            caught.value
        )
        monkeypatch.undo()
        monkeypatch.setattr(dask_cluster, "make_private", lambda folder: tmp_path)
        monkeypatch.setattr(dask_cluster, "token_hex", lambda size: "x" * size)
        monkeypatch.setattr(dask_cluster.Path, "touch", lambda self, mode: None)
        with pytest.raises(SpecError, match="does not see the storage"):
            check_workers(client, home)
