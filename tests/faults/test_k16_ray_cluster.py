"""K16 on a cluster of hosts: the driver, a worker and a whole node of a Ray are lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from hosts import Host, hosts, start_ray, trials_on, wait_until, why_not
from killed_search import calm, found, kept

from pipelines.settings import Settings
from pipelines.tuning.spec import TuneSpec

FULL = bool(os.environ.get("AIMASS_FULL"))
PROGRAM = Path(__file__).parents[1] / "helpers" / "searching.py"
TRIALS = 32 if FULL else 12
TOKEN = "7" * 64
pytestmark = [
    pytest.mark.fault("K16"),
    pytest.mark.cluster,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]


@pytest.fixture(scope="module")
def ray_hosts() -> Iterator[tuple[str, list[Host]]]:
    """A head and two nodes of one core; a fourth host is spare."""
    with hosts(4) as made:
        yield start_ray(made[0], made[1:3], TOKEN), made


@pytest.fixture
def cluster(
    ray_hosts: tuple[str, list[Host]], home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[Host]:
    """The hosts; what is started from here on has the cluster's address and token."""
    address, made = ray_hosts
    token = home.secrets / "ray_token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    monkeypatch.setenv("AIMASS_RAY_ADDRESS", address)
    monkeypatch.setenv("AIMASS_RAY_TOKEN", str(token))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return made


def start(room: Path, attempt: int, *more: str) -> subprocess.Popen[bytes]:
    """Start the driver of a search in ``room``."""
    words = [str(room / "home"), str(room / f"out{attempt}"), str(TRIALS), "ray", str(room / "log"), *more]
    with (room / "err").open("ab") as errors:
        return subprocess.Popen([sys.executable, str(PROGRAM), *words], start_new_session=True, stderr=errors)


@pytest.mark.skipif(not FULL, reason="in full form only")
def test_each_node_takes_the_data_once(cluster: list[Host], tmp_path: Path) -> None:
    table = 400 * 3_000 * 8
    assert start(tmp_path, 0, "0", "good").wait(120) == 0, (tmp_path / "err").read_text()
    stored = json.loads((tmp_path / "out0" / "stored.json").read_text())
    for host in cluster[1:3]:
        assert table < stored[host.address] < 1.5 * table, stored
    assert json.loads((tmp_path / "out0" / "search.json").read_text())["devices"] == {"cpu": TRIALS}


def killed_driver(room: Path, nodes: list[Host], told: Callable[[], str]) -> int:
    """Kill the driver of a search, see all that it had started end, and return how many trials it has kept."""
    first = start(room, 0, "0.2")
    wait_until(lambda: kept(room / "home") >= 3, "three trials have not ended", 60, told)
    assert all(map(trials_on, nodes)), "both nodes work"
    family = psutil.Process(first.pid).children(recursive=True)
    first.send_signal(signal.SIGKILL)
    first.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive, "what the driver has started here ends with it"
    wait_until(lambda: not any(map(trials_on, nodes)), "a dead driver's trials go on", 30)
    return kept(room / "home")


def test_a_search_survives_the_loss_of_driver_worker_and_node(
    cluster: list[Host], home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes, room = cluster[1:3], tmp_path / "stormy"
    room.mkdir()

    def told() -> str:
        return (room / "err").read_text() + nodes[0].log()

    before = killed_driver(room, nodes, told) if FULL else 0
    second = start(room, 1, "0.2")
    wait_until(lambda: kept(room / "home") > before, "no trial has ended", 60, told)
    wait_until(lambda: bool(trials_on(nodes[0])), "no trial on the first node", 30)
    trials_on(nodes[0])[0].kill()
    wait_until(lambda: kept(room / "home") > before + 2, "the search does not go on", 60, told)
    nodes[1].cut()
    assert second.wait(120) == 0, told()

    calm(home, tmp_path / "calm", TRIALS, monkeypatch)
    assert found(room / "out1") == found(tmp_path / "calm"), "the same winner, the same trials"
    facts = json.loads((room / "out1" / "search.json").read_text())
    assert (facts["runner"], facts["resumed"]) == ("ray_cluster", before)
    fits = len((room / "log").read_text().splitlines())
    lost = (2 if FULL else 0) + 1 + 1  # the driver's two trials, the worker's, the node's
    assert TRIALS * 3 <= fits <= (TRIALS + lost) * 3, "no more is run twice than was running"
    names = sorted(path.name for path in (tmp_path / "calm/oof").iterdir())
    assert len(names) == min(TRIALS, TuneSpec().keep)
    assert sorted(path.name for path in (room / "out1/oof").iterdir()) == names
    for name in names:
        assert (room / "out1/oof" / name).read_bytes() == (tmp_path / "calm/oof" / name).read_bytes()
