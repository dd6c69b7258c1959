"""The gateway's prediction log, read back for one model: who asked when, and on demand what was sent and predicted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.monitoring.cells import object_of

COLUMNS = ["request_id", "row", "at", "version", "status", "ms"]
TEXTS = ["instance", "prediction"]
PART_ROWS = 20_000
"""Rows whose texts are held at a time."""


@dataclass(frozen=True)
class Traffic:
    """Logged requests of one model.

    Parameters
    ----------
    rows
        Columns ``request_id, row, at (UTC), version, status, ms``, and ``file`` and ``place``, where a row's texts
        are; oldest first.
    files
        What ``file`` counts.
    unreadable
        Files that could not be read: torn while they were written, or damaged.
    """

    rows: pd.DataFrame
    files: tuple[Path, ...]
    unreadable: int

    @property
    def answered(self) -> pd.DataFrame:
        """The rows that were predicted; one that failed may name the version that was asked, too."""
        return self.rows[self.rows["version"].notna() & (self.rows["status"] < 400)]

    def since(self, moment: datetime) -> pd.DataFrame:
        """Return the rows from ``moment`` on."""
        return self.rows[self.rows["at"] >= moment]

    def parts(
        self, rows: pd.DataFrame, read: Callable[[str | None], Any] = object_of
    ) -> Iterator[tuple[pd.DataFrame, list[Any], list[Any]]]:
        """Yield these rows in the order of the log, in parts, with what was sent and what was predicted.

        Parameters
        ----------
        read
            Reads a text of what was sent.

        Yields
        ------
        rows : DataFrame
            A part of the rows.
        sent, predicted : list
            Of each row what was read of its text, and the object of its prediction's; None where there is none.
        """
        for file, own in rows.sort_values(["file", "place"]).groupby("file", sort=True):
            places = own["place"].to_numpy()
            first = 0
            opened = pq.ParquetFile(self.files[cast(int, file)], page_checksum_verification=True)
            for batch in opened.iter_batches(PART_ROWS, columns=TEXTS):
                low, high = np.searchsorted(places, [first, first + batch.num_rows])
                if low < high:
                    taken = batch.take(pa.array(places[low:high] - first))
                    sent, predicted = (taken.column(place).to_pylist() for place in range(len(TEXTS)))
                    yield own.iloc[low:high], [*map(read, sent)], [*map(object_of, predicted)]
                first += batch.num_rows


def read_traffic(storage: Path, model: str, start: datetime, end: datetime, wanted: pa.Array | None = None) -> Traffic:
    """Read what was logged for ``model`` from ``start`` to ``end``; a torn file is skipped and counted.

    Parameters
    ----------
    wanted
        Request ids; others are left out. None: all.
    """
    parts: list[pa.Table] = []
    files: list[Path] = []
    unreadable = 0
    day = start.astimezone(UTC).date()
    while day <= end.astimezone(UTC).date():
        for path in sorted((storage / "predictions" / model / day.isoformat()).glob("*.parquet")):
            try:
                # One file, read as such: a dataset would take the folder's names for partition columns.
                opened = pq.ParquetFile(path, page_checksum_verification=True)
                names = [name for name in COLUMNS if name in opened.schema_arrow.names]
                part = opened.read(columns=names)
            except (pa.ArrowException, OSError, KeyError):
                unreadable += 1
                continue
            places = {"file": np.full(len(part), len(files), np.int32), "place": np.arange(len(part))}
            for name, column in places.items():
                part = part.append_column(name, pa.array(column))
            if wanted is not None:
                part = part.filter(pc.is_in(part["request_id"], value_set=wanted))
            files.append(path)
            parts.append(part)
        day += timedelta(days=1)
    if not parts:
        empty = pd.DataFrame({name: [] for name in (*COLUMNS, "file", "place")})
        return Traffic(empty.astype({"at": "datetime64[us, UTC]", "version": float}), (), unreadable)
    rows = pa.concat_tables(parts, promote_options="default").to_pandas().reindex(columns=[*COLUMNS, "file", "place"])
    rows["at"] = pd.to_datetime(rows["at"], utc=True)
    inside = rows[(rows["at"] >= start) & (rows["at"] <= end)]
    return Traffic(inside.sort_values("at", kind="stable").reset_index(drop=True), tuple(files), unreadable)


def predictions(predicted: list[Any]) -> pd.Series:
    """Return the logged predictions: the probability where there is one, else the prediction."""
    return pd.Series([row.get("probability", row.get("prediction")) for row in _dicts(predicted)])


def predicted_classes(predicted: list[Any]) -> pd.Series:
    """Return the predicted classes."""
    return pd.Series([row.get("prediction") for row in _dicts(predicted)], dtype=object)


def _dicts(rows: list[Any]) -> list[dict[str, Any]]:
    return [row for row in rows if isinstance(row, dict)]
