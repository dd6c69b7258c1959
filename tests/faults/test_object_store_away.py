"""K3, K17: the object store is away for a while, is full, or is killed at any request of a publication."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chain import Chain, write_small_source
from moto_store import Proxy, keys_of, proxy

from pipelines import object_store, storage
from pipelines import settings as configuration
from pipelines.errors import DiskFullError
from pipelines.object_store import StoreAwayError
from pipelines.settings import Settings
from pipelines.spec import ModelSpec
from pipelines.storage.remote import RECORD, remote_of

pytestmark = pytest.mark.fault
FULL = bool(os.environ.get("AIMASS_FULL"))
AWAY_S = 60.0 if FULL else 1.5
STAGES = ("ingest", "sample", "clean")
URI = "nights/demo/n1/clean-0"


@pytest.fixture
def between(s3_endpoint: str, bucket: str) -> Iterator[Proxy]:
    with proxy(s3_endpoint) as found:
        yield found


@pytest.fixture
def here(home: Settings, between: Proxy, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("AIMASS_S3_ENDPOINT", between.url)
    monkeypatch.setenv("AIMASS_STORAGE", f"s3://{bucket}/p")
    return configuration.load().ensure()


def chain(here: Settings, tmp_path: Path) -> Chain:
    write_small_source(tmp_path / "source.csv", 200)
    model = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))
    return Chain(here, model, "n1", {"ingest": {"source": str(tmp_path / "source.csv")}})


@pytest.mark.parametrize("how", ["refuses", "is slow"])
def test_a_store_that_is_away_for_a_minute_costs_time_alone(
    here: Settings, between: Proxy, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = chain(here, tmp_path)
    night.run_here("ingest")
    until = time.monotonic() + AWAY_S
    if how == "refuses":
        between.refuse = lambda *_: (503, "SlowDown") if time.monotonic() < until else None
    else:
        if not FULL:
            monkeypatch.setattr(object_store, "READ_S", 0.5)
            object_store._client.cache_clear()
        between.hold = lambda *_: max(0.0, min(until - time.monotonic(), 2 * object_store.READ_S))
    try:
        night.run_here("sample", "clean")
    finally:
        object_store._client.cache_clear()
    assert time.monotonic() > until
    for stage in STAGES:
        assert storage.open_folder(here, night.results[stage].ref.uri)[1]["digest"] == night.results[stage].ref.digest


def test_a_store_that_stays_away_is_told_and_the_next_attempt_goes_on(
    here: Settings, between: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = chain(here, tmp_path)
    night.run_here("ingest")
    monkeypatch.setattr(object_store, "PATIENCE", 0.0)
    between.refuse = lambda method, path: (503, "SlowDown") if method == "PUT" and path.endswith(RECORD) else None
    with pytest.raises(StoreAwayError, match="does not answer"):
        night.run_here("sample")
    between.refuse = lambda *_: None
    night.run_here("sample", "clean")
    assert [night.results[stage].reused for stage in STAGES] == [False, False, False]


@pytest.mark.parametrize(("status", "code", "taken"), [(507, "XMinioStorageFull", 1), (403, "QuotaExceeded", 0)])
def test_a_full_bucket_is_one_clear_error_and_keeps_nothing_of_what_failed(
    here: Settings, between: Proxy, s3_endpoint: str, bucket: str, tmp_path: Path, status: int, code: str, taken: int
) -> None:
    night = chain(here, tmp_path)
    night.run_here("ingest")
    before, began = keys_of(s3_endpoint, bucket), len(between.asked)

    def full(method: str, _: str) -> tuple[int, str] | None:
        puts = [asked for asked in between.asked[began:] if asked[0] == "PUT"]
        return (status, code) if method == "PUT" and len(puts) > taken else None

    between.refuse = full
    with pytest.raises(DiskFullError, match="the bucket is full") as caught:
        night.run_here("sample")
    assert code in caught.value.seen
    assert "raise the quota" in caught.value.cure
    refused = [asked for asked in between.asked[began:] if asked[0] == "PUT"][taken:]
    assert len(refused) == len(set(refused)), "nothing is sent again"
    assert keys_of(s3_endpoint, bucket) == before
    between.refuse = lambda *_: None
    night.run_here("sample", "clean")
    assert [night.results[stage].reused for stage in STAGES] == [False, False, False]


def test_whatever_request_is_the_last_one_sees_nothing_or_everything(
    here: Settings, between: Proxy, s3_endpoint: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "PATIENCE", 0.0)
    reader = here.model_copy(update={"s3_endpoint": s3_endpoint, "home": tmp_path / "reader"}).ensure()

    def publish() -> str:
        folder = storage.stage_folder(here, "t")
        for name in ("a", "b"):
            (folder / name).write_text(name)
        return storage.publish(folder, storage.local_path(here, URI), stage="clean", settings=here)

    published, lost = 0, 0
    for last in range(6):
        for carried_out in (False, True):
            cut(between, last, carried_out)
            try:
                publish()
            except StoreAwayError:
                lost += 1
            cut(between, 1_000, carried_out)
            path = storage.resolve(reader, URI)
            published += path.exists()
            seen = storage.verify(path)["digest"] if path.exists() else None
            digest = publish()
            assert seen in (None, digest), "nothing, or what a retry adopts"
            assert storage.open_folder(reader, URI)[1]["digest"] == digest
            remote_of(reader).remove(URI)
            remote_of(here).drop(URI)
    assert lost >= 8
    assert published >= 2
    assert keys_of(s3_endpoint, bucket) == []


def cut(between: Proxy, last: int, carried_out: bool) -> None:
    """Let so many requests pass; later ones are refused, or carried out and their answers lost."""
    began = len(between.asked)

    def dead(*_: str) -> bool:
        return len(between.asked) - began > last

    between.refuse = lambda *asked: (503, "SlowDown") if dead(*asked) and not carried_out else None
    between.after = lambda *asked: dead(*asked) and carried_out
