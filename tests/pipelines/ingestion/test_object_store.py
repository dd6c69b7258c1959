"""Objects of a store are found by address, folder and glob, fetched once, and read as files."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3_server import Store, s3_server

from pipelines.errors import DataError
from pipelines.ingestion.files.object_store import Mirror
from pipelines.ingestion.files.sources import SourceAwayError
from pipelines.ingestion.spec import Files
from pipelines.settings import Settings

SECRET = "canary-secret-key"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with s3_server() as served:
        monkeypatch.setenv("AWS_ENDPOINT_URL", served.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        for day in (1, 2, 3):
            served.put(f"lake/loans/day=2026-01-0{day}/part.csv", f"id,label\n{day},yes\n".encode(), day)
        served.put("lake/loans/notes.md", b"no table")
        yield served


def test_addresses_folders_and_globs(store: Store, home: Settings) -> None:
    mirror = Mirror(home)
    for pattern, count in (
        ("s3://lake/loans/day=2026-01-01/part.csv", 1),
        ("s3://lake/loans", 3),
        ("s3://lake/loans/day=*/part.csv", 3),
        ("s3://lake/**/part.*", 3),
        ("s3://lake/*/part.csv", 0),
    ):
        if count:
            assert len(Mirror(home).find(pattern)) == count, pattern
        else:
            with pytest.raises(DataError, match="no source file"):
                mirror.find(pattern)
    assert store.read == []


def test_a_night_fetches_what_it_may_know_and_nothing_twice(
    store: Store, take_in: Any, make_night: Any, home: Settings
) -> None:
    spec = Files(path="s3://lake/loans", file_date="day=%Y-%m-%d/part.csv")
    first = take_in(make_night("n1", "2026-01-03T02:00:00", key=("id",)), source=spec)
    assert first.rows("id", "day") == [("1", "2026-01-01"), ("2", "2026-01-02")]
    assert sorted(set(store.read)) == [f"lake/loans/day=2026-01-0{day}/part.csv" for day in (1, 2)]
    store.read.clear()
    second = take_in(make_night("n2", "2026-01-04T02:00:00", key=("id",)), source=spec)
    assert (second.outcome.rows, second.report["increments"]) == (3, {"read": 1, "known": 3})
    assert set(store.read) == {"lake/loans/day=2026-01-03/part.csv"}
    store.put("lake/loans/day=2026-01-01/part.csv", b"id,label\n7,yes\n", day=5)
    third = take_in(make_night("n3", "2026-01-05T02:00:00", key=("id",)), source=spec)
    assert sorted(third.rows("id")) == [("2",), ("3",), ("7",)]


def test_copies_of_what_is_no_longer_listed_or_asked_for_are_removed(store: Store, home: Settings) -> None:
    mirror = Mirror(home)
    mirror.fetch(mirror.find("s3://lake/loans"))
    store.put("lake/other/x.csv", b"a\n1\n")
    store.put("lake/old/x.csv", b"a\n1\n")
    for address in ("s3://lake/other", "s3://lake/old"):
        other = Mirror(home)
        other.fetch(other.find(address))
    os.utime(mirror.local_path("s3://lake/old/x.csv"), (0, 1e9))
    del store.objects["lake/loans/day=2026-01-01/part.csv"]
    assert len(Mirror(home).find("s3://lake/loans/day=*/*.csv")) == 2
    left = sorted(path.relative_to(mirror.folder).as_posix() for path in mirror.folder.rglob("*") if path.is_file())
    assert left == ["lake/loans/day=2026-01-02/part.csv", "lake/loans/day=2026-01-03/part.csv", "lake/other/x.csv"]
    assert not mirror.local_path("s3://lake/old").exists()


def test_a_name_never_leads_out_of_the_mirror(store: Store, home: Settings) -> None:
    store.put("lake/loans/../../../../evil.csv", b"a\n1\n")
    with pytest.raises(DataError, match="names of objects"):
        Mirror(home).find("s3://lake/loans")


def test_a_store_that_is_away_is_transient(
    home: Settings, monkeypatch: pytest.MonkeyPatch, make_night: Any, take_in: Any
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        with pytest.raises(SourceAwayError, match="does not respond") as caught:
            take_in(make_night(), source="s3://lake/loans/")
    assert "AWS_ENDPOINT_URL" in caught.value.cure


def test_one_parquet_object(store: Store, take_in: Any, make_night: Any) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": range(5_000), "label": ["yes", "no"] * 2_500}), sink)
    store.put("lake/big.parquet", sink.getvalue())
    found = take_in(make_night(key=("id",)), source="s3://lake/big.parquet")
    assert found.outcome.rows == 5_000
    assert found.report["increments"] == {"read": 0, "known": 0}


def test_a_store_that_refuses_or_lacks_is_named_without_secrets(store: Store, home: Settings, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no source file"):
        Mirror(home).find("s3://lake/nothing/x.csv")
    with pytest.raises(DataError, match="no address"):
        Mirror(home).find("s3://lake/../x.csv")
    store.refuse = True
    with pytest.raises(DataError, match="object store") as error:
        Mirror(home).find("s3://lake/loans")
    assert SECRET not in str(error.value)
    assert error.value.where == "s3://lake/loans"
