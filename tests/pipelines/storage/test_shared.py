from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from moto_store import Proxy, keys_of, proxy

from pipelines import settings as configuration
from pipelines import storage
from pipelines.gateway.prediction_log import Answered, prediction_log
from pipelines.housekeeping.retention import tidy
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.ingestion.history.store import History
from pipelines.ledger import Ledger
from pipelines.monitoring.traffic import read_traffic
from pipelines.object_store import ObjectStore
from pipelines.settings import Settings
from pipelines.storage.remote import remote_of
from pipelines.storage.shared import UNSENT, send_waiting

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)


@pytest.fixture
def here(home: Settings, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("AIMASS_STORAGE", f"s3://{bucket}/p")
    return configuration.load().ensure()


@pytest.fixture
def other(here: Settings, tmp_path) -> Settings:
    """Another machine's home."""
    return here.model_copy(update={"home": tmp_path / "other"}).ensure()


def answer(home: Settings, request: str, at: datetime = NOW) -> None:
    log = prediction_log(home.storage, sent=storage.sender(home))
    log.add(Answered(request, at, "demo", 1, 200, 1.0, 1, {"x": [1]}, {"prediction": ["yes"]}))
    log.flush()
    assert (log.written, log.dropped) == (1, 0)


def asked(home: Settings, days: int = 1) -> list[str]:
    start = NOW - timedelta(days=days)
    return list(read_traffic(storage.bring_logs(home, "demo", start, NOW), "demo", start, NOW).rows["request_id"])


def test_what_one_gateway_answered_is_read_elsewhere(here: Settings, other: Settings) -> None:
    answer(here, "a")
    answer(other, "b")
    answer(here, "old", NOW - timedelta(days=9))
    assert sorted(asked(here)) == sorted(asked(other)) == ["a", "b"]
    assert "old" in asked(other, days=9)
    assert not list((here.storage / UNSENT).rglob("*.parquet"))
    storage.bring_newest_logs(other, "demo")


def test_what_a_store_does_not_take_waits(here: Settings, other: Settings, s3_endpoint: str) -> None:
    with proxy(s3_endpoint) as between:
        behind = here.model_copy(update={"s3_endpoint": between.url})
        between.refuse = lambda *_: (503, "SlowDown")
        answer(behind, "a")
        assert asked(other) == []
        between.refuse = lambda *_: None
        answer(behind, "b")
    assert sorted(asked(other)) == ["a", "b"]
    assert send_waiting(here) == 0


def increment(home: Settings, name: str, at: datetime) -> None:
    path = home.home.parent / name
    path.write_text(name)
    history = History(home, "demo", root=path.parent)
    history.plan([path], at, {path: at})
    history.add(lambda out: storage.write_table(pa.table({"x": [name]}), out) or 1, as_of=at, file=path)
    history.looked(at)


def test_a_history_goes_on_elsewhere_and_only_what_is_read_is_fetched(
    here: Settings, other: Settings, s3_endpoint: str
) -> None:
    increment(here, "one.csv", NOW)
    increment(here, "two.csv", NOW + timedelta(days=1))
    with proxy(s3_endpoint) as between:
        behind = other.model_copy(update={"s3_endpoint": between.url})
        history = History(behind, "demo", root=here.home.parent)
        assert [item.name for item in history.increments(NOW)] == ["one.csv"]
        assert not rows_fetched(between)
        (table,) = history.tables(NOW)
        assert storage.read_table(table)["x"].to_pylist() == ["one.csv"]
        assert len(rows_fetched(between)) == 1
        assert history.is_past(NOW)
    increment(other, "three.csv", NOW + timedelta(days=2))
    known = History(here, "demo", root=here.home.parent).increments(NOW + timedelta(days=3))
    assert [item.name for item in known] == ["one.csv", "two.csv", "three.csv"]


def rows_fetched(between: Proxy) -> list[str]:
    return [path for method, path in between.asked if method == "GET" and path.endswith(".parquet")]


def published(home: Settings, uri: str) -> None:
    folder = storage.stage_folder(home, "t")
    (folder / "x").write_bytes(os.urandom(1000))
    storage.publish(folder, storage.local_path(home, uri), stage="clean", settings=home)


def test_housekeeping_removes_leftovers_old_copies_and_old_results(
    here: Settings, s3_endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch, own_temporary: object
) -> None:
    later = datetime.now(UTC) + timedelta(days=2)
    with Ledger.open(here):
        pass
    published(here, "history/demo/main/i1")
    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "put_new", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            published(here, "nights/demo/n2/clean-1")
    published(here, "models/demo/" + "0" * 64)
    answer(here, "a", later - timedelta(days=40))
    store = remote_of(here).store
    store.put("searches/demo/k/journal.jsonl", b"x")
    small = here.model_copy(update={"storage_cache_gb": 1e-9})
    spec = HousekeepingSpec()
    dry = tidy(small, spec.model_copy(update={"dry_run": True}), now=later)
    before = keys_of(s3_endpoint, bucket)
    report = tidy(small, spec, now=later)
    assert report.failed == ()
    assert {item.what for item in report.items} == {item.what for item in dry.items}
    assert {item.kind for item in report.items} >= {"staging", "orphans", "predictions", "copies"}
    left = {key.removeprefix("p/") for key in keys_of(s3_endpoint, bucket)}
    assert len(before) > len(left)
    assert all(key.startswith("history/demo/main/i1/") for key in left), left
    assert remote_of(here).copies() == []
    assert storage.open_folder(here, "history/demo/main/i1")[0].is_dir()
    assert tidy(here, spec, now=later).items == ()
