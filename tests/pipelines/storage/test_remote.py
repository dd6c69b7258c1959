from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from moto_store import client, keys_of, proxy

from pipelines import settings as configuration
from pipelines import storage
from pipelines.errors import DataError
from pipelines.settings import Settings
from pipelines.storage.remote import RECORD, remote_of

URI = "nights/demo/n1/ingest-0123"


@pytest.fixture
def here(home: Settings, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home whose storage is in a bucket."""
    monkeypatch.setenv("AIMASS_STORAGE", f"s3://{bucket}/some/prefix")
    return configuration.load().ensure()


def elsewhere(here: Settings, tmp_path) -> Settings:
    """Another home on the same bucket, with nothing of it."""
    return here.model_copy(update={"home": tmp_path / "other"}).ensure()


def staged(home: Settings, value: int = 1, **more: str):
    folder = storage.stage_folder(home, "t")
    (folder / "a.json").write_text(json.dumps({"value": value}))
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "b.txt").write_bytes(b"b" * 100)
    for name, text in more.items():
        (folder / name).write_text(text)
    return folder


def publish(home: Settings, uri: str = URI, value: int = 1, **more: str) -> str:
    target = storage.local_path(home, uri)
    return storage.publish(staged(home, value, **more), target, stage="ingest", rows=3, settings=home)


def test_another_home_reads_what_one_published(here: Settings, bucket: str, s3_endpoint: str, tmp_path) -> None:
    digest = publish(here)
    other = elsewhere(here, tmp_path)
    path, manifest = storage.open_folder(other, URI)
    assert manifest["digest"] == digest
    assert path == other.home / "cache" / "storage" / URI
    assert json.loads((path / "a.json").read_text()) == {"value": 1}
    keys = keys_of(s3_endpoint, bucket)
    assert f"some/prefix/{URI}/{RECORD}" in keys
    assert len(keys) == 4  # two files, their manifest, the record
    assert path.stat().st_mode & 0o777 == 0o700
    assert (path / "a.json").stat().st_mode & 0o777 == 0o600


def test_the_digest_is_that_of_a_folder(here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = publish(here)
    local = here.model_copy(update={"storage_address": None, "home": here.home / "local"}).ensure()
    assert publish(local) == digest


def test_publishing_again_adopts_and_something_else_is_refused(
    here: Settings, bucket: str, s3_endpoint: str, tmp_path
) -> None:
    other = elsewhere(here, tmp_path)
    first = publish(here)
    before = keys_of(s3_endpoint, bucket)
    assert publish(other) == first
    assert publish(here) == first
    with pytest.raises(DataError, match="already published"):
        publish(other, value=2)
    assert keys_of(s3_endpoint, bucket) == before
    assert not list(other.staging.glob("copy-*"))


def test_of_two_writers_at_once_one_wins(here: Settings, tmp_path, bucket: str, s3_endpoint: str) -> None:
    homes = [here, *(elsewhere(here, tmp_path / str(n)) for n in range(3))]
    gate = threading.Barrier(len(homes))

    def write(number: int) -> str:
        gate.wait()
        try:
            return publish(homes[number], value=number)
        except DataError as error:
            return error.what

    with ThreadPoolExecutor(len(homes)) as pool:
        results = list(pool.map(write, range(len(homes))))
    assert results.count("another result is already published under this address") == 3
    winner = next(number for number, result in enumerate(results) if "published" not in result)
    for home in homes:
        path, manifest = storage.open_folder(home, URI)
        assert manifest["digest"] == results[winner]
        assert json.loads((path / "a.json").read_text()) == {"value": winner}
    assert len(keys_of(s3_endpoint, bucket)) == 4


def test_a_reader_downloads_what_it_lacks_and_no_more(here: Settings, tmp_path, s3_endpoint: str) -> None:
    publish(here, more="x" * 50)
    publish(here, "nights/demo/n2/ingest-0123", more="x" * 50, new="y" * 60)
    with proxy(s3_endpoint) as between:
        other = elsewhere(here.model_copy(update={"s3_endpoint": between.url}), tmp_path)
        storage.open_folder(other, URI)
        first = len(between.asked)
        assert first == 1 + 4  # the record, three files and their manifest
        storage.open_folder(other, URI)
        assert len(between.asked) == first + 1
        storage.open_folder(other, "nights/demo/n2/ingest-0123")
        fetched = [path.rsplit("/", 1)[1] for _, path in between.asked[first + 1 :]]
        assert sorted(fetched) == ["manifest.json", "new", RECORD]


def test_tables_may_be_left_out(here: Settings, tmp_path) -> None:
    folder = staged(here)
    storage.write_table(pa.table({"x": [1, 2]}), folder / "rows")
    storage.publish(folder, storage.local_path(here, URI), stage="clean", settings=here)
    other = elsewhere(here, tmp_path)
    path = storage.resolve(other, URI, tables=False)
    assert (path / "a.json").is_file()
    assert not list(path.rglob("*.parquet"))
    storage.resolve(other, URI, tables=False)
    assert storage.read_table(storage.open_folder(other, URI)[0] / "rows")["x"].to_pylist() == [1, 2]


def test_a_damaged_copy_is_fetched_again(here: Settings, tmp_path) -> None:
    publish(here)
    other = elsewhere(here, tmp_path)
    path, _ = storage.open_folder(other, URI)
    (path / "a.json").write_text('{"value": 9}')
    path, _ = storage.open_folder(other, URI)
    assert json.loads((path / "a.json").read_text()) == {"value": 1}
    (path / "a.json").unlink()
    assert (storage.resolve(other, URI) / "a.json").is_file()


def test_a_damaged_object_is_named(here: Settings, tmp_path, bucket: str, s3_endpoint: str) -> None:
    publish(here)
    key = next(key for key in keys_of(s3_endpoint, bucket) if key.endswith("a.json"))
    client(s3_endpoint).put_object(Bucket=bucket, Key=key, Body=b'{"value": 2}')
    other = elsewhere(here, tmp_path)
    with pytest.raises(DataError, match="damaged") as caught:
        storage.open_folder(other, URI)
    assert "a.json" in caught.value.where
    client(s3_endpoint).delete_object(Bucket=bucket, Key=key)
    with pytest.raises(DataError, match="no such object"):
        storage.open_folder(other, URI)
    assert not list(other.staging.glob("copy-*"))


def test_what_is_gone_has_no_copy(here: Settings, tmp_path) -> None:
    other = elsewhere(here, tmp_path)
    assert not storage.resolve(other, URI).exists()
    publish(here)
    assert storage.is_published(other, URI)
    assert storage.resolve(other, URI).is_dir()
    storage.set_aside(here, URI)
    assert not storage.is_published(other, URI)
    assert not storage.resolve(other, URI).exists()
    publish(other, value=5)  # can be made again
    assert json.loads((storage.resolve(here, URI) / "a.json").read_text()) == {"value": 5}


def test_a_folder_is_made_again_over_what_is_left_of_one(here: Settings, tmp_path) -> None:
    other = elsewhere(here, tmp_path)
    publish(here)
    storage.resolve(other, URI, tables=False)
    remote_of(here).remove(URI)
    digest = publish(other, value=2)
    assert storage.open_folder(other, URI)[1]["digest"] == digest
    remote_of(here).remove(URI)
    assert not storage.resolve(other, URI, tables=False).exists()


def test_an_answer_that_is_lost_does_not_lose_the_race(here: Settings, s3_endpoint: str, bucket: str) -> None:
    lost = []

    def cut(method: str, path: str) -> bool:
        if method == "PUT" and path.endswith(RECORD) and not lost:
            lost.append(path)
            return True
        return False

    with proxy(s3_endpoint) as between:
        between.after = cut
        behind = here.model_copy(update={"s3_endpoint": between.url})
        digest = publish(behind)
    assert lost
    assert storage.open_folder(here, URI)[1]["digest"] == digest
    assert len(keys_of(s3_endpoint, bucket)) == 4


def test_a_crash_before_the_record_shows_nothing(
    here: Settings, tmp_path, s3_endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.object_store import ObjectStore

    def killed(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "put_new", killed)
        with pytest.raises(KeyboardInterrupt):
            publish(here)
    assert len(keys_of(s3_endpoint, bucket)) == 3
    other = elsewhere(here, tmp_path)
    assert not storage.resolve(other, URI).exists()
    (left,) = remote_of(other).found("nights")
    assert not left.published
    assert remote_of(other).leftovers(left) == list(left.objects)
    publish(other)
    (left,) = remote_of(other).found("nights")
    assert len(remote_of(other).leftovers(left)) == 3
    assert storage.resolve(here, URI).is_dir()


def test_the_longest_unused_copies_go_first(here: Settings) -> None:
    import os

    for number in range(3):
        publish(here, f"nights/demo/n{number}/a", value=number)
    remote = remote_of(here)
    notes = {uri: remote._note_of(uri) for uri, _, _ in remote.copies()}
    for number, uri in enumerate(("nights/demo/n1/a", "nights/demo/n2/a", "nights/demo/n0/a")):
        os.utime(notes[uri], (1000 + number, 1000 + number))
    assert [uri for uri, _, _ in remote.copies()] == ["nights/demo/n1/a", "nights/demo/n2/a", "nights/demo/n0/a"]
    assert not remote.drop_unused("nights/demo/n2/a", since=1000)
    assert remote.drop_unused("nights/demo/n1/a", since=1000)
    assert not storage.local_path(here, "nights/demo/n1/a").exists()
    assert storage.resolve(here, "nights/demo/n1/a").is_dir()
