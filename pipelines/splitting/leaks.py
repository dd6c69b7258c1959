"""The leak sentinel: columns that give the target away, because they are made from it or are known only after it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from pipelines.artifacts import Night
from pipelines.errors import GateError
from pipelines.keyhash import mixed
from pipelines.splitting import alone
from pipelines.splitting.columns import Hashes, Mask, batches
from pipelines.splitting.spec import SplitSpec

ROWS = 200_000
"""Training rows that are looked at, those of the smallest key hashes."""
SUM_ROWS = 5_000
SUM_COLUMNS = 200
TOGETHER = 16
"""Columns in memory at a time."""
MIN_COPY_ROWS = 20
MIN_UNLABELLED = 30
MAX_LABELLED_MISSING = 0.05
LIKE_AN_ID = re.compile(r"(^|_)(id|uid|uuid|no|nr|key|number|account|customer|client|user|patient|member)s?$")
DAY = 86_400_000_000

Codes = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Looked:
    """The rows that are looked at: targets (codes of labels, or values), halves, moments in microseconds."""

    spec: SplitSpec
    y: Any
    classes: int
    """0 for a regression."""
    labels: tuple[str, ...]
    half: Mask
    moments: Codes | None
    as_of: int


def find_leaks(
    table: pads.Dataset,
    spec: SplitSpec,
    night: Night,
    y: npt.NDArray[Any],
    labels: Sequence[str],
    train: Mask,
    sealed: Mask,
    keys: Hashes,
    nulls: Mapping[str, Mapping[str, float | None]],
) -> list[dict[str, Any]]:
    """Look at every clean column on training rows.

    Parameters
    ----------
    table
        The cleaned table.
    y
        Values, or places among ``labels``, of all rows.
    keys
        Hash of every row's key: decides which rows are looked at, and on which half a rule is learned.
    nulls
        ``null_evidence`` of the cleaning report: share of missing values among labelled and unlabelled rows.

    Returns
    -------
    list of dict
        {"column", "kind", "evidence", "action"}, action being ``refused``, ``warned`` or ``allowed``.
    """
    rows = _chosen(train, mixed(keys, 17))
    regression = not labels
    model = night.model
    columns = [name for name in table.schema.names if not name.startswith("_")]
    moments = _moments(_taken(table, ["_time"], rows)["_time"]) if model.time is not None else None
    half = (mixed(keys[rows], 18) >> np.uint64(63)).astype(np.bool_)
    looked = _Looked(
        spec, y[rows].astype(np.float64 if regression else np.int64), len(labels), tuple(labels), half, moments,
        int(night.as_of.timestamp() * 1e6),
    )  # fmt: skip
    found: list[dict[str, Any]] = []
    numbers: dict[str, Numbers] = {}
    few = np.flatnonzero(np.arange(len(rows)) % max(1, len(rows) // SUM_ROWS) == 0)
    for start in range(0, len(columns), TOGETHER):
        part = _taken(table, columns[start : start + TOGETHER], rows)
        for name in part.column_names:
            column = part[name].combine_chunks()
            found += _judged(name, column, looked, own_time=name == model.time)
            if regression and pa.types.is_floating(column.type) and len(numbers) < SUM_COLUMNS:
                numbers[name] = column.to_numpy(zero_copy_only=False)[few]
    if regression and len(numbers) > 1:
        found += _sums(numbers, looked, few, {leak["column"] for leak in found})
    found += _late(nulls, columns, spec)
    found += _entities(table, columns, train, sealed, model.time)
    for leak in found:
        allowed = leak["column"] in spec.leaks_allowed or set(leak.get("columns", ["?"])) <= set(spec.leaks_allowed)
        leak["action"] = "allowed" if allowed else leak["action"] or ("refused" if spec.leaks == "refuse" else "warned")
    return found


def judge_leaks(found: Sequence[Mapping[str, Any]], spec: SplitSpec) -> None:
    """Raise if a column is refused; names all of them with the evidence.

    Raises
    ------
    GateError
    """
    refused = [leak for leak in found if leak["action"] == "refused"]
    if not refused:
        return
    names = list(dict.fromkeys(name for leak in refused for name in leak.get("columns", [leak["column"]])))
    written = ", ".join(repr(name) for name in names)
    raise GateError(
        "columns give the target away" if len(names) > 1 else f"column {names[0]!r} gives the target away",
        where=", ".join(names),
        seen=f"{len(refused)} sign{'s' if len(refused) > 1 else ''} of a leak",
        expected="columns that are known before the answer is",
        cure=f"ModelSpec(drop=({written},)) keeps them from the learner; if they are known in time, "
        f"SplitSpec(leaks_allowed=({written},)) says so",
        faults=[f"{leak['column']}: {leak['evidence']}" for leak in refused],
    )


def _chosen(train: Mask, hashes: Hashes) -> Codes:
    """Give the places of at most ``ROWS`` training rows, those of the smallest hashes, in order."""
    places = np.flatnonzero(train)
    if len(places) > ROWS:
        limit = np.partition(hashes[places], ROWS)[ROWS]
        places = places[hashes[places] < limit]
    return places


def _taken(table: pads.Dataset, columns: list[str], rows: Codes) -> pa.Table:
    """Read some rows of some columns."""

    def parts() -> Iterator[pa.RecordBatch]:
        start = 0
        for batch in batches(table, columns):
            first, last = np.searchsorted(rows, [start, start + batch.num_rows])
            yield batch.take(pa.array(rows[first:last] - start))
            start += batch.num_rows

    schema = pa.schema([table.schema.field(name) for name in columns])
    return pa.Table.from_batches(parts(), schema)


def _moments(column: pa.ChunkedArray) -> Codes:
    """Give microseconds since 1970; the greatest number for null."""
    whole = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()).fill_null(2**62)
    return np.asarray(whole.to_numpy())


def _judged(name: str, column: pa.Array, looked: _Looked, *, own_time: bool) -> list[dict[str, Any]]:
    """Look at one column."""
    if pa.types.is_timestamp(column.type):
        future = [] if own_time else _future(name, column, looked)
        values = column.cast(pa.int64()).cast(pa.float64()).to_numpy(zero_copy_only=False)
        return future or _tells(name, alone.binned(values, looked.half), values, looked)
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return _tells(name, _levels(values, looked.half), values, looked)
    codes = column.cast(pa.string()).dictionary_encode("encode").indices.to_numpy(zero_copy_only=False)
    return _tells(name, codes.astype(np.int64), None, looked)


def _levels(values: Numbers, fit: Mask) -> Codes:
    """Give codes of numbers: each value its own where there are few, else bins."""
    some = np.unique(values[: 4 * alone.BINS])
    if len(some) <= alone.BINS:
        different, codes = np.unique(values, return_inverse=True)
        if len(different) <= alone.BINS:
            return codes.astype(np.int64)
    return alone.binned(values, fit)


def _tells(name: str, codes: Codes, values: Numbers | None, looked: _Looked) -> list[dict[str, Any]]:
    """Say whether the column is the target, or tells it alone."""
    spec, y, rows = looked.spec, looked.y, len(looked.y)
    if rows < MIN_COPY_ROWS:
        return []
    if looked.classes:
        if alone.one_to_one(codes, y):
            return [_leak(name, "copy", f"a copy of the target: each of its {looked.classes} values stands for one "
                                        f"label in all of {rows:,} rows")]  # fmt: skip
        area = alone.auc(codes, y, looked.classes, looked.half)
        if area >= spec.leak_auc:
            return [_leak(name, "alone", f"alone predicts the target almost perfectly: AUC {area:.4f} on rows not "
                                         f"learned from (limit {spec.leak_auc:g}, {rows:,} rows)")]  # fmt: skip
        return []
    if values is not None:
        known = ~np.isnan(values)
        equal = float((values[known] == y[known]).mean()) if known.sum() >= MIN_COPY_ROWS else 0.0
        if known.mean() > 0.5 and equal >= 0.99:
            return [_leak(name, "copy", f"a copy of the target: equal in {equal:.1%} of {known.sum():,} rows")]
        share = alone.explained(values, y, looked.half)
    else:
        share = alone.explained_by_codes(codes, y, looked.half)
    if share >= spec.leak_r2:
        return [_leak(name, "alone", f"alone predicts the target almost perfectly: R² {share:.4f} on rows not "
                                     f"learned from (limit {spec.leak_r2:g}, {rows:,} rows)")]  # fmt: skip
    return []


def _future(name: str, column: pa.Array, looked: _Looked) -> list[dict[str, Any]]:
    """Compare dates with the row's own moment, by days where either has no time of day."""
    values = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()).fill_null(-(2**62)).to_numpy()
    known = values > -(2**62)
    if not known.any():
        return []
    bound = looked.moments if looked.moments is not None else np.full(len(values), looked.as_of)
    if (values[known] % DAY == 0).all() or (bound % DAY == 0).all():
        values, bound = values // DAY * DAY, bound // DAY * DAY
    late = known & (values > bound)
    share = late.sum() / known.sum()
    if share <= looked.spec.leak_future:
        return []
    row = int(np.flatnonzero(late)[0])
    against = "the row's own moment" if looked.moments is not None else "the night"
    example = f"such as {_iso(values[row])} against {_iso(int(bound[row]))}"
    return [_leak(name, "future", f"lies in the future: later than {against} in {share:.1%} of {int(known.sum()):,} "
                                  f"rows, {example}")]  # fmt: skip


