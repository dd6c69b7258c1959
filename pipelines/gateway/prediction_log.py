"""The prediction log: what was asked for and what was predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from pipelines.gateway.parquet_log import ParquetLog, memory
from pipelines.inference.records import by_row

_encode = msgspec.json.Encoder().encode

SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("model", pa.string()),
        ("version", pa.int64()),
        ("instance", pa.string()),
        ("prediction", pa.string()),
        ("status", pa.int64()),
        ("ms", pa.float64()),
        ("row", pa.int64()),
    ]
)
ROW_BYTES = 200
"""What a row takes besides its cells: its predictions, about."""
COMMON = ("request_id", "at", "model", "version", "status", "ms")


@dataclass(frozen=True)
class Answered:
    """One request and its response.

    Parameters
    ----------
    ms
        Time to the response, in milliseconds.
    count
        Rows that were asked for; 0 where the request could not be read.
    cells
        By column, ``count`` cells each.
    outputs
        By name, ``count`` values each; empty where it failed.
    """

    request_id: str
    at: datetime
    model: str
    version: int | None
    status: int
    ms: float
    count: int
    cells: Mapping[str, Sequence[Any]]
    outputs: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """Rows it takes in the log: one per instance, one for a request without any."""
        return max(1, self.count)

    @cached_property
    def size(self) -> int:
        """Bytes of memory that its cells take, about."""
        return self.rows * ROW_BYTES + sum(memory(cells) for cells in self.cells.values())


def prediction_log(storage: Path, **limits: Any) -> ParquetLog[Answered]:
    """Return the log of predictions: one row per instance, below ``predictions/``."""
    return ParquetLog(storage / "predictions", SCHEMA, _columns_of, **limits)


def _columns_of(answered: Answered) -> dict[str, list[Any]]:
    count = answered.count
    instances = by_row(answered.cells) if count else [None]
    predictions = by_row(answered.outputs) if answered.outputs else [None] * max(1, count)
    common = {name: [getattr(answered, name)] * max(1, count) for name in COMMON}
    return {
        **common,
        "instance": [None if row is None else _encode(row).decode() for row in instances],
        "prediction": [None if row is None else _encode(row).decode() for row in predictions],
        "row": [*range(count)] or [None],
    }
