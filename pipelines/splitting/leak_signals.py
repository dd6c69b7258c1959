"""Finds signs of a leak in one column, each with its evidence in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.splitting import single_column_auc
from pipelines.splitting.columns import DAY, Mask
from pipelines.splitting.spec import SplitSpec

MIN_COPY_ROWS = 20
SAME_ORDER = 0.999
"""Share of the variance of the target's ranks that a column explains which orders the rows as the target does."""
MIN_UNLABELLED = 30
MAX_LABELLED_MISSING = 0.05
NEVER = 2**62

Codes = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

HOUR = 3_600 * 1_000_000
FARTHEST_ZONE = 14
"""Hours that the time zone farthest ahead is ahead of UTC."""


@dataclass(frozen=True)
class Looked:
    """The rows that are looked at: targets (codes of labels, or values), halves, moments in microseconds."""

    spec: SplitSpec
    y: Any
    classes: int
    """0 for a regression."""
    half: Mask
    moments: Codes | None
    as_of: int
    ahead: int = 0
    """Microseconds that times without a zone may be ahead of UTC."""

    @cached_property
    def ranks(self) -> Numbers:
        """Ranks of the target values; equal values share their mean rank."""
        _, codes, counts = np.unique(self.y, return_inverse=True, return_counts=True)
        return np.asarray((np.cumsum(counts) - counts / 2)[codes], np.float64)


def sign(column: str, kind: str, evidence: str) -> dict[str, Any]:
    """Return an entry of the report; the action is decided later."""
    return {"column": column, "kind": kind, "evidence": evidence, "action": ""}


def column_signs(name: str, column: pa.Array, looked: Looked, *, own_time: bool) -> list[dict[str, Any]]:
    """Look at one column."""
    if pa.types.is_timestamp(column.type):
        future = [] if own_time else _future(name, column, looked)
        values = column.cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return future or _tells(name, single_column_auc.binned(values, looked.half), values, looked)
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return _tells(name, _levels(values, looked.half), values, looked)
    codes = column.cast(pa.string()).dictionary_encode("encode").indices.to_numpy(zero_copy_only=False)
    return _tells(name, codes.astype(np.int64), None, looked)


def _levels(values: Numbers, fit: Mask) -> Codes:
    """Return codes of numbers: one per value if there are few values, else bins."""
    some = np.unique(values[: 4 * single_column_auc.BINS])
    if len(some) <= single_column_auc.BINS:
        different, codes = np.unique(values, return_inverse=True)
        if len(different) <= single_column_auc.BINS:
            return codes.astype(np.int64)
    return single_column_auc.binned(values, fit)


def _tells(name: str, codes: Codes, values: Numbers | None, looked: Looked) -> list[dict[str, Any]]:
    """Tell whether the column is the target or determines it alone."""
    spec, y, rows = looked.spec, looked.y, len(looked.y)
    if rows < MIN_COPY_ROWS:
        return []
    if looked.classes:
        if single_column_auc.one_to_one(codes, y):
            return [
                sign(
                    name,
                    "copy",
                    f"a copy of the target: each of its {looked.classes} values stands for one "
                    f"label in all of {rows:,} rows",
                )
            ]
        area = single_column_auc.auc(codes, y, looked.classes, looked.half)
        if area >= spec.leak_auc:
            return [
                sign(
                    name,
                    "alone",
                    f"alone predicts the target almost perfectly: AUC {area:.4f} on rows not "
                    f"learned from (limit {spec.leak_auc:g}, {rows:,} rows)",
                )
            ]
        return []
    if values is not None:
        known = ~np.isnan(values)
        equal = float((values[known] == y[known]).mean()) if known.sum() >= MIN_COPY_ROWS else 0.0
        if known.mean() > 0.5 and equal >= 0.99:
            return [sign(name, "copy", f"a copy of the target: equal in {equal:.1%} of {known.sum():,} rows")]
        share = single_column_auc.explained(values, y, looked.half)
        if (
            share < spec.leak_r2
            and (order := single_column_auc.explained(values, looked.ranks, looked.half)) >= SAME_ORDER
        ):
            return [
                sign(
                    name,
                    "copy",
                    f"a copy of the target up to its scale, such as its logarithm: orders the rows "
                    f"as the target does (R² of ranks {order:.4f}, {rows:,} rows)",
                )
            ]
    else:
        share = single_column_auc.explained_by_codes(codes, y, looked.half)
    if share >= spec.leak_r2:
        return [
            sign(
                name,
                "alone",
                f"alone predicts the target almost perfectly: R² {share:.4f} on rows not "
                f"learned from (limit {spec.leak_r2:g}, {rows:,} rows)",
            )
        ]
    return []


def _future(name: str, column: pa.Array, looked: Looked) -> list[dict[str, Any]]:
    """Compare dates with the row's own time, by days if either has no time of day."""
    values = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()).fill_null(-(2**62)).to_numpy()
    known = values > -(2**62)
    if not known.any():
        return []
    bound = looked.moments if looked.moments is not None else np.full(len(values), looked.as_of)
    bound = bound + looked.ahead  # which cells said their zone is not known here
    if (values[known] % DAY == 0).all() or (bound % DAY == 0).all():
        values, bound = values // DAY * DAY, bound // DAY * DAY
    late = known & (values > bound)
    share = late.sum() / known.sum()
    if share <= looked.spec.leak_future:
        return []
    row = int(np.flatnonzero(late)[0])
    against = "the row's own moment" if looked.moments is not None else "the night"
    example = f"such as {_iso(values[row])} against {_iso(int(bound[row]))}"
    if looked.moments is None:
        example += _perhaps_local(int((values - bound)[late].max()))
    return [
        sign(
            name,
            "future",
            f"lies in the future: later than {against} in {share:.1%} of {int(known.sum()):,} rows, {example}",
        )
    ]


def _perhaps_local(ahead: int) -> str:
    """Say that times may be local where they are ahead of UTC by no more than a time zone can be."""
    hours = -(-ahead // HOUR)
    if hours > FARTHEST_ZONE:
        return ""
    return (
        f"; up to {hours} h ahead of UTC: local time of another time zone? Declare it, such as "
        "ModelSpec(zone='Asia/Tokyo'), or write times with their zone (2026-01-31T18:00+09:00) or in UTC"
    )


def _iso(microseconds: int) -> str:
    return str(np.datetime64(int(microseconds), "us").astype("datetime64[s]"))


def microseconds(column: pa.ChunkedArray) -> Codes:
    """Return microseconds since 1970; the largest integer for null."""
    whole = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()).fill_null(2**62)
    return np.asarray(whole.to_numpy())


def late_columns(
    nulls: Mapping[str, Mapping[str, float | None]], columns: Sequence[str], spec: SplitSpec
) -> list[dict[str, Any]]:
    """Return the columns that are empty until the label is known."""
    found = []
    for name in columns:
        seen = nulls.get(name)
        if not seen or (seen.get("unlabelled_rows") or 0) < MIN_UNLABELLED:
            continue
        with_label, without = seen.get("labelled"), seen.get("unlabelled")
        if with_label is None or without is None:
            continue
        if without >= spec.leak_missing and with_label <= MAX_LABELLED_MISSING:
            found.append(
                sign(
                    name,
                    "late",
                    f"known only after the event: missing in {without:.1%} of "
                    f"{seen['unlabelled_rows']:,.0f} rows without label and in {with_label:.1%} of those "
                    "with one",
                )
            )
    return found