def _iso(microseconds: int) -> str:
    return str(np.datetime64(int(microseconds), "us").astype("datetime64[s]"))


def _late(
    nulls: Mapping[str, Mapping[str, float | None]], columns: Sequence[str], spec: SplitSpec
) -> list[dict[str, Any]]:
    """Find columns that are empty until the label is known."""
    found = []
    for name in columns:
        seen = nulls.get(name)
        if not seen or (seen.get("unlabelled_rows") or 0) < MIN_UNLABELLED:
            continue
        with_label, without = seen.get("labelled"), seen.get("unlabelled")
        if with_label is None or without is None:
            continue
        if without >= spec.leak_missing and with_label <= MAX_LABELLED_MISSING:
            found.append(_leak(name, "late", f"known only after the event: missing in {without:.1%} of "
                               f"{seen['unlabelled_rows']:,.0f} rows without label and in {with_label:.1%} of those "
                               "with one"))  # fmt: skip
    return found


def _sums(numbers: Mapping[str, Numbers], looked: _Looked, few: Codes, known: set[str]) -> list[dict[str, Any]]:
    """Find columns that together are the target."""
    names = [name for name in numbers if name not in known]
    if len(names) < 2:
        return []
    parts = alone.parts_of_sum(np.column_stack([numbers[name] for name in names]), looked.y[few], looked.half[few])
    if not parts:
        return []
    columns = [names[place] for place in parts]
    evidence = f"together they are the target: a weighted sum of them equals it in {len(few):,} rows"
    return [{**_leak(" + ".join(columns), "sum", evidence), "columns": columns}]


