"""Where the sealed part of a table begins: a moment for dated models, a share of keys for others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from pipelines.artifacts import Night
from pipelines.ingestion.spec import IngestSpec
from pipelines.ledger import Ledger
from pipelines.ledger.schema import nights, stages


def first_sealed_day(labelled: Sequence[tuple[date, int]], spec: IngestSpec, earlier: str | None = None) -> date | None:
    """Give the first day of the sealed window: the last whole days, as few as hold the share.

    Parameters
    ----------
    labelled
        Number of labelled rows by day, any order.
    spec
        ``seal_share``, ``seal_max_rows`` and ``seal_days``.
    earlier
        The latest start (ISO date) that an earlier night recorded: the window never moves back before it, because
        the days before it may have trained a model.

    Returns
    -------
    date or None
        None if there is no labelled day, or only one: nothing would be left to train on.
    """
    days = sorted(((day, count) for day, count in labelled if count), reverse=True)
    wanted = sum(count for _, count in days) * spec.seal_share
    start: date | None = None
    held = taken = 0
    for day, count in days[:-1]:
        if taken and (held + count > spec.seal_max_rows or taken == spec.seal_days):
            break
        if taken and spec.seal_days is None and held >= wanted:
            break
        start, held, taken = day, held + count, taken + 1
    if earlier and (start is None or date.fromisoformat(earlier) > start):
        return date.fromisoformat(earlier)
    return start


def midnight(day: date) -> datetime:
    """Give the first moment of a day in UTC."""
    return datetime.combine(day, time(), tzinfo=UTC)


def threshold(
    scores: NDArray[np.float64] | Iterable[NDArray[np.float64]], spec: IngestSpec, earlier: float | None = None
) -> float:
    """Give the score below which a key is sealed: the share, lowered until at most ``seal_max_rows`` rows are.

    Parameters
    ----------
    scores
        Seal score of every row, in one array, shape (n,), or in many; never more than twice ``seal_max_rows`` and one
        array are held.
    earlier
        The lowest threshold of earlier nights; never exceeded, because keys above it may have trained a model.
    """
    limit = spec.seal_share if earlier is None else min(spec.seal_share, earlier)
    lowest = np.empty(0)
    for part in [scores] if isinstance(scores, np.ndarray) else scores:
        lowest = np.concatenate([lowest, part[part < limit]])
        if len(lowest) > 2 * spec.seal_max_rows:
            lowest = np.partition(lowest, spec.seal_max_rows)[: spec.seal_max_rows + 1].copy()
            limit = float(lowest[-1])
    if len(lowest) > spec.seal_max_rows:
        limit = float(np.partition(lowest, spec.seal_max_rows)[spec.seal_max_rows])
    return limit


def earlier_bounds(ledger: Ledger, night: Night) -> dict[str, Any]:
    """Give the bounds that nights known by ``as_of`` have set: {"seal_start": …, "seal_threshold": …}, None if none."""
    query = (
        select(stages.c.stats)
        .join(nights, (stages.c.model == nights.c.model) & (stages.c.night == nights.c.night))
        .where(
            stages.c.model == night.model.name,
            stages.c.stage == "ingest",
            stages.c.state == "done",
            nights.c.as_of <= night.as_of,
            stages.c.night != night.night,
        )
    )
    with ledger.engine.connect() as connection:
        recorded = [stats for (stats,) in connection.execute(query) if stats]
    starts = [stats["seal_start"] for stats in recorded if stats.get("seal_start")]
    thresholds = [stats["seal_threshold"] for stats in recorded if stats.get("seal_threshold") is not None]
    return {"seal_start": max(starts, default=None), "seal_threshold": min(thresholds, default=None)}
