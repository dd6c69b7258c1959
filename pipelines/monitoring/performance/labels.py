"""Labels that came since the last window, joined with the predictions they are of by request id and row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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
        Columns ``version`` and ``label``, n of them, in the order of the log; by time where ``sent`` is there.
    predicted
        (n,) as they were logged.
    unmatched
        Labels of no logged prediction.
    sent
        (n,) what callers sent; empty if it was not asked for.
    """

    rows: pd.DataFrame
    predicted: list[Any]
    unmatched: int
    sent: list[Any] = field(default_factory=list)


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


def joined(storage: Path, model: str, labels: pd.DataFrame, oldest: datetime, now: datetime, sent: int = 0) -> Labelled:
    """Find the predictions of these labels among those logged since ``oldest``.

    Parameters
    ----------
    sent
        Also return what callers sent, of so many of the newest rows.
    """
    wanted = pa.array(labels["request_id"].unique(), pa.string())
    traffic = read_traffic(storage, model, oldest, now, wanted)
    rows = traffic.answered
    rows = rows.assign(row=rows["row"].fillna(0).astype(np.int64))
    known = labels[["request_id", "row", "label"]].astype({"row": np.int64})
    rows = rows.reset_index().merge(known, on=["request_id", "row"]).set_index("index")
    unmatched = len(labels) - len(rows)
    if sent:
        rows = rows.sort_values("at", kind="stable").tail(sent)
    parts, predicted, given = [], [], []
    for part, inputs, outputs in traffic.parts(rows):
        there = np.fromiter((row is not None for row in outputs), bool, len(outputs))
        parts.append(part.loc[there, ["version", "label", "at"]])
        predicted += [row for row in outputs if row is not None]
        given += [row for row, told in zip(inputs, there, strict=True) if told] if sent else []
    found = pd.concat(parts) if parts else rows[["version", "label", "at"]]
    if not sent:
        return Labelled(found, predicted, unmatched)
    order = np.argsort(found["at"].to_numpy(), kind="stable")
    return Labelled(found.iloc[order], [predicted[i] for i in order], unmatched, [given[i] for i in order])


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
