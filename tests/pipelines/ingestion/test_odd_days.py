"""A folder with a file a day: some are empty, packed, in another order, or have other columns."""

from __future__ import annotations

import bz2
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.errors import DataError
from pipelines.ingestion.files import sources
from pipelines.ingestion.spec import Derived, Files, Join
from pipelines.settings import Settings


@pytest.fixture
def days(tmp_path: Path) -> Path:
    folder = tmp_path / "days"
    folder.mkdir()
    (folder / "d-1.csv").write_text("id,x,label\n1,5,yes\n")
    (folder / "d-2.csv").write_text("")
    (folder / "d-3.csv").write_text("label,x,id\nno,6,3\n")
    (folder / "d-4.csv").write_text("id,x,label\n")
    (folder / "d-5.csv").write_text("ID,x,label,coupon\n5,7,no,c\n")
    (folder / "d-6.csv").write_text("\n\n")
    return folder


def test_an_empty_day_has_no_rows_and_is_told_of_once(take_in: Any, make_night: Any, days: Path) -> None:
    first = take_in(make_night("n1", "2026-01-10T02:00:00", key=("id",)), source=str(days))
    assert first.rows("id", "x", "label") == [("1", "5", "yes"), ("3", "6", "no"), ("5", "7", "no")]
    notices = first.report["notices"]
    assert [sum(f"{name}: no row" in notice for notice in notices) for name in ("d-2.csv", "d-4.csv", "d-6.csv")] == [
        1
    ] * 3
    assert "column 'ID' of d-5.csv is taken for 'id'" in notices
    assert "'coupon': in 1 of 3 files only (d-5.csv); missing elsewhere" in notices
    assert (first.report["increments"], first.report["files"]) == ({"read": 6, "known": 6}, 6)
    (days / "d-2.csv").write_text("id,x,label\n2,1,yes\n")
    second = take_in(make_night("n2", "2026-01-11T02:00:00", key=("id",)), source=str(days))
    assert [row[0] for row in second.rows("id")] == ["1", "3", "5", "2"]
    assert not any("no row" in notice for notice in second.report["notices"])


def test_nothing_but_empty_days_is_an_error(take_in: Any, make_night: Any, tmp_path: Path) -> None:
    for day in (1, 2):
        (tmp_path / f"e-{day}.csv").write_text("")
    for incremental in (True, False):
        with pytest.raises(DataError, match=r"no row|empty"):
            take_in(make_night(), source=Files(path=str(tmp_path / "e-*.csv"), incremental=incremental))


def test_every_packing_is_read_from_a_folder(take_in: Any, make_night: Any, tmp_path: Path, home: Settings) -> None:
    folder = tmp_path / "packed"
    folder.mkdir()
    text = b"id,label\n%d,yes\n"
    (folder / "a.csv.bz2").write_bytes(bz2.compress(text % 1))
    (folder / "b.csv.zst").write_bytes(bytes(pa.compress(text % 2, "zstd", asbytes=True)))
    with zipfile.ZipFile(folder / "c.csv.zip", "w") as archive:
        archive.writestr("c.csv", text % 3)
    (folder / "c.csv").write_bytes(text % 3)
    (folder / "other.zip").write_bytes(b"no table")
    for incremental in (True, False):
        found = take_in(
            make_night(key=("id",), name=f"demo{incremental}".lower()),
            source=Files(path=str(folder), incremental=incremental),
        )
        assert found.rows("id") == [("1",), ("2",), ("3",)]
    for file in folder.glob("*.csv*"):
        file.unlink()
    left = sources.find_files(Files(path=str(folder)), datetime(2026, 1, 10, tzinfo=UTC), home)
    assert [file.name for file in left] == ["other.zip"]


def test_names_that_a_model_needs_tell_the_header(take_in: Any, make_night: Any, tmp_path: Path) -> None:
    (tmp_path / "towns.csv").write_text("Towns\nkey,kind\na,big\nb,small\n")
    (tmp_path / "rows.csv").write_text("1,2,key\n3,4,a\n5,6,b\n")
    night = make_night(task="multiclass", target="kind", key=())
    found = take_in(
        night,
        source=str(tmp_path / "rows.csv"),
        joins=[Join(name="towns", source=str(tmp_path / "towns.csv"), on=["key"])],
        derived=[Derived(name="sum", expression="`1` + `2`")],
    )
    assert found.raw.column_names[:5] == ["1", "2", "key", "sum", "kind"]
    assert found.rows("key", "kind") == [("a", "big"), ("b", "small")]
