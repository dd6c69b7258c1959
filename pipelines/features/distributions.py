"""How the sealed rows differ from the training rows, column by column, on rows spread evenly over both tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BINS = 16
TOP = 11
"""Categories that are shown with a bar of their own; the rest share one."""
ROWS = 200_000
"""Rows of each side that are looked at: whole row groups, evenly spread."""
MAX_COLUMNS = 300
STAMPS = ("_key", "_time", "_sealed", "_weight", "_fold", "_y")
ENOUGH = 500
"""Rows from which the stability index says anything."""


@dataclass(frozen=True)
class Compared:
    """One column on both sides: shares of rows per bin or category, of nulls, and the population stability index.

    ``labels`` name the bins: the ends of the range of numbers and dates, the texts of categories.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    train: tuple[float, ...]
    sealed: tuple[float, ...]
    missing: tuple[float, float]
    psi: float | None


def compare(train: Path, sealed: Path) -> list[Compared]:
    """Compare the columns of two folders of Parquet, one column of each in memory at a time."""
    sides = [_Rows(folder) for folder in (train, sealed)]
    schema = sides[0].schema
    names = [field.name for field in schema if field.name not in STAMPS and field.name in sides[1].schema.names]
    return [_column(schema.field(name), *(side.column(name) for side in sides)) for name in names[:MAX_COLUMNS]]


class _Rows:
    """Row groups spread evenly over a table, at most about ``ROWS`` rows."""

    def __init__(self, folder: Path) -> None:
        files = [pq.ParquetFile(path, page_checksum_verification=True) for path in sorted(folder.glob("*.parquet"))]
        groups = [(file, place) for file in files for place in range(file.num_row_groups)]
        rows = sum(file.metadata.num_rows for file in files)
        step = max(1, round(rows / ROWS))
        self._groups = groups[::step]
        self.schema: pa.Schema = files[0].schema_arrow if files else pa.schema([])

    def column(self, name: str) -> pa.ChunkedArray:
        """Read one column of these row groups."""
        field = self.schema.field(name)
        chunks = [
            chunk for file, place in self._groups for chunk in file.read_row_group(place, columns=[name])[name].chunks
        ]
        return pa.chunked_array(chunks, field.type)


def _column(field: pa.Field, train: pa.ChunkedArray, sealed: pa.ChunkedArray) -> Compared:
    missing = tuple(column.null_count / len(column) if len(column) else 0.0 for column in (train, sealed))
    given = [column.drop_null() for column in (train, sealed)]
    if pa.types.is_floating(field.type) or pa.types.is_integer(field.type):
        kind, labels, counts = "number", *_numbers(*(column.to_numpy().astype(np.float64) for column in given))
    elif pa.types.is_timestamp(field.type):
        values = [column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy().astype(np.float64) for column in given]
        ends, counts = _numbers(*values)
        labels = tuple(str(np.datetime64(int(float(end)), "us"))[:16].replace("T", " ") for end in ends)
        kind = "date"
    else:
        kind, labels, counts = "category", *_texts(*(column.cast(pa.string()) for column in given))
    shares = [_shares(count) for count in counts]
    index = None
    if min(len(train), len(sealed)) >= ENOUGH:
        whole = [
            np.append(count, column.null_count).astype(np.float64)
            for count, column in zip(counts, (train, sealed), strict=True)
        ]
        index = stability(*whole)
    return Compared(field.name, kind, labels, shares[0], shares[1], (missing[0], missing[1]), index)


Counts = npt.NDArray[np.int64]


def _numbers(train: npt.NDArray[np.float64], sealed: npt.NDArray[np.float64]) -> tuple[tuple[str, ...], list[Counts]]:
    """Count in bins of equal width between the outer hundredths of the training values; the outer bins are open."""
    base = train[np.isfinite(train)]
    if not len(base):
        base = sealed[np.isfinite(sealed)]
    if not len(base):
        return (), [np.zeros(0, np.int64), np.zeros(0, np.int64)]
    low, high = np.quantile(base, [0.01, 0.99])
    if low == high:
        low, high = float(base.min()), float(base.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    inner = np.linspace(low, high, BINS + 1)[1:-1]
    counts = [
        np.bincount(np.searchsorted(inner, side[np.isfinite(side)], side="right"), minlength=BINS)
        for side in (train, sealed)
    ]
    return (
        f"{low:.6g}" if abs(low) < 1e9 else str(int(low)),
        f"{high:.6g}" if abs(high) < 1e9 else str(int(high)),
    ), counts


def _texts(train: pa.ChunkedArray, sealed: pa.ChunkedArray) -> tuple[tuple[str, ...], list[Counts]]:
    """Count the most frequent texts of both sides together; the rest, new ones too, share the last place."""
    pairs = pc.value_counts(pa.chunked_array([*train.chunks, *sealed.chunks], pa.string()))
    table = pa.table({"text": pairs.field(0), "count": pairs.field(1)})
    table = table.sort_by([("count", "descending"), ("text", "ascending")])
    top = table["text"].slice(0, TOP)
    counts = []
    for side in (train, sealed):
        places = pc.fill_null(pc.index_in(side, value_set=top.combine_chunks()), len(top)).to_numpy()
        counts.append(np.bincount(places, minlength=len(top) + 1))
    rest = table.num_rows - len(top)
    labels = tuple(text[:40] for text in top.to_pylist())
    if not rest:
        return labels, [count[:-1] for count in counts]
    return (*labels, f"{rest} others"), counts


def _shares(counts: Counts) -> tuple[float, ...]:
    total = counts.sum()
    return tuple(float(count) / total for count in counts) if total else tuple(0.0 for _ in counts)


def stability(train: npt.NDArray[np.float64], sealed: npt.NDArray[np.float64]) -> float:
    """Give the population stability index of counts per bin, each bin with half a row more (Siddiqi 2006)."""
    a, b = (train + 0.5) / (train + 0.5).sum(), (sealed + 0.5) / (sealed + 0.5).sum()
    return float(((b - a) * np.log(b / a)).sum())


def outline(shares: tuple[float, ...], top: float, width: int, height: int) -> str:
    """Give the path of a histogram's outline in an SVG of this size."""
    if not shares or top <= 0:
        return ""
    step = width / len(shares)
    points: Iterator[str] = (
        f"V{height - height * share / top:.1f}H{(place + 1) * step:.1f}" for place, share in enumerate(shares)
    )
    return f"M0 {height}" + "".join(points) + f"V{height}"


def summary(compared: Compared) -> dict[str, Any]:
    """Give what the page shows of a column."""
    top = max([*compared.train, *compared.sealed, 0.0])
    return {
        "name": compared.name, "kind": compared.kind, "missing": compared.missing, "psi": compared.psi,
        "labels": compared.labels, "train": outline(compared.train, top, 160, 36),
        "sealed": outline(compared.sealed, top, 160, 36),
    }  # fmt: skip
