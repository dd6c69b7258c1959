"""Computes the bounds of the sealed rows: a date for dated models, a share of keys or entities for others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import numpy as np
from numpy.typing import NDArray

from pipelines.ingestion.holdout.tallies import Classes, Scores
from pipelines.ingestion.spec import IngestSpec

LEAST_OF_CLASS = 10
"""Labelled rows of a class from which at least one of its units is sealed."""


@dataclass(frozen=True)
class Bounds:
    """What earlier nights sealed, so that rows which may have trained a model never judge.

    ``start`` is the latest first day; ``threshold`` the lowest one; ``passed`` are scores below a threshold that were
    not sealed, ``extra`` scores above it that were sealed every night. None: there was no such night.
    """

    start: str | None = None
    threshold: float | None = None
    passed: frozenset[float] = frozenset()
    extra: frozenset[float] | None = None


@dataclass(frozen=True)
class Seal:
    """Which scores are sealed: those below ``threshold`` but ``passed``, and ``extra`` above it."""

    threshold: float
    passed: tuple[float, ...] = ()
    extra: tuple[float, ...] = ()

    def holds(self, scores: Scores) -> NDArray[np.bool_]:
        """Return a mask of the sealed rows."""
        sealed = scores < self.threshold
        if self.passed:
            sealed &= ~np.isin(scores, self.passed)
        if self.extra:
            sealed |= np.isin(scores, self.extra)
        return sealed


def first_sealed_day(labelled: Sequence[tuple[date, int]], spec: IngestSpec, earlier: str | None = None) -> date | None:
    """Return the first day of the sealed window: as few of the last whole days as hold the share.

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
    """Return the first moment of a day in UTC."""
    return datetime.combine(day, time(), tzinfo=UTC)


def threshold(scores: Scores | Iterable[Scores], spec: IngestSpec, earlier: float | None = None) -> float:
    """Return the score below which a key is sealed: the share, lowered until at most ``seal_max_rows`` rows are.

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


def by_key(scores: Scores | Iterable[Scores], classes: Classes, spec: IngestSpec, bounds: Bounds) -> Seal:
    """Seal a share of the keys, and on a model's first night one key of each class that would have none.

    Parameters
    ----------
    scores
        As of :func:`threshold`.
    classes
        The labels of these rows; looked at on the first night only.
    """
    limit = threshold(scores, spec, bounds.threshold)
    if bounds.extra is not None:
        return Seal(limit, extra=tuple(sorted(bounds.extra)))
    lacking = [index for index in _enough(classes) if classes.lowest[index, 0] >= limit]
    return Seal(limit, extra=tuple(sorted({float(classes.lowest[index, 0]) for index in lacking})))


def by_group(scores: Scores, sizes: NDArray[np.int64], classes: Classes, spec: IngestSpec, bounds: Bounds) -> Seal:
    """Seal entities in the order of their scores.

    Those below the share are sealed; where they have less than half of the wanted rows, further ones until these are
    reached; never more than twice what is wanted, ``seal_max_rows`` or half of all rows, unless the first alone is
    more. An entity that is too large for that is passed over; where all are, the smallest is sealed.

    Parameters
    ----------
    scores, sizes
        Score of every entity, ascending, and its labelled rows.
    classes
        Their labels; looked at on the first night only, for classes that would have no sealed row.
    """
    rows = int(sizes.sum())
    wanted = spec.seal_share * rows
    most = min(float(spec.seal_max_rows), 2 * wanted, rows / 2)
    limit = np.inf if bounds.threshold is None else bounds.threshold
    usable = (sizes > 0) & ~np.isin(scores, tuple(bounds.passed))
    fitting = usable & (sizes <= most)
    if not fitting.any() and (sizes > 0).sum() > 1 and usable.any():
        fitting[np.flatnonzero(usable)[sizes[usable].argmin()]] = True
    open_ = np.flatnonzero(fitting & (scores < limit))
    held = np.cumsum(sizes[open_])
    beyond = scores[open_] >= spec.seal_share
    needed = wanted if sizes[open_][~beyond].sum() < wanted / 2 else 0.0
    enough = beyond & (held - sizes[open_] >= needed)
    stops = np.flatnonzero(enough | ((held > most) & (np.arange(len(open_)) > 0)))
    taken = int(stops[0]) if len(stops) else len(open_)
    last = float(scores[open_[taken - 1]]) if taken else -1.0
    if taken == len(open_):
        bound = max(spec.seal_share, float(np.nextafter(last, 2.0))) if bounds.threshold is None else limit
    else:
        bound = float(scores[open_[taken]]) if last >= spec.seal_share or not enough[taken] else spec.seal_share
    bound = min(bound, limit)
    sealed = np.zeros(len(scores), np.bool_)
    sealed[open_[:taken]] = True
    passed = scores[(scores < bound) & ((sizes > 0) | np.isin(scores, tuple(bounds.passed))) & ~sealed]
    if bounds.extra is None:
        extra = _of_classes(scores, np.where(usable, sizes, 0), sealed, fitting, classes, most)
    else:
        grown = scores[np.isin(scores, tuple(bounds.extra)) & (sizes > most)]
        extra = {*bounds.extra} - {*grown.tolist()}
    return Seal(bound, tuple(passed.tolist()), tuple(sorted(extra)))


def _of_classes(
    scores: Scores,
    sizes: NDArray[np.int64],
    sealed: NDArray[np.bool_],
    fitting: NDArray[np.bool_],
    classes: Classes,
    most: float,
) -> set[float]:
    """Return the first entity of each class without a sealed row, largest class first, within the limit of rows.

    Two classes are worth more than that: without them most metrics are not defined.
    """
    chosen, held = {*scores[sealed].tolist()}, int(sizes[sealed].sum())
    size, fits = dict(zip(scores.tolist(), sizes.tolist(), strict=True)), {*scores[fitting].tolist()}
    extra: set[float] = set()
    covered = sum(bool(chosen & {*lowest}) for lowest in classes.lowest.tolist())
    for index in _enough(classes):
        lowest = classes.lowest[index].tolist()
        if chosen & {*lowest}:
            continue
        room = (most if covered > 1 else sizes.sum() / 2) - held
        able = (score for score in lowest if 0 < size.get(score, 0) <= room)
        new = next((score for score in able if score in fits or covered < 2), None)
        if new is not None:
            extra.add(new)
            chosen.add(new)
            held, covered = held + size[new], covered + 1
    return extra


def _enough(classes: Classes) -> list[int]:
    """Return the indices of the classes with enough rows for both sides, in at least two units, the largest first."""
    if not classes.labels:
        return []
    indices = np.flatnonzero((classes.rows >= LEAST_OF_CLASS) & np.isfinite(classes.lowest[:, 1]))
    return [int(index) for index in indices[np.argsort(-classes.rows[indices], kind="stable")]]
