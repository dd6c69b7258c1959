"""K16 on a cluster of hosts: a worker of Dask is killed, a host is cut off; plans and rows are those of one machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import learning
import pytest
from hosts import Host, certificates, hosts, start_dask, wait_until, why_not

from pipelines import stages
from pipelines.artifacts import Artifact
from pipelines.features import stage as features
from pipelines.settings import Settings
from pipelines.storage.tables import content_digest

FULL = bool(os.environ.get("AIMASS_FULL"))
ROWS = 1_000_000 if FULL else 270_000
pytestmark = [
    pytest.mark.fault("K16"),
    pytest.mark.cluster,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[Host]]:
    with hosts(3) as made:
        yield made


def sent(host: Host) -> int:
    """The bytes that a host was sent by all others."""
    return int(Path(f"/sys/class/net/{host.link}/statistics/tx_bytes").read_text())


def run(stage: str, out: Path, settings: Settings, **inputs: Artifact) -> Path:
    """Run a stage into a folder of the storage."""
    out.mkdir()
    known = stages.get(stage)
    known.load().run(known.spec_class()(), night=learning.make_night(), settings=settings, out=out, **inputs)
    return out


def workers(host: Host) -> list[Any]:
    """The processes that work; each has a nanny that starts another when it dies."""
    return [process for process in host.processes() if "spawn_main" in " ".join(process.cmdline())]


def test_rows_and_plan_are_those_of_one_machine(
    three: list[Host], home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = certificates(tmp_path / "keys")
    address = start_dask(three[0], three[1:], keys)
    room = home.storage / "here"
    made = learning.data_stages(room, home, learning.make_night(), learning.raw_table(rows=ROWS))
    far = home.model_copy(update={"dask_scheduler": address, "dask_tls": keys, "memory_gb": 1e-6})
    wait_until(lambda: all(workers(host) for host in three[1:]), "no workers", 30, three[1].log)

    before = sent(three[0])
    raw = learning.artifact("sample", room / "sample")
    cleaned = run("clean", home.storage / "far-clean", far, sampled=raw)
    table = sum(path.stat().st_size for path in (room / "sample/sampled").glob("*.parquet"))
    assert sent(three[0]) - before < 0.5 * table, "the rows do not go through the scheduler"
    for name in ("cleaned", "quarantine", "examples"):
        assert content_digest(cleaned / name) == content_digest(made["cleaned"].path / name)
    for name in ("recipe.json", "report.json"):
        assert (cleaned / name).read_bytes() == (made["cleaned"].path / name).read_bytes()

    faults: list[Callable[[], object]] = [three[2].cut, lambda: workers(three[1])[0].send_signal(signal.SIGKILL)]
    real = {"summarise_parts": features.summarise_parts, "fold_columns": features.fold_columns}

    def disturbed(name: str) -> Callable[..., Any]:
        def inner(*given: Any) -> Any:
            done = real[name](*given)
            faults.pop()()
            return done

        return inner

    for name in real:
        monkeypatch.setattr(features, name, disturbed(name))
    inputs = {name: made[name] for name in ("split", "cleaned")}
    fitted = run("features", home.storage / "far-features", far, **inputs)
    assert not faults, "a worker was killed and a host cut off meanwhile"
    for path in (made["features"].path / "plan").iterdir():
        assert (fitted / "plan" / path.name).read_bytes() == path.read_bytes()
    assert content_digest(fitted / "train") == content_digest(made["features"].path / "train")
    assert (fitted / "columns.json").read_bytes() == (made["features"].path / "columns.json").read_bytes()
