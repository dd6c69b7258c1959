"""Which files are found, what their names and folders say, and that a growing one is refused."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import DataError
from pipelines.ingestion.files import sources
from pipelines.ingestion.spec import Files
from pipelines.settings import Settings

AS_OF = datetime(2026, 1, 4, 2, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    for day in (1, 2, 3, 4):
        folder = tmp_path / "lake" / f"day=2026-01-0{day}" / "land=C%20H"
        folder.mkdir(parents=True)
        (folder / "part-0.csv").write_text(f"id,label\n{day},yes\n")
        (folder / ".part-1.csv").write_text("half")
        (folder / "_SUCCESS").touch()
    return tmp_path / "lake"


def test_folders_are_walked_and_give_columns(lake: Path, home: Settings, take_in: Any, make_night: Any) -> None:
    spec = Files(path=str(lake), file_date="day=%Y-%m-%d/*/*")
    files = sources.find_files(spec, AS_OF, home)
    assert [file.parts[-3:] for file in files] == [(f"day=2026-01-0{n}", "land=C%20H", "part-0.csv") for n in (1, 2, 3)]
    assert sources.partitions(files, sources.root_of(spec, home))[files[1]] == {"day": "2026-01-02", "land": "C H"}
    found = take_in(make_night("n", "2026-01-04T02:00:00", key=("id",)), source=spec)
    assert found.rows("id", "day", "land") == [(str(n), f"2026-01-0{n}", "C H") for n in (1, 2, 3)]
    assert found.report["increments"] == {"read": 3, "known": 3}
    flat = take_in(make_night("m", key=("id",), name="flat"), source=Files(path=str(lake), incremental=False))
    assert flat.rows("id", "day") == [(str(n), f"2026-01-0{n}") for n in (1, 2, 3, 4)]
    assert flat.report["increments"] == {"read": 0, "known": 0}


def test_a_glob_below_partitions(lake: Path, home: Settings) -> None:
    spec = Files(path=str(lake / "day=*" / "**" / "*.csv"))
    files = sources.find_files(spec, AS_OF, home)
    assert len(files) == 4
    assert sources.root_of(spec, home) == lake
    assert sources.is_incremental(spec, home)
    assert not sources.is_incremental(Files(path=str(files[0])), home)


def test_a_file_written_to_meanwhile_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("a\n1\n")
    before = sources.sizes([file])
    sources.refuse_changed(before)
    with file.open("a") as stream:
        stream.write("2\n")
    os.utime(file, ns=(before[file][1], before[file][1]))
    with pytest.raises(DataError, match="changed while"):
        sources.refuse_changed(before)
    file.unlink()
    with pytest.raises(DataError, match="changed while") as error:
        sources.refuse_changed(before)
    assert error.value.faults == ["a.csv"]


def test_json_is_a_table_where_nothing_else_is_one(
    tmp_path: Path, home: Settings, take_in: Any, make_night: Any
) -> None:
    folder = tmp_path / "export"
    (folder / "day=1").mkdir(parents=True)
    (folder / "part-00000-a1.c000.json").write_text('{"id": "1", "label": "yes"}\n')
    (folder / "day=1" / "rows-000000000001.json.gz").write_bytes(gzip.compress(b'{"id": "2", "label": "no"}\n'))
    (folder / ".hidden.json").write_text("{}")
    (folder / "_SUCCESS").touch()
    spec = Files(path=str(folder), incremental=False)
    found = take_in(make_night("n", key=("id",)), source=spec)
    assert sorted(found.rows("id", "day")) == [("1", None), ("2", "1")]
    assert sources.is_named(Files(path=str(folder / "rows.json")), home, "rows.json")
    assert not sources.is_named(Files(path=str(folder / "rows.json")), home, "other.json")
    (folder / "rows.csv").write_text("id,label\n3,yes\n")
    assert [file.name for file in sources.find_files(spec, AS_OF, home)] == ["rows.csv"]


def test_what_is_in_a_folder_without_tables_is_shown(tmp_path: Path, home: Settings) -> None:
    (tmp_path / "photo.png").touch()
    with pytest.raises(DataError, match="no source file") as error:
        sources.find_files(Files(path=str(tmp_path)), AS_OF, home)
    assert "photo.png" in error.value.seen
