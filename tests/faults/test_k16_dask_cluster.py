"""K16 on a cluster of hosts: a worker of Dask is killed, a host is cut off; plans and rows are those of one machine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import learning
import psutil
import pytest
from hosts import Host, certificates, hosts, join_dask, listens, start_dask, wait_until, why_not
from moto_store import CREDENTIALS, client, grant, keys_of

from pipelines import settings as settings_module
from pipelines import stages, storage
from pipelines.artifacts import Artifact, Ref
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
    out.mkdir(exist_ok=True)
    known = stages.get(stage)
    known.load().run(known.spec_class()(), night=learning.make_night(), settings=settings, out=out, **inputs)
    return out


def same_table(one: Path, other: Path) -> bool:
    """Whether two tables hold the same, whatever their files."""
    return content_digest(one) == content_digest(other)


def has_joined(host: Host) -> bool:
    """Whether the scheduler knows the worker of a host."""
    return "Registered to" in host.log()


def worker(host: Host) -> psutil.Process:
    """The process that works; its parent, a nanny, starts another when it dies."""
    below = psutil.Process(host.started[-1].pid).children(recursive=True)
    (found,) = [process for process in below if "resource_tracker" not in " ".join(process.cmdline())]
    return found


def test_rows_and_plan_are_those_of_one_machine(
    three: list[Host], home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = certificates(tmp_path / "keys")
    address = start_dask(three[0], three[1:], keys)
    room = home.storage / "here"
    made = learning.data_stages(room, home, learning.make_night(), learning.raw_table(rows=ROWS))
    far = home.model_copy(update={"dask_scheduler": address, "dask_tls": keys, "memory_gb": 1e-6})
    wait_until(lambda: all(map(has_joined, three[1:])), "no workers", 30, three[1].log)

    before = sent(three[0])
    raw = learning.artifact("sample", room / "sample")
    cleaned = run("clean", home.storage / "far-clean", far, sampled=raw)
    table = sum(path.stat().st_size for path in (room / "sample/sampled").glob("*.parquet"))
    assert sent(three[0]) - before < 0.5 * table, "the rows do not go through the scheduler"
    for name in ("cleaned", "quarantine", "examples"):
        assert same_table(cleaned / name, made["cleaned"].path / name)
    for name in ("recipe.json", "report.json"):
        assert (cleaned / name).read_bytes() == (made["cleaned"].path / name).read_bytes()

    faults: list[Callable[[], object]] = [lambda: worker(three[1]).kill()]
    real = {"summarise_parts": features.summarise_parts}
    if FULL:  # it takes eleven seconds to be noticed
        faults.insert(0, three[2].cut)
        real["fold_columns"] = features.fold_columns

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
    assert same_table(fitted / "train", made["features"].path / "train")
    assert (fitted / "columns.json").read_bytes() == (made["features"].path / "columns.json").read_bytes()


@pytest.mark.skipif(not FULL, reason="in full form only")
def test_workers_without_the_folder_use_the_object_store(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = learning.data_stages(tmp_path / "here", home, learning.make_night(), learning.raw_table(rows=ROWS))
    grant(monkeypatch)
    with hosts(4) as there:
        endpoint = f"http://{there[3].address}:5000"
        there[3].start(sys.executable, "-W", "ignore", "-m", "moto.server", "-H", there[3].address, "-p", "5000")
        wait_until(lambda: listens(there[3].address, 5000), "no object store", 60, there[3].log)
        client(endpoint).create_bucket(Bucket="shared")
        bucket = {"AIMASS_STORAGE": "s3://shared/store", "AIMASS_S3_ENDPOINT": endpoint}
        for name, value in bucket.items():
            monkeypatch.setenv(name, value)
        address = start_dask(there[0], [])
        for host in there[1:3]:
            join_dask(host, address, None, **bucket, **CREDENTIALS, AIMASS_HOME=str(host.folder / "home"))
        wait_until(lambda: all(map(has_joined, there[1:3])), "no workers", 30, there[1].log)
        far = settings_module.load(dask_scheduler=address, memory_gb=1e-6).ensure()
        inputs = {name: published(far, name, tmp_path / "here" / name) for name in ("sample", "split", "cleaned")}
        cleaned = run("clean", storage.stage_folder(far, "clean"), far, sampled=inputs["sample"])
        assert same_table(cleaned / "cleaned", made["cleaned"].path / "cleaned")
        assert (cleaned / "recipe.json").read_bytes() == (made["cleaned"].path / "recipe.json").read_bytes()
        fitted = run(
            "features", storage.stage_folder(far, "far"), far, split=inputs["split"], cleaned=inputs["cleaned"]
        )
        assert same_table(fitted / "train", made["features"].path / "train")
        for path in (made["features"].path / "plan").iterdir():
            assert (fitted / "plan" / path.name).read_bytes() == path.read_bytes()
        copies = [host.folder / "home" / "cache" / "storage" / "nights" / "split" for host in there[1:3]]
        assert any(copy.is_dir() for copy in copies), "workers have copies of their own"
        assert not [key for key in keys_of(endpoint, "shared") if key.startswith("store/dask/")]


def published(settings: Settings, name: str, folder: Path) -> Artifact:
    """A folder as an earlier stage has published it in the object store."""
    staging = storage.stage_folder(settings, name)
    shutil.copytree(folder, staging, dirs_exist_ok=True)
    uri = f"nights/{name}"
    digest = storage.publish(staging, storage.local_path(settings, uri), stage=name, settings=settings)
    return Artifact(ref=Ref(uri=uri, digest=digest, stage=name), path=storage.resolve(settings, uri))
