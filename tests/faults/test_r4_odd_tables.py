"""R4: odd tables through ingest, sample, clean, split and features: a typed error or a documented result."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import stages, storage
from pipelines.artifacts import Artifact, Night, Ref
from pipelines.errors import DataError, GateError
from pipelines.settings import Settings

pytestmark = pytest.mark.fault
FULL = os.environ.get("AIMASS_FULL") == "1"
WIRES = {
    "ingest": {},
    "sample": {"raw": "ingest"},
    "clean": {"sampled": "sample"},
    "split": {"cleaned": "clean"},
    "features": {"split": "split", "cleaned": "clean"},
}
Walk = Callable[..., dict[str, Path]]
Rows = list[dict[str, Any]]


@pytest.fixture
def walk(home: Settings, tmp_path: Path, make_night: Callable[..., Night]) -> Walk:
    """Take bytes of a CSV through the stages; return the folder of each."""

    def through(
        data: bytes, *, file: str = "source.csv", specs: dict[str, dict[str, Any]] | None = None, **model: Any
    ) -> dict[str, Path]:
        work = Path(tempfile.mkdtemp(dir=tmp_path))
        source = work / file
        source.write_bytes(data)
        night = make_night(**{"key": ("id",), **model})
        folders: dict[str, Path] = {}
        for name, wires in WIRES.items():
            stage = stages.get(name)
            folders[name] = work / name
            folders[name].mkdir()
            inputs = {
                word: Artifact(ref=Ref(uri=f"nights/{made}", digest="", stage=made), path=folders[made])
                for word, made in wires.items()
            }
            fields = dict((specs or {}).get(name, {}))
            if name == "ingest":
                fields = {"source": {"kind": "files", **fields, "path": str(source)}}
            stage.load().run(stage.spec_class()(**fields), night=night, settings=home, out=folders[name], **inputs)
        return folders

    return through


def rows(count: int = 300, **changed: Callable[[int], Any]) -> Rows:
    plain: dict[str, Callable[[int], Any]] = {
        "id": lambda row: row,
        "amount": lambda row: (row * 37) % 101,
        "colour": lambda row: ("red", "green", "blué")[row % 3],
        "label": lambda row: ("yes", "no")[(row * 7) % 5 > 2],
    }
    return [{name: cell(row) for name, cell in {**plain, **changed}.items()} for row in range(count)]


def text(table: Rows, names: list[str] | None = None) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names or list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    return stream.getvalue()


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def adds_up(folders: dict[str, Path]) -> dict[str, Any]:
    counts = report(folders["clean"])
    assert counts["in"] == sum(counts[p] for p in ("clean", "quarantined", "duplicates", "filtered", "unlabelled"))
    return counts


def test_the_plain_table_goes_through(walk: Walk) -> None:
    folders = walk(text(rows()).encode())
    assert adds_up(folders)["clean"] == 300
    assert (folders["features"] / "plan" / "plan.json").exists()


def test_no_rows(walk: Walk) -> None:
    with pytest.raises(DataError, match="no row"):
        walk(b"id,amount,colour,label\r\n")


def test_an_empty_file(walk: Walk) -> None:
    with pytest.raises(DataError):
        walk(b"")


def test_one_row(walk: Walk) -> None:
    with pytest.raises(DataError, match="one class"):
        walk(text(rows(1)).encode())


def test_two_rows_of_both_classes(walk: Walk) -> None:
    with pytest.raises((DataError, GateError)) as caught:
        walk(text(rows(2, label=lambda row: ("yes", "no")[row])).encode())
    assert caught.value.cure


def test_one_class(walk: Walk) -> None:
    with pytest.raises(DataError, match="one class") as caught:
        walk(text(rows(label=lambda _: "yes")).encode())
    assert "'yes' (300)" in caught.value.seen


def test_a_target_without_any_value(walk: Walk) -> None:
    with pytest.raises(DataError, match="no row is left") as caught:
        walk(text(rows(label=lambda _: "")).encode())
    assert "300 unlabelled" in caught.value.seen


def test_a_constant_column_is_left_out(walk: Walk) -> None:
    folders = walk(text(rows(same=lambda _: 7, word=lambda _: "x", none=lambda _: "")).encode())
    adds_up(folders)
    names = [feature["name"] for feature in report(folders["features"])["features"]]
    assert not [name for name in names if name.startswith(("same", "word", "none"))]


def test_a_class_with_one_member(walk: Walk) -> None:
    table = rows(label=lambda row: "rare" if row == 8 else ("a", "b")[row % 2])
    assert adds_up(walk(text(table).encode(), task="multiclass"))["labels"] == {"a": 149, "b": 150, "rare": 1}


def huge_cell() -> Rows:
    return rows(colour=lambda row: "x" * 10_000_000 if row == 5 else ("red", "blue")[row % 2])


def test_a_line_of_ten_megabytes_stops_the_night_or_is_put_aside(walk: Walk) -> None:
    with pytest.raises(DataError, match="do not fit") as caught:
        walk(text(huge_cell()).encode())
    assert len(str(caught.value)) < 2_000
    folders = walk(text(huge_cell()).encode(), specs={"ingest": {"max_rejected": 0.05}})
    assert adds_up(folders)["in"] == 299
    assert storage.read_table(folders["ingest"] / "rejected").num_rows >= 1


def test_a_cell_of_ten_megabytes_is_held(walk: Walk) -> None:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(huge_cell()), stream)
    folders = walk(stream.getvalue(), file="source.parquet")
    assert adds_up(folders)["quarantined"] == 1
    held = storage.read_table(folders["clean"] / "quarantine")
    assert held["id"].to_pylist() == [5]
    assert len(held["_reason"][0].as_py()) < 200
    assert (folders["clean"] / "report.json").stat().st_size < 100_000


def test_a_byte_order_mark_is_no_part_of_a_name(walk: Walk) -> None:
    folders = walk(text(rows()).encode("utf-8-sig"))
    assert storage.dataset(folders["ingest"] / "raw").schema.names[0] == "id"
    assert adds_up(folders)["clean"] == 300


def test_latin_1_is_read_with_a_notice(walk: Walk) -> None:
    folders = walk(text(rows()).encode("latin-1"))
    assert any("latin-1" in notice for notice in report(folders["ingest"])["notices"])
    assert "blué" in set(storage.read_table(folders["clean"] / "cleaned")["colour"].to_pylist())


def test_doubled_ids_leave_one_row_each(walk: Walk) -> None:
    folders = walk(text(rows(id=lambda row: row // 2)).encode())
    counts = adds_up(folders)
    assert (counts["clean"], counts["duplicates"]) == (150, 150)
    assert storage.read_table(folders["clean"] / "cleaned")["amount"][0].as_py() == 37.0


def test_numbers_beyond_all_bounds(walk: Walk) -> None:
    huge = {3: "1" + "0" * 400, 4: "-1e999", 5: str(2**70), 6: str(-(2**63)), 7: "9223372036854775808", 8: "1e-400"}
    folders = walk(text(rows(amount=lambda row: huge.get(row, row))).encode())
    assert adds_up(folders)["quarantined"] == 2
    held = storage.read_table(folders["clean"] / "quarantine")
    assert held["id"].to_pylist() == ["3", "4"]
    clean = storage.read_table(folders["clean"] / "cleaned")
    cells = dict(zip(clean["_key"].to_pylist(), clean["amount"].to_pylist(), strict=True))
    assert [cells[key] for key in "5678"] == [2.0**70, -(2.0**63), 2.0**63, 0.0]


def test_moments_of_any_precision_and_any_year(walk: Walk) -> None:
    table = rows(
        at=lambda row: f"2026-01-{1 + row % 28:02}T10:00:00.123456",
        until=lambda row: "9999-12-31" if row % 3 else "2025-06-01",
        since=lambda row: "0001-01-01" if row % 4 else "1600-01-01",
    )
    specs = {"sample": {"fraction": 0.9, "half_life_days": 30.0}, "split": {"leaks": "warn"}}
    folders = walk(text(table).encode(), specs=specs, time="at")
    assert adds_up(folders)["quarantined"] == 0
    assert report(folders["split"])["how"] == "blocks of days"
    odd = rows(at=lambda row: f"{(1, 1600, 2026, 2026)[row % 4]:04}-01-{1 + row % 28:02}")
    assert adds_up(walk(text(odd).encode(), specs=specs, time="at"))["quarantined"] == 0


def test_columns_by_the_thousand(walk: Walk) -> None:
    width = 10_000 if FULL else 1_100
    wide = {f"x{index}": (lambda row, index=index: (row * (index + 3)) % 17) for index in range(width)}
    folders = walk(text(rows(150, **wide)).encode())
    assert adds_up(folders)["clean"] == 150
    assert len(report(folders["clean"])["kinds"]) == width + 4
