"""Reads a table by partition, as frames whose types do not depend on the partition."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.storage import dataset

MAX_ROWS = 500_000
"""Most rows of one partition."""
MAX_CELLS = 30_000_000
"""Most cells of one partition: wide tables are cut into shorter ones."""
_BATCH = 65_536


class Partitions:
    """The columns ``names`` of a folder of Parquet, in row order; never more than one partition is in memory.

    Parameters
    ----------
    rows
        Rows of a partition; by default as many as ``MAX_ROWS`` and ``MAX_CELLS`` allow.
    """

    def __init__(self, folder: Path, names: Collection[str] | None = None, rows: int | None = None) -> None:
        self._files = sorted(folder.glob("*.parquet"))
        schema = dataset(folder).schema
        self.names = [name for name in schema.names if names is None or name in names]
        self.schema = pa.schema([schema.field(name) for name in self.names])
        self.rows = rows or max(1, min(MAX_ROWS, MAX_CELLS // max(1, len(self.names))))
        self.seen = 0
        """Partitions given out so far."""

    def frames(self) -> Iterator[pd.DataFrame]:
        """Yield the partitions; at least one, which may be empty."""
        gaps = self._columns_with_gaps()
        for table in self._tables():
            self.seen += 1
            yield _frame(table, gaps)

    def _tables(self) -> Iterator[pa.Table]:
        held: list[pa.RecordBatch] = []
        count = 0
        for batch in self._batches(self.names):
            while count + batch.num_rows >= self.rows:
                room = self.rows - count
                yield pa.Table.from_batches([*held, batch.slice(0, room)], schema=self.schema)
                held, count, batch = [], 0, batch.slice(room)
            if batch.num_rows:
                held.append(batch)
                count += batch.num_rows
        if held or not self.seen:
            yield pa.Table.from_batches(held, schema=self.schema)

    def _columns_with_gaps(self) -> set[str]:
        """Return the whole-number and truth columns that have a null anywhere: pandas reads those as another type."""
        names = [field.name for field in self.schema if _changes_with_gaps(field.type)]
        found: set[str] = set()
        for batch in self._batches(names) if names else ():
            found |= {name for name in names if batch[name].null_count}
        return found

    def _batches(self, names: list[str]) -> Iterator[pa.RecordBatch]:
        """Read one row group after another; a scanner of the whole folder would hold what it has read ahead."""
        for path in self._files:
            with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
                yield from file.iter_batches(min(_BATCH, self.rows), columns=names)


def _changes_with_gaps(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _frame(table: pa.Table, gaps: Collection[str]) -> pd.DataFrame:
    for index, field in enumerate(table.schema):
        if field.name in gaps and pa.types.is_integer(field.type):
            table = table.set_column(index, field.name, pc.cast(table[field.name], pa.float64(), safe=False))
    frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
    for name in gaps:
        if frame[name].dtype.kind == "b":
            frame[name] = frame[name].astype(object)
    return frame


def columns_of(value: Any, known: Collection[str]) -> set[str] | None:
    """Return the columns that a rule's arguments name; None: it has a condition in text, which may name any."""
    named: set[str] = set()
    condition = value.get("row_condition")
    if isinstance(condition, str) or "pass_through" in _texts(condition):
        return None
    for key, item in value.items():
        if key in ("column", "column_A", "column_B"):
            named.add(item)
        elif key == "column_list":
            named |= set(item)
        elif key == "row_condition" and item is not None:
            named |= {text for text in _texts(item) if text in known}
    return named


def _texts(item: Any) -> Iterator[str]:
    if isinstance(item, str):
        yield item
    elif isinstance(item, dict):
        for part in item.values():
            yield from _texts(part)
    elif isinstance(item, list | tuple):
        for part in item:
            yield from _texts(part)
