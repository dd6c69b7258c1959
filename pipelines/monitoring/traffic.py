"""The gateway's prediction log, read back for one model and one window."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.private_columns import is_hashed

COLUMNS = ["request_id", "at", "version", "instance", "prediction", "status"]


@dataclass(frozen=True)
class Traffic:
    """Logged requests of one model.

    Parameters
    ----------
    rows
        Columns ``request_id, at (UTC), version, instance (JSON text), prediction (JSON text), status``, oldest first.
    unreadable
        Files that could not be read: torn while they were written, or damaged.
    """

    rows: pd.DataFrame
    unreadable: int

    def since(self, moment: datetime) -> pd.DataFrame:
        """Return the rows from ``moment`` on."""
        return self.rows[self.rows["at"] >= moment]


def read_traffic(storage: Path, model: str, start: datetime, end: datetime) -> Traffic:
    """Read what was logged for ``model`` from ``start`` to ``end``; a torn file is skipped and counted."""
    parts, unreadable = [], 0
    day = start.astimezone(UTC).date()
    while day <= end.astimezone(UTC).date():
        for path in sorted((storage / "predictions" / model / day.isoformat()).glob("*.parquet")):
            try:
                # One file, read as such: a dataset would take the folder's names for partition columns.
                parts.append(pq.ParquetFile(path, page_checksum_verification=True).read(columns=COLUMNS).to_pandas())
            except (pa.ArrowException, OSError, KeyError):
                unreadable += 1
        day += timedelta(days=1)
    if not parts:
        return Traffic(pd.DataFrame({name: [] for name in COLUMNS}).astype({"at": "datetime64[us, UTC]"}), unreadable)
    rows = pd.concat(parts, ignore_index=True)
    rows["at"] = pd.to_datetime(rows["at"], utc=True)
    inside = rows[(rows["at"] >= start) & (rows["at"] <= end)]
    return Traffic(inside.sort_values("at", kind="stable").reset_index(drop=True), unreadable)


def instances(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the logged instances as raw rows: one column per name seen; unreadable texts are left out.

    What is hashed in the log is missing here: a hash is no value of its column.
    """
    found = _objects(rows["instance"])
    plain = [{name: None if is_hashed(cell) else cell for name, cell in each.items()} for each in found]
    return pd.DataFrame(plain, dtype=object)


def predictions(rows: pd.DataFrame) -> pd.Series:
    """Return the logged predictions: the probability where there is one, else the prediction."""
    return pd.Series([item.get("probability", item.get("prediction")) for item in _objects(rows["prediction"])])


def predicted_classes(rows: pd.DataFrame) -> pd.Series:
    """Return the predicted classes."""
    return pd.Series([item.get("prediction") for item in _objects(rows["prediction"])], dtype=object)


def _objects(texts: pd.Series) -> list[dict[str, Any]]:
    parsed = []
    for text in texts:
        try:
            value = json.loads(text)
        except (TypeError, ValueError):
            continue
        if isinstance(value, dict):
            parsed.append(value)
    return parsed
