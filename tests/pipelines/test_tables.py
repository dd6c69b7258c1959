"""Tables are written by several threads, in order, in bounded parts, with a digest that needs no second look."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import storage
from pipelines.storage import DiskFullError, digests, table_parts, tables

GOLDEN = "8c521865661443aeb572502e17445ae0cc616e31212d409ed4e407654a253b98"
SCHEMA = pa.schema([("n", pa.int64()), ("x", pa.float64()), ("s", pa.string()), ("k", pa.string())])


def batches(rows: int, size: int = 500) -> Iterator[pa.RecordBatch]:
    for start in range(0, rows, size):
        n = np.arange(start, min(start + size, rows))
        texts = pa.array([f"t{item % 7}" for item in n])
        keys = pa.array([f"k{item}" for item in n])
        x = pa.array(np.sin(n), mask=n % 5 == 0)
        yield pa.RecordBatch.from_arrays([pa.array(n), x, texts, keys], schema=SCHEMA)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_parts, "PART_ROWS", 2_000)
    monkeypatch.setattr(tables, "ROW_GROUP", 1_000)
    monkeypatch.setattr(table_parts, "ROW_GROUP", 1_000)
    monkeypatch.setattr(tables, "threads", lambda: 3)


@pytest.mark.usefixtures("small_parts")
def test_parts_are_bounded_and_in_order(tmp_path: Path) -> None:
    assert storage.write_table(batches(9_300), tmp_path / "t", SCHEMA) == 9_300
    parts = sorted((tmp_path / "t").glob("*.parquet"))
    assert [pq.ParquetFile(part).metadata.num_rows for part in parts] == [2_000] * 4 + [1_300]
    first = pq.ParquetFile(parts[0]).metadata
    assert [first.row_group(index).num_rows for index in range(first.num_row_groups)] == [1_000, 1_000]
    assert storage.read_table(tmp_path / "t")["n"].to_pylist() == list(range(9_300))
    assert pq.read_table(tmp_path / "t").num_rows == 9_300, "other readers take the folder as it is"


@pytest.mark.usefixtures("small_parts")
def test_parts_are_bounded_in_bytes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_parts, "PART_BYTES", int(next(batches(500)).nbytes * 2.2))
    storage.write_table(batches(2_500), tmp_path / "t", SCHEMA)
    assert len(list((tmp_path / "t").glob("*.parquet"))) == 3


def test_dictionaries_only_for_texts_that_repeat(tmp_path: Path) -> None:
    storage.write_table(batches(3_000), tmp_path / "t", SCHEMA)
    group = pq.ParquetFile(tmp_path / "t" / "part-00000.parquet").metadata.row_group(0)
    coded = {SCHEMA.names[index]: group.column(index).dictionary_page_offset is not None for index in range(4)}
    assert coded == {"n": False, "x": False, "s": True, "k": False}


@pytest.mark.usefixtures("small_parts")
def test_recorded_digest_is_that_of_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write_table(batches(9_300), tmp_path / "a" / "t", SCHEMA)
    storage.write_table(pa.Table.from_batches(batches(9_300, 77)), tmp_path / "b" / "t")
    expected = storage.table_digest(batches(9_300, 9_300), SCHEMA)
    facts = json.loads((tmp_path / "a" / "t" / tables.FACTS).read_text())
    assert (facts["digest"], facts["rows"]) == (expected, 9_300)
    assert tables.content_digest(tmp_path / "b" / "t") == expected
    whole = storage.describe(tmp_path / "a")[0]
    assert storage.describe(tmp_path / "b")[0] == whole
    (tmp_path / "a" / "t" / tables.FACTS).unlink()
    assert storage.describe(tmp_path / "a")[0] == whole, "the record only spares a second look"
    monkeypatch.setattr("pipelines.storage.folders.content_digest", lambda _: pytest.fail("read again"))
    assert storage.describe(tmp_path / "b")[0] == whole


def test_a_record_of_other_files_counts_for_nothing(tmp_path: Path) -> None:
    storage.write_table(batches(600), tmp_path / "a" / "t", SCHEMA)
    storage.write_table(batches(700), tmp_path / "b" / "t", SCHEMA)
    honest = storage.describe(tmp_path / "b")[0]
    (tmp_path / "a" / "t" / tables.FACTS).rename(tmp_path / "b" / "t" / tables.FACTS)
    assert storage.describe(tmp_path / "b")[0] == honest
    (tmp_path / "b" / "t" / tables.FACTS).write_text("{half")
    assert storage.describe(tmp_path / "b")[0] == honest


def test_an_empty_stream_is_a_table(tmp_path: Path) -> None:
    assert storage.write_table(iter(()), tmp_path / "t", SCHEMA) == 0
    assert storage.read_table(tmp_path / "t").schema.equals(SCHEMA)
    assert storage.describe(tmp_path)[0] == storage.describe(tmp_path)[0]


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("part", [0, 2])
def test_a_disk_that_fills_up_in_any_part_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    real = pq.ParquetWriter

    class Full(real):
        def __init__(self, path: Path, *arguments: object, **options: object) -> None:
            self._full = path.name == f"part-{part:05d}.parquet"
            super().__init__(path, *arguments, **options)

        def write_table(self, *arguments: object, **options: object) -> None:
            if self._full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            super().write_table(*arguments, **options)

    monkeypatch.setattr(pq, "ParquetWriter", Full)
    taken = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal taken
        for batch in batches(200_000):
            taken += batch.num_rows
            yield batch

    with pytest.raises(DiskFullError):
        storage.write_table(counted(), tmp_path / "t", SCHEMA)
    assert taken < 50_000, "the rest is not read in vain"


@pytest.mark.usefixtures("small_parts")
def test_a_source_that_fails_is_its_own_error(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from batches(5_000)
        raise ValueError("the source is gone")

    with pytest.raises(ValueError, match="the source is gone"):
        storage.write_table(broken(), tmp_path / "t", SCHEMA)
    assert not (tmp_path / "t" / tables.FACTS).exists()


@settings(max_examples=15)
@given(st.integers(1, 400), st.integers(1, 5), st.integers(1, 90))
def test_digest_is_the_same_for_any_number_of_threads(rows: int, threads: int, size: int) -> None:
    expected = digests.table_digest(batches(rows, rows), SCHEMA)
    assert digests.table_digest(batches(rows, size), SCHEMA, threads) == expected


def test_digest_golden() -> None:
    """Digests recorded by earlier versions stay comparable."""
    table = pa.table(
        {
            "i": pa.array([1, None, -3]),
            "f": pa.array([0.5, None, float("nan")]),
            "s": pa.array(["a", None, "ü"]),
            "b": pa.array([True, None, False]),
            "t": pa.array([0, None, 5], pa.timestamp("us", "UTC")),
        }
    )
    assert storage.table_digest(table.to_batches(), table.schema) == GOLDEN


def test_a_wide_table_is_read_fewer_rows_at_a_time() -> None:
    assert tables.batch_rows(20) == tables.ROW_GROUP
    assert tables.batch_rows(10_000) * 10_000 <= tables.BATCH_CELLS
    assert tables.batch_rows(10**9) == 1


def ways_of(path: Path) -> dict[str, str]:
    group = pq.ParquetFile(path).metadata.row_group(0)
    return {group.column(index).path_in_schema: group.column(index).compression for index in range(group.num_columns)}


def test_numbers_that_hardly_shrink_are_not_compressed(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    table = pa.table(
        {
            "noise": draw.normal(size=2_000),
            "steps": np.arange(2_000) % 7 / 2,
            "none": pa.nulls(2_000, pa.float64()),
            "whole": np.arange(2_000),
            "a.b": draw.normal(size=2_000),
            "text": ["t"] * 2_000,
        }
    )
    storage.write_table(table, tmp_path / "t")
    (part,) = (tmp_path / "t").glob("*.parquet")
    plain = {name for name, codec in ways_of(part).items() if codec == "UNCOMPRESSED"}
    assert plain == {"noise", "a.b"}
    assert storage.read_table(tmp_path / "t").equals(table)


def test_nested_columns_are_compressed_like_the_others(tmp_path: Path) -> None:
    table = pa.table({"n": np.random.default_rng(0).normal(size=900), "l": [[1.5, 2.5]] * 900})
    storage.write_table(table, tmp_path / "t")
    (part,) = (tmp_path / "t").glob("*.parquet")
    assert set(ways_of(part).values()) == {"ZSTD"}
    assert storage.read_table(tmp_path / "t").equals(table)
