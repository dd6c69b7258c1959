"""The leak sentinel: finds columns that reveal the target because they derive from it or are known only after it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from pipelines.artifacts import Night
from pipelines.errors import GateError
from pipelines.reserved_columns import LABELLED
from pipelines.row_hash import mixed
from pipelines.splitting import single_column_auc
from pipelines.splitting.columns import Hashes, Mask, batches
from pipelines.splitting.leak_signals import (
    MIN_UNLABELLED,
    Codes,
    Looked,
    Numbers,
    column_signs,
    late_columns,
    microseconds,
    sign,
)
from pipelines.splitting.spec import SplitSpec

ROWS = 200_000
"""Training rows that are checked: those with the smallest key hashes."""
SUM_ROWS = 5_000
SUM_COLUMNS = 200
TOGETHER = 16
"""Columns in memory at a time."""
LIKE_AN_ID = re.compile(r"(^|_)(id|uid|uuid|no|nr|key|number|account|customer|client|user|patient|member)s?$")


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
    """Check every clean column on training rows.

    Parameters
    ----------
    table
        The cleaned table.
    y
        Values, or indices into ``labels``, of all rows.
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
    columns = [name for name in table.schema.names if name not in LABELLED]
    moments = microseconds(_taken(table, ["_time"], rows)["_time"]) if model.time is not None else None
    half = (mixed(keys[rows], 18) >> np.uint64(63)).astype(np.bool_)
    looked = Looked(
        spec,
        y[rows].astype(np.float64 if regression else np.int64),
        len(labels),
        half,
        moments,
        int(night.as_of.timestamp() * 1e6),
        _ahead(model.zone, night.as_of.year),
    )
    found: list[dict[str, Any]] = []
    numbers: dict[str, Numbers] = {}
    few = np.flatnonzero(np.arange(len(rows)) % max(1, len(rows) // SUM_ROWS) == 0)
    for start in range(0, len(columns), TOGETHER):
        part = _taken(table, columns[start : start + TOGETHER], rows)
        for name in part.column_names:
            column = part[name].combine_chunks()
            found += column_signs(name, column, looked, own_time=name == model.time)
            if regression and pa.types.is_floating(column.type) and len(numbers) < SUM_COLUMNS:
                numbers[name] = column.to_numpy(zero_copy_only=False)[few]
    if regression and len(numbers) > 1:
        found += _sums(numbers, looked, few, {leak["column"] for leak in found})
    found += late_columns(nulls, columns, spec)
    found += _entities(table, columns, train, sealed, model.time)
    for leak in found:
        allowed = leak["column"] in spec.leaks_allowed or set(leak.get("columns", ["?"])) <= set(spec.leaks_allowed)
        leak["action"] = "allowed" if allowed else leak["action"] or ("refused" if spec.leaks == "refuse" else "warned")
    return found


def _ahead(zone: str, year: int) -> int:
    """Return the microseconds that the clocks of a zone are ahead of UTC, in summer if they are put forward then."""
    offsets = (datetime(year, month, 1, tzinfo=ZoneInfo(zone)).utcoffset() for month in (1, 7))
    return max(0, *(round(offset / timedelta(microseconds=1)) for offset in offsets if offset is not None))


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
        expected="columns that are known before the target is",
        cure=f"ModelSpec(drop=({written},)) keeps them from the learner; if they are known in time, "
        f"SplitSpec(leaks_allowed=({written},)) says so",
        faults=[f"{leak['column']}: {leak['evidence']}" for leak in refused],
    )


def _chosen(train: Mask, hashes: Hashes) -> Codes:
    """Return the indices of at most ``ROWS`` training rows, those of the smallest hashes, in order."""
    indices = np.flatnonzero(train)
    if len(indices) > ROWS:
        limit = np.partition(hashes[indices], ROWS)[ROWS]
        indices = indices[hashes[indices] < limit]
    return indices


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


def _sums(numbers: Mapping[str, Numbers], looked: Looked, few: Codes, known: set[str]) -> list[dict[str, Any]]:
    """Find columns that together are the target."""
    names = [name for name in numbers if name not in known]
    if len(names) < 2:
        return []
    parts = single_column_auc.parts_of_sum(
        np.column_stack([numbers[name] for name in names]), looked.y[few], looked.half[few]
    )
    if not parts:
        return []
    columns = [names[index] for index in parts]
    evidence = f"together they are the target: a weighted sum of them equals it in {len(few):,} rows"
    return [{**sign(" + ".join(columns), "sum", evidence), "columns": columns}]


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
            found.append({**sign(name, "entity", evidence), "action": "warned"})
    return found
