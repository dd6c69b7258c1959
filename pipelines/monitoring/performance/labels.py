"""Labels that came since the last window, joined with the predictions they are of by request id and row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.inference.recipe.cells import canonical_text
from pipelines.monitoring.traffic import read_traffic

COLUMNS = ["request_id", "row", "label", "at"]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labelled:
    """Predictions with their labels.

    Parameters
    ----------
    rows
        Columns ``version`` and ``label``, n of them, in the order of the log.
    predicted
        (n,) as they were logged.
    unmatched
        Labels of no logged prediction.
    """

    rows: pd.DataFrame
    predicted: list[Any]
    unmatched: int


def new_labels(storage: Path, model: str, start: datetime, end: datetime) -> pd.DataFrame:
    """Return the labels that came after ``start``, the newest of each row; a torn file is skipped."""
    parts: list[pa.Table] = []
    day = start.astimezone(UTC).date()
    while day <= end.astimezone(UTC).date():
        for path in sorted((storage / "feedback" / model / day.isoformat()).glob("*.parquet")):
            try:
                parts.append(pq.ParquetFile(path, page_checksum_verification=True).read(columns=COLUMNS))
            except (pa.ArrowException, OSError, KeyError):
                continue
        day += timedelta(days=1)
    if not parts:
        return pd.DataFrame({name: [] for name in COLUMNS})
    found: pd.DataFrame = pa.concat_tables(parts).to_pandas()
    found = found[(found["at"] > start) & (found["at"] <= end)].sort_values("at", kind="stable")
    return found.drop_duplicates(["request_id", "row"], keep="last")


def joined(storage: Path, model: str, labels: pd.DataFrame, oldest: datetime, now: datetime) -> Labelled:
    """Find the predictions of these labels among those logged since ``oldest``."""
    wanted = pa.array(labels["request_id"].unique(), pa.string())
    traffic = read_traffic(storage, model, oldest, now, wanted)
    rows = traffic.rows[traffic.rows["version"].notna()]
    rows = rows.assign(row=rows["row"].fillna(0).astype(np.int64))
    known = labels[["request_id", "row", "label"]].astype({"row": np.int64})
    rows = rows.reset_index().merge(known, on=["request_id", "row"]).set_index("index")
    parts, predicted = [], []
    for part, _, outputs in traffic.parts(rows):
        there = np.fromiter((row is not None for row in outputs), bool, len(outputs))
        parts.append(part.loc[there, ["version", "label"]])
        predicted += [row for row in outputs if row is not None]
    found = pd.concat(parts) if parts else rows[["version", "label"]]
    return Labelled(found, predicted, len(labels) - len(rows))


def truth(labels: pd.Series, classes: Sequence[str]) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return labels as metrics take them, and which could be read.

    Parameters
    ----------
    classes
        As callers read them; empty for a regression.

    Returns
    -------
    y_true, readable
        (n,) numbers or class indices; a class that is not known is -1 and not readable where there are two.
    """
    if not len(classes):
        numbers = pd.to_numeric(labels, errors="coerce").to_numpy(dtype=np.float64)
        return numbers, np.isfinite(numbers)
    position: dict[str, int] = {}
    for number, label in enumerate(classes):
        for spelled in (label, canonical_text(label), label.casefold()):
            position.setdefault(str(spelled), number)
    distinct = {
        text: next((position[one] for one in (text, str(canonical_text(text)), text.casefold()) if one in position), -1)
        for text in labels.unique()
    }
    found = labels.map(distinct).to_numpy(dtype=np.float64)
    return found, (found >= 0) if len(classes) == 2 else np.ones(len(found), bool)
