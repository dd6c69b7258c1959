"""Stored requests with the predictions they got: golden rows, and logged requests exactly as they were sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.inference.model_directory import ModelDirectory
from pipelines.private_columns import private_cells

COLUMNS = ["request_id", "row", "version", "status", "instance", "prediction"]


class Stored(NamedTuple):
    """One request and its response."""

    source: str
    """Where it is from, for messages."""
    rows: list[dict[str, Any]]
    predictions: list[dict[str, Any]]


def golden_requests(opened: ModelDirectory) -> list[Stored]:
    """Return the golden rows of a version, each a request: so they were predicted when the version was made."""
    golden = opened.golden
    pairs = zip(golden["rows"], golden["answers"], strict=True)
    return [Stored(f"golden row {number}", [row], [held]) for number, (row, held) in enumerate(pairs)]


def logged_requests(storage: Path, opened: ModelDirectory, version: int, most: int) -> list[Stored]:
    """Return the newest requests that a version predicted, whole; the others are left out.

    A request is not whole if the log lacks rows of it, or cells that a prediction needs because they are private.
    Damaged files are left out, too.
    """
    found: list[Stored] = []
    for path in _newest_first(storage / "predictions" / opened.facts["model"]):
        if len(found) >= most:
            break
        try:
            table = pq.ParquetFile(path, page_checksum_verification=True).read(columns=COLUMNS)
        except (pa.ArrowException, OSError, KeyError):
            continue
        by_request: dict[str, list[dict[str, Any]]] = {}
        for row in table.to_pylist():
            if row["version"] == version and row["status"] == 200:
                by_request.setdefault(row["request_id"], []).append(row)
        whole = (_whole(request, rows, opened) for request, rows in reversed(by_request.items()))
        found += [stored for stored in whole if stored is not None]
    return found[:most]


def _whole(request: str, rows: list[dict[str, Any]], opened: ModelDirectory) -> Stored | None:
    rows = sorted(rows, key=lambda row: row["row"])
    if [row["row"] for row in rows] != list(range(len(rows))):
        return None
    if any(row["instance"] is None or row["prediction"] is None for row in rows):
        return None
    sent = [json.loads(row["instance"]) for row in rows]
    if any(private_cells(row, opened.schema.names, opened.schema.private) for row in sent):
        return None
    return Stored(f"request {request}", sent, [json.loads(row["prediction"]) for row in rows])


def _newest_first(folder: Path) -> Iterator[Path]:
    for day in sorted((path for path in folder.glob("*") if path.is_dir()), reverse=True):
        yield from sorted(day.glob("*.parquet"), reverse=True)
