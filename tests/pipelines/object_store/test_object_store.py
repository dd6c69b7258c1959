from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from moto_store import Proxy, client, keys_of, proxy

from pipelines import object_store
from pipelines.cli.doctor import examine
from pipelines.errors import DiskFullError, SpecError
from pipelines.object_store import ObjectStore, StoreAwayError
from pipelines.object_store.probe import probe
from pipelines.settings import Settings
from pipelines.settings import load as load_settings


@pytest.fixture
def between(s3_endpoint: str, bucket: str) -> Iterator[Proxy]:
    with proxy(s3_endpoint) as found:
        yield found


@pytest.fixture
def store(between: Proxy, bucket: str) -> ObjectStore:
    return ObjectStore(f"s3://{bucket}/p", between.url, patience=1.0)


def test_objects_are_written_read_listed_and_deleted(store: ObjectStore, tmp_path) -> None:
    store.put("a/one", b"1")
    store.put("a/b/two ü", b"22")
    assert (store.get("a/one"), store.get("a/none")) == (b"1", None)
    assert [(each.key, each.bytes) for each in store.list("a/")] == [("a/b/two ü", 2), ("a/one", 1)]
    assert list(store.folders("a/")) == ["b"]
    assert store.put_new("a/one", b"2") is False
    assert store.put_new("a/one", b"1") is True, "what is there is what was to be written"
    assert store.fetch("a/one", tmp_path / "x") == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    assert store.fetch("a/none", tmp_path / "y") is None
    store.delete(["a/one", "a/b/two ü", "a/never"])
    assert list(store.list()) == []


def test_a_large_file_goes_in_parts_and_a_broken_one_is_found(
    store: ObjectStore, between: Proxy, bucket: str, s3_endpoint: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "PART", 5 << 20)
    path = tmp_path / "big"
    path.write_bytes(bytes(range(256)) * (11 << 12))  # 11 MB
    store.send("big", path)
    assert store.get("big") == path.read_bytes()
    assert sum("partNumber" in asked for _, asked in between.asked) == 3
    between.refuse = lambda _, asked: (503, "SlowDown") if "partNumber=2" in asked else None
    with pytest.raises(StoreAwayError):
        store.send("again", path)
    assert list(store.broken_uploads(datetime.now(UTC) + timedelta(days=1))) == []
    client(s3_endpoint).create_multipart_upload(Bucket=bucket, Key="p/left")
    ((key, end),) = store.broken_uploads(datetime.now(UTC) + timedelta(days=1))
    assert key == "left"
    end()
    assert list(store.broken_uploads(datetime.now(UTC) + timedelta(days=1))) == []
    assert keys_of(s3_endpoint, bucket) == ["p/big"]


def test_what_is_away_for_a_while_is_waited_for(store: ObjectStore, between: Proxy) -> None:
    answers = iter([(503, "SlowDown"), (500, "InternalError"), (503, "ServiceUnavailable")])
    between.refuse = lambda *_: next(answers, None)
    waiting = ObjectStore(store.address, between.url, patience=30.0)
    waiting.put("a", b"1")
    assert len(between.asked) == 4
    assert waiting.get("a") == b"1"


def test_what_stays_away_is_a_transient_error(store: ObjectStore, between: Proxy) -> None:
    between.refuse = lambda *_: (503, "SlowDown")
    began = time.monotonic()
    with pytest.raises(StoreAwayError, match="does not answer") as caught:
        store.get("a")
    assert time.monotonic() - began < 15
    assert len(between.asked) >= 2
    assert "SlowDown" in caught.value.seen
    assert "AIMASS_S3_ENDPOINT" in caught.value.cure
    assert caught.value.exit_code == 1, "the task is tried again"
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(StoreAwayError):
            ObjectStore(store.address, url, patience=0.0).get("a")


def test_an_answer_that_does_not_come_is_asked_for_again(
    between: Proxy, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "READ_S", 0.3)
    object_store._client.cache_clear()
    slow = iter([1.0])
    between.hold = lambda *_: next(slow, 0.0)
    try:
        ObjectStore(f"s3://{bucket}", between.url, patience=20.0).put("a", b"1")
    finally:
        object_store._client.cache_clear()
    assert len(between.asked) == 2


@pytest.mark.parametrize(
    ("status", "code", "kind", "what", "cure"),
    [
        (403, "InvalidAccessKeyId", SpecError, "refuses the credentials", "correct them"),
        (403, "SignatureDoesNotMatch", SpecError, "refuses the credentials", "correct them"),
        (403, "AccessDenied", SpecError, "refuses access", "grant"),
        (403, "RequestTimeTooSkewed", SpecError, "clock of this machine", "NTP"),
        (403, "QuotaExceeded", DiskFullError, "bucket is full", "quota"),
        (507, "InsufficientStorage", DiskFullError, "bucket is full", "quota"),
        (507, "507", DiskFullError, "bucket is full", "quota"),
        (501, "NotImplemented", SpecError, "lacks something", "MinIO"),
    ],
)
def test_what_a_retry_cannot_cure_is_told_at_once(
    store: ObjectStore, between: Proxy, status: int, code: str, kind: type[Exception], what: str, cure: str
) -> None:
    between.refuse = lambda *_: (status, code)
    with pytest.raises(kind, match=what) as caught:
        store.put("a", b"1")
    assert len(between.asked) == 1
    error = caught.value
    assert error.where.startswith(store.address)
    assert code in error.seen or "UTC here" in error.seen
    assert error.expected
    assert cure in error.cure


def test_a_bucket_that_is_not_there_and_no_credentials(
    s3_endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    with pytest.raises(SpecError, match="bucket is not there") as caught:
        ObjectStore("s3://never-made/x", s3_endpoint).put("a", b"1")
    assert caught.value.where == f"s3://never-made/x/a at {s3_endpoint}"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    object_store._client.cache_clear()
    try:
        with pytest.raises(SpecError, match="no credentials"):
            ObjectStore(f"s3://{bucket}", s3_endpoint).get("a")
    finally:
        object_store._client.cache_clear()


def test_secrets_are_in_no_message(store: ObjectStore, between: Proxy) -> None:
    between.refuse = lambda *_: (403, "AKIAIOSFODNN7EXAMPLE")
    with pytest.raises(Exception, match="object store") as caught:
        store.get("a")
    assert "AKIAIOSFODNN7EXAMPLE" not in str(caught.value)


def test_doctor_names_what_is_wrong(
    home: Settings, bucket: str, s3_endpoint: str, between: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMASS_S3_ENDPOINT", between.url)
    monkeypatch.setenv("AIMASS_STORAGE", f"s3://{bucket}/storage")
    monkeypatch.setenv("AIMASS_BACKUPS_FOLDER", "s3://never-made/backups")

    def stores() -> dict[str, tuple[str, str, str]]:
        found = {each.what: each for each in examine(load_settings())}
        return {name: (found[name].state, found[name].seen, found[name].cure) for name in ("storage", "backups")}

    found = stores()
    assert found["storage"] == ("ok", f"s3://{bucket}/storage at {between.url}", "")
    assert found["backups"][0] == "wrong"
    assert "bucket is not there" in found["backups"][1]
    assert keys_of(s3_endpoint, bucket) == []
    between.refuse = lambda *_: (403, "InvalidAccessKeyId")
    assert "credentials" in stores()["storage"][1]


def test_a_store_that_writes_over_what_is_there_is_refused(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    probe(store)
    monkeypatch.setattr(ObjectStore, "put_new", lambda self, key, content: self.put(key, content) or True)
    with pytest.raises(SpecError, match="If-None-Match"):
        probe(store)