def _entities(
    table: pads.Dataset, columns: Sequence[str], train: Mask, sealed: Mask, time: str | None
) -> list[dict[str, Any]]:
    """Warn of columns named like ids whose values occur in several training rows and among the sealed rows."""
    found = []
    for name in columns:
        kind = table.schema.field(name).type
        if not LIKE_AN_ID.search(name.lower()) or name == time or pa.types.is_timestamp(kind):
            continue
        judging = np.flatnonzero(sealed)[:ROWS]
        learned = np.flatnonzero(train)[:ROWS]
        known = pc.value_counts(_taken(table, [name], learned)[name].drop_null())
        if not 2 * len(known) <= len(learned) or len(known) < MIN_UNLABELLED:
            continue
        mine = _taken(table, [name], judging)[name].drop_null()
        share = pc.mean(pc.is_in(mine, value_set=known.field("values"))).as_py() if len(mine) else 0.0
        if share and share > 0.5:
            evidence = (
                f"{share:.0%} of the sealed rows are of a {name} that has training rows; if what is learned about one "
                "must not judge the model, declare SplitSpec.group"
            )
            found.append({**_leak(name, "entity", evidence), "action": "warned"})
    return found


def _leak(column: str, kind: str, evidence: str) -> dict[str, Any]:
    return {"column": column, "kind": kind, "evidence": evidence, "action": ""}
