"""Compares tonight's rows with the training rows by column, on rows spread evenly over both tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.population_stability import stability_of_counts
from pipelines.reserved_columns import RESERVED

BINS = 16
TOP = 11
"""Categories shown with their own bar; the rest share one."""
ROWS = 200_000
"""Rows of each side that are read: whole row groups, evenly spread."""
MAX_COLUMNS = 300
WIDTH, HEIGHT = 240, 56
"""Size of the plot of numbers, in CSS pixels."""
BARS = 6
"""Bars in the plot of categories."""
ENOUGH = 500
"""Fewest rows for a stability index."""


Counts = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float64]


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
    """Compare the columns that two folders of Parquet share, one column of each in memory at a time.

    Rows count by ``_weight``, so that a sample that favours some rows does not look like a change of the data.
    """
    sides = [_Rows(folder) for folder in (train, sealed)]
    fields = [field for field in sides[0].schema if field.name not in RESERVED and field in list(sides[1].schema)]
    weights = [side.weights() for side in sides]
    return [_column(field, [side.column(field.name) for side in sides], weights) for field in fields[:MAX_COLUMNS]]


class _Rows:
    """Row groups spread evenly over a table, at most about ``ROWS`` rows."""

    def __init__(self, folder: Path) -> None:
        files = [pq.ParquetFile(path, page_checksum_verification=True) for path in sorted(folder.glob("*.parquet"))]
        groups = [(file, index) for file in files for index in range(file.num_row_groups)]
        rows = sum(file.metadata.num_rows for file in files)
        step = max(1, round(rows / ROWS))
        self._groups = groups[::step]
        self.schema: pa.Schema = files[0].schema_arrow if files else pa.schema([])

    def column(self, name: str) -> pa.ChunkedArray:
        """Read one column of these row groups."""
        field = self.schema.field(name)
        chunks = [
            chunk for file, index in self._groups for chunk in file.read_row_group(index, columns=[name])[name].chunks
        ]
        return pa.chunked_array(chunks, field.type)

    def weights(self) -> Weights:
        """Return the weight of each row, one on average."""
        rows = sum(file.metadata.row_group(index).num_rows for file, index in self._groups)
        if "_weight" not in self.schema.names or not rows:
            return np.ones(rows)
        weights: Weights = self.column("_weight").to_numpy().astype(np.float64)
        scaled: Weights = weights / weights.mean()
        return scaled


def _column(field: pa.Field, sides: Sequence[pa.ChunkedArray], weights: Sequence[Weights]) -> Compared:
    gaps = [column.is_null().to_numpy() for column in sides]
    lost = [float(weight[gap].sum()) for gap, weight in zip(gaps, weights, strict=True)]
    missing = tuple(gone / len(gap) if len(gap) else 0.0 for gone, gap in zip(lost, gaps, strict=True))
    given = [column.drop_null() for column in sides]
    kept = [weight[~gap] for gap, weight in zip(gaps, weights, strict=True)]
    if pa.types.is_floating(field.type) or pa.types.is_integer(field.type):
        kind, labels, counts = "number", *_numbers([column.to_numpy().astype(np.float64) for column in given], kept)
    elif pa.types.is_timestamp(field.type):
        values = [column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy().astype(np.float64) for column in given]
        ends, counts = _numbers(values, kept)
        labels = tuple(str(np.datetime64(int(float(end)), "us"))[:16].replace("T", " ") for end in ends)
        kind = "date"
    else:
        kind, labels, counts = "category", *_texts([column.cast(pa.string()) for column in given], kept)
    shares = [_shares(count) for count in counts]
    index = None
    if min(map(len, sides)) >= ENOUGH:
        index = stability_of_counts(*(np.append(count, gone) for count, gone in zip(counts, lost, strict=True)))
    return Compared(field.name, kind, labels, shares[0], shares[1], (missing[0], missing[1]), index)


def _numbers(
    sides: Sequence[npt.NDArray[np.float64]], weights: Sequence[Weights]
) -> tuple[tuple[str, ...], list[Counts]]:
    """Count in equal-width bins between the 1st and 99th percentile of the training values; the outer bins are open."""
    train, sealed = sides
    base = train[np.isfinite(train)]
    if not len(base):
        base = sealed[np.isfinite(sealed)]
    if not len(base):
        return (), [np.zeros(0), np.zeros(0)]
    low, high = np.quantile(base, [0.01, 0.99])
    if low == high:
        low, high = float(base.min()), float(base.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    inner = np.linspace(low, high, BINS + 1)[1:-1]
    counts = [
        np.bincount(np.searchsorted(inner, side[finite], side="right"), weight[finite], minlength=BINS).astype(
            np.float64
        )
        for side, weight in zip(sides, weights, strict=True)
        for finite in [np.isfinite(side)]
    ]
    return (
        f"{low:.6g}" if abs(low) < 1e9 else str(int(low)),
        f"{high:.6g}" if abs(high) < 1e9 else str(int(high)),
    ), counts


def _texts(sides: Sequence[pa.ChunkedArray], weights: Sequence[Weights]) -> tuple[tuple[str, ...], list[Counts]]:
    """Count the most frequent texts of both sides together; all others share the last count."""
    pairs = pc.value_counts(pa.chunked_array([chunk for side in sides for chunk in side.chunks], pa.string()))
    table = pa.table({"text": pairs.field(0), "count": pairs.field(1)})
    table = table.sort_by([("count", "descending"), ("text", "ascending")])
    top = table["text"].slice(0, TOP)
    counts = []
    for side, weight in zip(sides, weights, strict=True):
        indices = pc.fill_null(pc.index_in(side, value_set=top.combine_chunks()), len(top)).to_numpy()
        counts.append(np.bincount(indices, weight, minlength=len(top) + 1).astype(np.float64))
    rest = table.num_rows - len(top)
    labels = tuple(text[:40] for text in top.to_pylist())
    if not rest:
        return labels, [count[:-1] for count in counts]
    return (*labels, f"{rest} others"), counts


def _shares(counts: Counts) -> tuple[float, ...]:
    total = counts.sum()
    return tuple(float(count) / total for count in counts) if total else tuple(0.0 for _ in counts)


def outline(shares: tuple[float, ...], top: float, width: int, height: int) -> str:
    """Return the path of a histogram's outline in an SVG of this size."""
    if not shares or top <= 0:
        return ""
    step = width / len(shares)
    points: Iterator[str] = (
        f"V{height - height * share / top:.1f}H{(index + 1) * step:.1f}" for index, share in enumerate(shares)
    )
    return f"M0 {height}" + "".join(points) + f"V{height}"


def summary(compared: Compared) -> dict[str, Any]:
    """Return what the page shows of a column: two outlines for numbers and dates, two bars per category."""
    top = max([*compared.train, *compared.sealed, 0.0])
    shown: dict[str, Any] = {
        "name": compared.name,
        "kind": compared.kind,
        "missing": compared.missing,
        "psi": compared.psi,
        "labels": compared.labels,
        "top": top,
        "bars": [],
    }
    if compared.kind != "category":
        return {
            **shown,
            "train": outline(compared.train, top, WIDTH, HEIGHT),
            "sealed": outline(compared.sealed, top, WIDTH, HEIGHT),
        }
    texts = list(zip(compared.labels, compared.train, compared.sealed, strict=True))
    if len(texts) > BARS:
        rest = texts[BARS - 1 :]
        others = (
            f"{len(rest) - 1 + int(rest[-1][0].split()[0])} others"
            if len(compared.labels) > TOP
            else f"{len(rest)} others"
        )
        texts = [*texts[: BARS - 1], (others, sum(one[1] for one in rest), sum(one[2] for one in rest))]
    top = max([*(share for _, *shares in texts for share in shares), 1e-9])
    return {**shown, "top": top, "bars": texts}
