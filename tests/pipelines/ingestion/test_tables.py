"""Nights that read only what arrived since, and tables as they were known then."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.errors import DataError
from pipelines.ingestion.spec import Files, IngestSpec
from pipelines.ingestion.stage import fingerprint
from pipelines.settings import Settings
from pipelines.storage import read_table


def write(folder: Path, day: int, rows: int = 3, extra: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    lines = [f"{day}-{n},{n},{'yes' if n % 2 else 'no'}" for n in range(rows)]
    path = folder / f"f-2026-01-{day:02d}.csv"
    path.write_text("\n".join(["id,x,label", *lines]) + "\n" + extra)
    return path


@pytest.fixture
def spec(tmp_path: Path) -> dict[str, Any]:
    for day in (1, 2):
        write(tmp_path / "feed", day)
    return {"source": Files(path=str(tmp_path / "feed"), file_date="f-%Y-%m-%d.csv")}


def test_a_night_reads_only_what_is_new(
    take_in: Any, make_night: Any, spec: dict[str, Any], tmp_path: Path, home: Settings
) -> None:
    first = take_in(make_night("n1", "2026-01-03T02:00:00", key=("id",)), **spec)
    assert (first.report["increments"], first.outcome.rows) == ({"read": 2, "known": 2}, 6)
    write(tmp_path / "feed", 3)
    second = take_in(make_night("n2", "2026-01-04T02:00:00", key=("id",)), **spec)
    assert (second.report["increments"], second.outcome.rows) == ({"read": 1, "known": 3}, 9)
    assert [file["name"] for file in second.report["sources"]] == [f"f-2026-01-0{n}.csv" for n in (1, 2, 3)]
    backfill = take_in(make_night("n3", "2026-01-03T02:00:00", key=("id",)), **spec)
    assert backfill.raw.equals(first.raw)
    night = make_night("n4", "2026-01-03T02:00:00", key=("id",))
    before = fingerprint(IngestSpec(**spec), night, home)
    write(tmp_path / "feed", 1, rows=4)
    assert fingerprint(IngestSpec(**spec), night, home) == before


def test_corrections_are_known_from_the_night_that_saw_them(
    take_in: Any, make_night: Any, spec: dict[str, Any], tmp_path: Path, home: Settings
) -> None:
    first = take_in(make_night("n1", "2026-01-03T02:00:00", key=("id",)), **spec)
    tonight = make_night("n2", "2026-01-04T02:00:00", key=("id",))
    before = fingerprint(IngestSpec(**spec), tonight, home)
    write(tmp_path / "feed", 1, rows=5)
    assert fingerprint(IngestSpec(**spec), tonight, home) != before
    planned = fingerprint(IngestSpec(**spec), tonight, home)
    second = take_in(tonight, **spec)
    assert (second.report["increments"], second.outcome.rows) == ({"read": 1, "known": 2}, 8)
    assert fingerprint(IngestSpec(**spec), tonight, home) == planned
    assert take_in(make_night("n3", "2026-01-03T02:00:00", key=("id",)), **spec).raw.equals(first.raw)


def test_rows_of_a_file_that_is_gone_are_kept(
    take_in: Any, make_night: Any, spec: dict[str, Any], tmp_path: Path
) -> None:
    take_in(make_night("n1", "2026-01-03T02:00:00", key=("id",)), **spec)
    (tmp_path / "feed" / "f-2026-01-01.csv").unlink()
    found = take_in(make_night("n2", "2026-01-04T02:00:00", key=("id",)), **spec)
    assert found.outcome.rows == 6
    assert any("gone from the source" in notice and "f-2026-01-01.csv" in notice for notice in found.report["notices"])


def test_a_path_that_names_other_files_leaves_the_rest_out_and_reads_what_it_adds(
    take_in: Any, make_night: Any, tmp_path: Path
) -> None:
    for region, day in (("eu", 1), ("eu", 2), ("us", 1)):
        (tmp_path / region).mkdir(exist_ok=True)
        write(tmp_path / region, day).rename(tmp_path / region / f"{region}-{day}.csv")

    def names(night: int, path: str) -> list[str]:
        found = take_in(
            make_night(f"n{night}", f"2026-01-{night:02}T02:00:00", key=("id",)), source=str(tmp_path / path)
        )
        assert found.outcome.rows == 3 * len(found.report["sources"])
        return [file["name"] for file in found.report["sources"]]

    assert names(3, "*/*.csv") == ["eu-1.csv", "eu-2.csv", "us-1.csv"]
    assert names(4, "*/eu-*.csv") == ["eu-1.csv", "eu-2.csv"]
    assert names(5, "eu/*-1.csv") == ["eu-1.csv"]
    assert names(6, "eu") == ["eu-1.csv", "eu-2.csv"]
    assert names(7, "*/*.csv") == ["eu-1.csv", "eu-2.csv", "us-1.csv"]


def test_of_a_half_written_file_nothing_is_kept_and_the_next_night_reads_it(
    take_in: Any, make_night: Any, spec: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "feed" / "f-2026-01-03.csv"
    path.write_text("id,x,label\n3-0,1,yes\n3-1,")
    spec = {"source": spec["source"].model_copy(update={"max_rejected": 0.5})}
    with pytest.raises(DataError, match="breaks off"):
        take_in(make_night("n1", "2026-01-04T02:00:00", key=("id",)), **spec)
    path.write_text("id,x,label\n3-0,1,yes\n3-1,2,no\n")
    found = take_in(make_night("n2", "2026-01-04T02:00:00", key=("id",)), **spec)
    assert (found.report["increments"], found.outcome.rows) == ({"read": 3, "known": 3}, 8)


def test_a_truncated_archive_is_named(take_in: Any, make_night: Any, tmp_path: Path) -> None:
    whole = gzip.compress(b"id,label\n" + b"".join(b"%d,yes\n" % (n * 7919 % 99991) for n in range(50_000)))
    (tmp_path / "a.csv.gz").write_bytes(whole[: len(whole) // 2])
    source = Files(path=str(tmp_path / "*.csv.gz"))
    with pytest.raises(DataError, match="cannot be read") as error:
        take_in(make_night(), source=source)
    assert "a.csv.gz" in error.value.where
    (tmp_path / "a.csv.gz").write_bytes(whole)
    assert take_in(make_night(), source=source).outcome.rows == 50_000


def test_lines_that_do_not_fit_stay_with_their_increment(
    take_in: Any, make_night: Any, spec: dict[str, Any], tmp_path: Path
) -> None:
    spec = {"source": spec["source"].model_copy(update={"max_rejected": 0.2})}
    write(tmp_path / "feed", 2, extra="a,b,c,d\n")
    for night, day in (("n1", 3), ("n2", 4)):
        found = take_in(make_night(night, f"2026-01-0{day}T02:00:00", key=("id",)), **spec)
        assert (found.report["rejected"], found.outcome.rows) == (1, 6)
        kept = read_table(found.out / "rejected").to_pylist()
        assert [(row["table"], Path(row["file"]).name, row["line"], row["text"]) for row in kept] == [
            ("main", "f-2026-01-02.csv", 5, "a,b,c,d")
        ]
    write(tmp_path / "feed", 4, extra="a\n" * 4)
    with pytest.raises(DataError, match="do not fit"):
        take_in(make_night("n3", "2026-01-05T02:00:00", key=("id",)), **spec)


def test_a_column_without_a_value_one_day_keeps_its_type(take_in: Any, make_night: Any, tmp_path: Path) -> None:
    for day, value in ((1, "null"), (2, "7"), (3, "null")):
        (tmp_path / f"d-{day}.jsonl").write_text(f'{{"id": {day}, "v": {value}, "label": "yes"}}\n')
    found = take_in(make_night(key=("id",)), source=Files(path=str(tmp_path / "*.jsonl")))
    assert found.raw.schema.field("v").type == pa.int64()
    assert found.rows("id", "v") == [(1, None), (2, 7), (3, None)]
    assert found.report["notices"] == []
