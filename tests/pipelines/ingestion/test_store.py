"""Increments: read once, whole or not at all, and any earlier state can be built again."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import storage
from pipelines.errors import DataError
from pipelines.ingestion.history.file_index import INDEX
from pipelines.ingestion.history.replay import as_recorded
from pipelines.ingestion.history.store import History
from pipelines.settings import Settings

DAY = [datetime(2026, 3, 1, 2, tzinfo=UTC) + timedelta(days=n) for n in range(12)]


def history(home: Settings, source: Path, reading: str = "") -> History:
    return History(home, "demo", root=source, reading=reading)


def deliver(source: Path, name: str, text: str) -> Path:
    """Write a file as if it had lain there for a while."""
    source.mkdir(exist_ok=True)
    path = source / name
    path.write_text(text)
    old = path.stat().st_mtime - 100
    os.utime(path, (old, old + len(text) / 1000))
    return path


def rows_of(path: Path):
    return lambda folder: storage.write_table(pa.table({"line": path.read_text().split()}), folder)


def night(home: Settings, source: Path, as_of: datetime, *, dated: bool = False, reading: str = "") -> list[str]:
    """Do what ingest does; return the names of the files read."""
    kept = history(home, source, reading)
    files = sorted(source.glob("*.csv"))
    known = None
    if dated:
        known = {file: moment_of(file) for file in files}
        files = [file for file in files if known[file] <= as_of]
    planned = kept.plan(files, as_of, known)
    expected = kept.digest(as_of)
    for file in planned:
        kept.add(rows_of(file), as_of=as_of, file=file)
    assert kept.digest(as_of) == expected, "the digest is known before anything is read"
    kept.looked(as_of)
    return [file.name for file in planned]


def moment_of(file: Path) -> datetime:
    return datetime.strptime(file.stem, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)


def lines(home: Settings, source: Path, as_of: datetime) -> list[str]:
    tables = history(home, source).tables(as_of)
    return [line for table in tables for line in storage.read_table(table)["line"].to_pylist()]


def test_a_night_reads_what_is_new_or_changed(home: Settings, tmp_path: Path) -> None:
    source = tmp_path / "in"
    deliver(source, "a.csv", "a1 a2")
    deliver(source, "b.csv", "b1")
    assert night(home, source, DAY[0]) == ["a.csv", "b.csv"]
    assert night(home, source, DAY[1]) == []
    deliver(source, "a.csv", "a1 corrected")
    deliver(source, "c.csv", "c1")
    assert night(home, source, DAY[2]) == ["a.csv", "c.csv"]
    assert lines(home, source, DAY[0]) == lines(home, source, DAY[1]) == ["a1", "a2", "b1"]
    assert lines(home, source, DAY[2]) == ["b1", "a1", "corrected", "c1"]
    deliver(source, "a.csv", "a1 a2")
    assert night(home, source, DAY[3]) == ["a.csv"], "a correction that is taken back is a version too"
    assert lines(home, source, DAY[3]) == ["b1", "c1", "a1", "a2"]
    assert lines(home, source, DAY[2]) == ["b1", "a1", "corrected", "c1"]


def test_a_touched_or_vanished_or_renamed_file_is_not_read_again(home: Settings, tmp_path: Path) -> None:
    source = tmp_path / "in"
    path = deliver(source, "a.csv", "a1")
    deliver(source, "b.csv", "b1")
    night(home, source, DAY[0])
    os.utime(path)
    assert night(home, source, DAY[1]) == []
    path.unlink()
    (source / "b.csv").rename(source / "z.csv")
    assert night(home, source, DAY[2]) == []
    assert lines(home, source, DAY[2]) == ["a1", "b1"]


def test_a_source_that_moves_is_not_read_again(home: Settings, tmp_path: Path) -> None:
    deliver(tmp_path / "in", "a.csv", "a1")
    night(home, tmp_path / "in", DAY[0])
    (tmp_path / "in").rename(tmp_path / "elsewhere")
    assert night(home, tmp_path / "elsewhere", DAY[1]) == []


def test_dated_files_are_known_the_day_after_and_late_ones_when_they_were_seen(home: Settings, tmp_path: Path) -> None:
    source = tmp_path / "in"
    for day in ("2026-03-01", "2026-03-02", "2026-03-04"):
        deliver(source, f"{day}.csv", day)
    assert len(night(home, source, DAY[5], dated=True)) == 3
    assert lines(home, source, DAY[1]) == ["2026-03-01"], "a backfill sees the files of its date"
    assert lines(home, source, DAY[0]) == [], "dated files are never taken before their date"
    deliver(source, "2026-03-03.csv", "late")
    deliver(source, "2026-03-02.csv", "corrected")
    assert night(home, source, DAY[2], dated=True) == [], "what came later is not read by a backfill"
    assert night(home, source, DAY[6], dated=True) == ["2026-03-02.csv", "2026-03-03.csv"]
    assert lines(home, source, DAY[5]) == ["2026-03-01", "2026-03-02", "2026-03-04"]
    assert lines(home, source, DAY[6]) == ["2026-03-01", "2026-03-04", "corrected", "late"]
    assert history(home, source).digest(DAY[5]) != history(home, source).digest(DAY[6])


def test_before_the_first_night_undated_files_are_taken_as_they_were_first(home: Settings, tmp_path: Path) -> None:
    source = tmp_path / "in"
    deliver(source, "a.csv", "a1")
    night(home, source, DAY[5])
    deliver(source, "b.csv", "b1")
    night(home, source, DAY[6])
    kept = history(home, source)
    assert len(kept.tables(DAY[1])) == 1
    assert lines(home, source, DAY[1]) == ["a1"]
    assert "nothing was read before 2026-03-06" in kept.notices[0]
    assert kept.is_past(DAY[1])
    deliver(source, "c.csv", "c1")
    assert kept.plan(sorted(source.glob("*")), DAY[1]) == []
    assert "not known at 2026-03-02: c.csv" in kept.notices[1]


def test_a_killed_night_goes_on_where_it_was(home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "in"
    for name in "abc":
        deliver(source, f"{name}.csv", name)
    kept = history(home, source)
    first, second, third = kept.plan(sorted(source.glob("*")), DAY[0])
    kept.add(rows_of(first), as_of=DAY[0], file=first)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    for name in ("rename", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, dies)
            with pytest.raises(KeyboardInterrupt):
                kept.add(rows_of(second), as_of=DAY[0], file=second)
        assert lines(home, source, DAY[0]) == ["a"]
    assert list(home.staging.iterdir()) == []
    assert night(home, source, DAY[0]) == ["b.csv", "c.csv"]
    assert lines(home, source, DAY[0]) == ["a", "b", "c"]
    kept.add(rows_of(third), as_of=DAY[0], file=third)
    assert lines(home, source, DAY[0]) == ["a", "b", "c"], "the slower of two attempts adds nothing"


def test_a_file_that_changes_while_it_is_read_is_refused(home: Settings, tmp_path: Path) -> None:
    path = deliver(tmp_path / "in", "a.csv", "a1")
    kept = history(home, tmp_path / "in")
    kept.plan([path], DAY[0])

    def write(folder: Path) -> int:
        rows = rows_of(path)(folder)
        path.write_text("a1 and more")
        return rows

    with pytest.raises(DataError, match="changed while it was read"):
        kept.add(write, as_of=DAY[0], file=path)
    assert kept.increments(DAY[0]) == []


def test_files_that_cannot_be_read_are_all_named(home: Settings, tmp_path: Path) -> None:
    path = deliver(tmp_path / "in", "a.csv", "a1")
    with pytest.raises(DataError) as caught:
        history(home, tmp_path / "in").plan([path, tmp_path / "in" / "x.csv", tmp_path / "in" / "y.csv"], DAY[0])
    assert [fault.split("/")[-1] for fault in caught.value.faults] == [
        "x.csv: No such file or directory",
        "y.csv: No such file or directory",
    ]


def test_another_way_of_reading_reads_again_but_knows_nothing_later(home: Settings, tmp_path: Path) -> None:
    source = tmp_path / "in"
    deliver(source, "a.csv", "old")
    night(home, source, DAY[0])
    deliver(source, "a.csv", "new")
    night(home, source, DAY[1])
    before = history(home, source).digest(DAY[1])
    assert night(home, source, DAY[2], reading="tabs") == ["a.csv"]
    assert night(home, source, DAY[3], reading="tabs") == []
    for reading in ("", "tabs"):
        kept = history(home, source, reading)
        assert [item.reading for item in kept.increments(DAY[1])] == [reading]
        assert [item.reading for item in kept.increments(DAY[0])] == [""], "that version is gone: as it was read"
    assert history(home, source).digest(DAY[1]) == before != history(home, source, "tabs").digest(DAY[1])


def test_a_database_grows_by_its_watermark(home: Settings) -> None:
    kept = History(home, "demo", "orders")
    marks = [3, 3.5, "b", Decimal("1.25"), date(2026, 3, 1), DAY[3]]
    assert kept.watermark(DAY[0]) is None
    for number, mark in enumerate(marks):
        table = pa.table({"n": [number]})
        added = kept.add(lambda folder, t=table: storage.write_table(t, folder), as_of=DAY[number], watermark=mark)
        assert added is not None
        assert kept.watermark(DAY[number]) == mark
        assert type(kept.watermark(DAY[number])) is type(mark)
    empty = pa.table({"n": pa.array([], pa.int64())})
    assert kept.add(lambda folder: storage.write_table(empty, folder), as_of=DAY[8], watermark=DAY[3]) is None
    assert len(kept.tables(DAY[9])) == len(marks)
    assert len(kept.tables(DAY[2])) == 3
    with pytest.raises(DataError, match="cannot be remembered"):
        kept.add(lambda folder: storage.write_table(pa.table({"n": [1]}), folder), as_of=DAY[9], watermark=b"x")


def test_a_whole_read_of_a_database_replaces_what_was(home: Settings) -> None:
    kept = History(home, "demo", "shops")
    for number, values in enumerate(([1, 2], [1, 2], [1, 2, 3])):
        table = pa.table({"n": values})
        added = kept.add(lambda folder, t=table: storage.write_table(t, folder), as_of=DAY[number], whole=True)
        assert (added is None) == (number == 1), "the same rows again are nothing new"
    read = [storage.read_table(table)["n"].to_pylist() for table in kept.tables(DAY[5])]
    assert read == [[1, 2, 3]]
    assert [item.rows for item in kept.increments(DAY[1])] == [2]


def test_damage_is_found_before_use(home: Settings, tmp_path: Path) -> None:
    source = tmp_path / "in"
    deliver(source, "a.csv", "a1 a2 a3")
    night(home, source, DAY[0])
    part = next(home.storage.glob("history/demo/main/*/rows/*.parquet"))
    content = part.read_bytes()
    part.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
    with pytest.raises(DataError, match="damaged"):
        history(home, source).tables(DAY[0])
    (part.parents[1] / "manifest.json").write_text("{}")
    with pytest.raises(DataError, match="an increment of a source's history is damaged"):
        history(home, source).increments(DAY[0])


def test_as_recorded_nothing_is_read(home: Settings, tmp_path: Path) -> None:
    source = tmp_path / "in"
    deliver(source, "a.csv", "a1")
    night(home, source, DAY[0])
    deliver(source, "a.csv", "changed")
    index = (home.storage / "history" / "demo" / "main" / INDEX).read_text()
    with as_recorded():
        assert night(home, source, DAY[5]) == []
        assert lines(home, source, DAY[5]) == ["a1"]
    assert (home.storage / "history" / "demo" / "main" / INDEX).read_text() == index
    assert night(home, source, DAY[1]) == ["a.csv"]


def test_a_lost_index_costs_only_hashing(home: Settings, tmp_path: Path) -> None:
    deliver(tmp_path / "in", "a.csv", "a1")
    night(home, tmp_path / "in", DAY[0])
    (home.storage / "history" / "demo" / "main" / INDEX).write_text("{half")
    assert night(home, tmp_path / "in", DAY[1]) == []


@settings(max_examples=12)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans()), min_size=1, max_size=6))
def test_every_night_is_rebuilt_as_it_was(tmp_path_factory: pytest.TempPathFactory, events: list) -> None:
    folder = tmp_path_factory.mktemp("h")
    home = Settings(home=folder / "home").ensure()
    source = folder / "in"
    source.mkdir()
    seen = []
    for number, (name, content, gone) in enumerate(events):
        deliver(source, f"{name}.csv", f"{name}{content}")
        night(home, source, DAY[number])
        seen.append((lines(home, source, DAY[number]), history(home, source).digest(DAY[number])))
        if gone:
            (source / f"{name}.csv").unlink()
    for number, (rows, digest) in enumerate(seen):
        assert lines(home, source, DAY[number]) == rows
        assert history(home, source).digest(DAY[number]) == digest
