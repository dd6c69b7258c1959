"""Plans of format 1, which earlier releases wrote: one feature per column or part of a date."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipelines.inference.operations.base import Operation, Output
from pipelines.inference.operations.categorical import Codes
from pipelines.inference.operations.dates_ops import DateParts
from pipelines.inference.operations.numeric import Copy


def operations_of(data: Mapping[str, Any], directory: Path) -> tuple[tuple[Operation, ...], tuple[str, ...]]:
    """Return operations and outputs of a ``plan.json`` of format 1; long category lists lie beside it."""
    long: dict[str, list[str]] = {}
    if any(entry.get("categories") == "parquet" for entry in data["features"]):
        table = pq.read_table(directory / "categories.parquet", page_checksum_verification=True)
        for name, text in zip(table["feature"].to_pylist(), table["category"].to_pylist(), strict=True):
            long.setdefault(name, []).append(text)
    operations: list[Operation] = []
    for entry in data["features"]:
        name, inputs = entry["name"], (entry["source"],)
        if entry["kind"] == "code":
            categories = tuple(long[name] if entry["categories"] == "parquet" else entry["categories"])
            operations.append(Codes(inputs, (Output(name, "code", len(categories) + 1),), categories))
        elif entry["kind"] == "date":
            operations.append(DateParts(inputs, (Output(name),), (entry["part"],), int(entry["origin"])))
        elif name != entry["source"]:
            operations.append(Copy(inputs, (Output(name),)))
    return tuple(operations), tuple(entry["name"] for entry in data["features"])
