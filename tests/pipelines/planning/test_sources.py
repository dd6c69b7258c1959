"""Rows that a night will read: by size and earlier nights, by their trend, by footers and lines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.artifacts import Night
from pipelines.ingestion.spec import Files, IngestSpec, Sql
from pipelines.planning.growth import Estimate
from pipelines.planning.history import PastNight, Run
from pipelines.planning.sources import rows_to_read, source_bytes
from pipelines.settings import Settings

MakeNight = Callable[..., Night]


def nights(*rows: int, size: int | None = 10) -> list[PastNight]:
    first = datetime(2026, 2, 20, tzinfo=UTC)
    return [
        PastNight(first + timedelta(days=day), 60.0, {"ingest": Run(count, 1.0)}, size and count * size)
        for day, count in enumerate(rows)
    ]


def test_files_of_a_known_model_are_their_size_times_its_rows_per_byte(
    home: Settings, make_night: MakeNight, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_bytes(b"x" * 40_000)
    spec = IngestSpec(source=str(tmp_path / "in.csv"))
    assert source_bytes(home, make_night(), spec) == 40_000
    found = rows_to_read(home, make_night(), spec, nights(1000, 2000, 1500, 2500, 3000))
    assert found is not None
    assert found.value == pytest.approx(4000, rel=0.01)


def test_a_database_follows_the_trend_of_its_nights(home: Settings, make_night: MakeNight) -> None:
    spec = IngestSpec(source=Sql(query="select 1", connection="SHOP"))
    assert source_bytes(home, make_night(), spec) is None
    found = rows_to_read(
        home, make_night(as_of="2026-03-02T00:00:00"), spec, nights(*range(1000, 1500, 100), size=None)
    )
    assert found is not None
    assert found.value == pytest.approx(2000)
    assert rows_to_read(home, make_night(), spec, []) is None


def test_a_first_night_counts_footers_and_lines(home: Settings, make_night: MakeNight, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": range(777)}), tmp_path / "in.parquet")
    exact = rows_to_read(home, make_night(), IngestSpec(source=str(tmp_path / "in.parquet")), [])
    assert exact == Estimate.exactly(777.0)
    (tmp_path / "lines.csv").write_text("a,b\n" + "1234567,abcdefgh\n" * 5000)
    found = rows_to_read(home, make_night(), IngestSpec(source=str(tmp_path / "lines.csv")), [])
    assert found is not None
    assert found.value == pytest.approx(5000, rel=0.01)
    assert found.low < found.value < found.high
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(b"\x1f\x8b")
    assert rows_to_read(home, make_night(), IngestSpec(source=str(packed)), []) is None
    assert rows_to_read(home, make_night(), IngestSpec(source=Files(path=str(tmp_path / "none.csv"))), []) is None
