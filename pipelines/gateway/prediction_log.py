"""The prediction log: what was asked for and what was predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.gateway.parquet_log import ParquetLog, memory
from pipelines.gateway.row_objects import json_lines

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
FEW_ROWS = 16
"""Rows of a request that become JSON at once: held as one text, they are nothing that garbage collection must visit."""


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
        By column, ``count`` cells each; or that as JSON lines.
    outputs
        By name, ``count`` values each; or that as JSON lines; empty where it failed.
    """

    request_id: str
    at: datetime
    model: str
    version: int | None
    status: int
    ms: float
    count: int
    cells: Mapping[str, Sequence[Any]] | str
    outputs: Mapping[str, Any] | str

    @property
    def rows(self) -> int:
        """Rows it takes in the log: one per instance, one for a request without any."""
        return max(1, self.count)

    @cached_property
    def size(self) -> int:
        """Bytes of memory that its cells take, about."""
        if isinstance(self.cells, str):
            return ROW_BYTES + len(self.cells) + len(self.outputs)
        return self.rows * ROW_BYTES + sum(memory(cells) for cells in self.cells.values())


def compact(columns: Mapping[str, Any], count: int) -> Mapping[str, Any] | str:
    """Return the columns of a request as they are best held: those of few rows as JSON lines."""
    return json_lines(columns) if columns and 0 < count <= FEW_ROWS else columns


def prediction_log(storage: Path, **limits: Any) -> ParquetLog[Answered]:
    """Return the log of predictions: one row per instance, below ``predictions/``."""
    return ParquetLog(storage / "predictions", SCHEMA, _columns_of, **limits)


def _columns_of(part: Sequence[Answered]) -> dict[str, list[Any] | pa.Array]:
    of_row = pa.array(np.repeat(np.arange(len(part)), [answered.rows for answered in part]))
    columns: dict[str, list[Any] | pa.Array] = {
        name: pa.array([getattr(answered, name) for answered in part], SCHEMA.field(name).type).take(of_row)
        for name in COMMON
    }
    instances: list[str | None] = []
    predictions: list[str | None] = []
    rows: list[int | None] = []
    for answered in part:
        instances += _texts(answered.cells) if answered.count else [None]
        predictions += _texts(answered.outputs) if answered.outputs else [None] * answered.rows
        rows += range(answered.count) if answered.count else [None]
    return {**columns, "instance": instances, "prediction": predictions, "row": rows}


def _texts(columns: Mapping[str, Any] | str) -> list[str]:
    lines = columns if isinstance(columns, str) else json_lines(columns)
    return lines.split("\n")[:-1]
