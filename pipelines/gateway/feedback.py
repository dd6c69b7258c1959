"""Labels that callers learn later: kept beside the prediction log, joined with it by request id and row."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.gateway.errors import RequestError
from pipelines.gateway.parquet_log import ParquetLog, memory

CSV = "text/csv"
TYPES = ("application/json", CSV)
MAX_LABELS = 10_000
NAMES = ("request_id", "row", "label")
SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        ("row", pa.int64()),
        ("label", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("token", pa.string()),
    ]
)
EXPECTED = '{"model": NAME, "feedback": [{"request_id": …, "row": 0, "label": …}]}'


@dataclass(frozen=True)
class Labels:
    """Labels that came in one request: (request id, row, label as text)."""

    model: str
    at: datetime
    token: str
    labels: Sequence[tuple[str, int, str]]

    @property
    def rows(self) -> int:
        """Rows it takes in the log."""
        return len(self.labels)

    @cached_property
    def size(self) -> int:
        """Bytes of memory that its labels take, about."""
        return sum(memory(each) for each in self.labels)


def feedback_log(storage: Path, **limits: Any) -> ParquetLog[Labels]:
    """Return the log of labels: one row per label, below ``feedback/``."""
    return ParquetLog(storage / "feedback", SCHEMA, _columns_of, **limits)


def model_of(content: Any) -> str:
    """Return the model that a JSON body names.

    Raises
    ------
    RequestError
        400 if it names none.
    """
    name = content.get("model") if isinstance(content, dict) else None
    if not isinstance(name, str):
        raise RequestError(400, "the body names no model", expected=EXPECTED)
    return name


def read_json(content: dict[str, Any]) -> list[tuple[str, int, str]]:
    """Return the labels of a body: a list below ``feedback``, or one beside ``model``.

    Raises
    ------
    RequestError
        400 naming each entry that cannot be read.
    """
    single = {name: content[name] for name in NAMES if name in content}
    entries = content.get("feedback", [single] if single else None)
    known = {"model", "feedback"} if "feedback" in content else {"model", *NAMES}
    if not isinstance(entries, list) or not content.keys() <= known:
        raise RequestError(400, "the body has the wrong shape", seen=sorted(content), expected=EXPECTED)
    return _checked(entries)


def read_csv(body: bytes) -> list[tuple[str, int, str]]:
    """Return the labels of a CSV file with the columns ``request_id``, ``label`` and, where needed, ``row``.

    Raises
    ------
    RequestError
        400 if it is none.
    """
    try:
        reader = csv.DictReader(io.StringIO(body.decode("utf-8-sig")), strict=True)
        entries = list(reader)
    except (UnicodeError, csv.Error) as error:
        raise RequestError(400, "the body is no CSV in UTF-8", seen=error) from None
    header = reader.fieldnames or []
    if not {"request_id", "label"} <= set(header):
        raise RequestError(400, "the header lacks a column", seen=header, expected="request_id, label, row")
    return _checked([{**entry, "row": entry.get("row") or "0"} for entry in entries])


def _checked(entries: list[Any]) -> list[tuple[str, int, str]]:
    if not 1 <= len(entries) <= MAX_LABELS:
        raise RequestError(400, "wrong number of labels", seen=len(entries), expected=f"1 to {MAX_LABELS}")
    found, faults = [], []
    for index, entry in enumerate(entries):
        identity = entry.get("request_id") if isinstance(entry, dict) else None
        label, row = (entry.get("label"), entry.get("row", 0)) if isinstance(entry, dict) else (None, None)
        if isinstance(row, str) and row.isascii() and row.isdigit() and len(row) < 10:
            row = int(row)
        if not isinstance(identity, str) or not 1 <= len(identity) <= 128:
            faults.append(f"entry {index} has no request_id")
        elif type(row) is not int or not 0 <= row < 1_000_000:
            faults.append(f"entry {index} has no row number: {str(row)[:40]!r}")
        elif label is None or isinstance(label, list | dict) or label == "":
            faults.append(f"entry {index} has no label")
        else:
            found.append((identity, row, label if isinstance(label, str) else _text(label)))
    if faults:
        raise RequestError(
            400, f"{len(faults)} of {len(entries)} labels cannot be read", expected=EXPECTED, faults=faults[:20]
        )
    return found


def _text(label: Any) -> str:
    return str(label).lower() if isinstance(label, bool) else repr(label)


def _columns_of(part: Sequence[Labels]) -> dict[str, list[Any]]:
    rows = [(*label, labels.at, labels.token) for labels in part for label in labels.labels]
    return dict(zip(SCHEMA.names, map(list, zip(*rows, strict=True)), strict=True))
