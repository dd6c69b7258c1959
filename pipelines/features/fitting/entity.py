"""Fits lags and rolling aggregates: as of each training row, and the last known state for all other rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import SpecError
from pipelines.features.fitting.data import FittedStep, TrainingData
from pipelines.features.fitting.lag_features import Past, Whole, reduce_slices
from pipelines.features.fitting.names import check_kinds, free_name
from pipelines.features.fitting.target import LEAST_FOLDS
from pipelines.features.spec import Lag, Rolling
from pipelines.inference.operations.base import Numbers, Output
from pipelines.inference.operations.entity import EntityState
from pipelines.inference.operations.keys import keyed_table, learn_keys
from pipelines.inference.operations.numeric import finite

HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
OF_TARGET = ("mean", "count", "sum")
"""Aggregates that can be computed over a window without the row's own fold."""
LEAST_KNOWN = 0.3
"""Least share of the windows with labels that must hold some of other folds than the row's own."""
NOTHING: Mapping[str, float | None] = {"count": 0.0, "sum": 0.0}
"""Aggregates of an entity without a value; all others are missing."""


class _Events:
    """Entities and times of the training rows; ``asked``, ``upto`` and ``since`` are their queries, sorted."""

    def __init__(self, step: Lag | Rolling, data: TrainingData) -> None:
        where = f"{type(step).__name__}(entity={step.entity!r}, value={step.value!r})"
        check_kinds(step.entity, data, ("category", "code", "number"), where)
        stamps = data.stamp("_time")
        if stamps.null_count == len(stamps):
            raise SpecError(
                "a feature by event time needs the model's time",
                where=where,
                seen="no training row has a time",
                expected="ModelSpec.time, the column with the moment a row happened",
                cure="set time in the ModelSpec, or take the step out",
            )
        self.parts, codes = learn_keys([data.column(name) for name in step.entity])
        known = np.ones(len(self.parts[0]), dtype=bool)
        for part in self.parts:
            known &= part.is_valid().to_numpy(zero_copy_only=False)
        self.time = stamps.cast(pa.timestamp("us", stamps.type.tz)).cast(pa.int64()).fill_null(0).to_numpy()
        dated = pc.is_valid(stamps).to_numpy(zero_copy_only=False)
        self.entity: Whole = np.where(known[codes] & dated, codes, -1)
        self.names = np.where(known, np.arange(len(known)), -1)
        self.end = int(self.time[dated].max())
        # Queries in the order of their results lie close together in memory: several times as fast.
        self.order = np.lexsort((self.time, self.entity))
        self.asked, moments = self.entity[self.order], self.time[self.order]
        delay = round(step.delay_hours * HOUR_US)
        self.upto = moments - max(1, delay)  # rows of the very same moment never count
        self.since = moments - delay - (round(step.window_days * DAY_US) if isinstance(step, Rolling) else 0)

    def past(self, value: Numbers, weight: Numbers, mask: npt.NDArray[np.bool_]) -> Past:
        """Return the values of some rows as a past."""
        rows = np.flatnonzero(mask & (self.entity >= 0) & ~np.isnan(value))
        return Past(self.entity[rows], self.time[rows], value[rows], weight[rows])

    def in_rows(self, values: Numbers) -> Numbers:
        """Return the results in the order of the rows."""
        made = np.empty(len(values))
        made[self.order] = values
        return made

    def as_of(self) -> str:
        """Return the moment of the latest training row."""
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.end)).isoformat()

    def state(
        self, inputs: Sequence[str], names: Sequence[str], values: Sequence[Numbers], how: Sequence[str]
    ) -> EntityState:
        """Return the operation; entities without known values are not in its table."""
        unknown = tuple(NOTHING.get(one) for one in how)
        keep = np.zeros(len(self.names), dtype=bool)
        for column, none in zip(values, unknown, strict=True):
            keep |= ~np.isnan(column) if none is None else column != none
        outputs = tuple(Output(name) for name in names)
        table = keyed_table(self.parts, values, keep)
        return EntityState(tuple(inputs), outputs, table, unknown, self.as_of())


def fit_lag(step: Lag, data: TrainingData) -> FittedStep:
    """Return for each training row its entity's value ``steps`` rows earlier."""
    if step.value == data.target:
        raise SpecError(
            "a lag of the target would tell a row the labels of its own fold",
            where=f"Lag(value={step.value!r})",
            expected="a number column",
            cure=f"use Rolling(value={step.value!r}, how=('mean', 'count')), which leaves the own fold out",
        )
    check_kinds((step.value,), data, ("number",), f"Lag(value={step.value!r})")
    events = _Events(step, data)
    value = data.column(step.value)
    past = events.past(value, value, np.ones(len(value), dtype=bool))
    name = free_name(f"{step.value}.lag{step.steps}.{'*'.join(step.entity)}", set(data.kinds))
    last = past.values_back(events.names, np.full(len(events.names), events.end), step.steps)
    operation = events.state(step.entity, [name], [last], ["last"])
    note = f"{step.value} of {' and '.join(step.entity)} {step.steps} back, known {step.delay_hours:g} h before"
    training = {name: events.in_rows(past.values_back(events.asked, events.upto, step.steps))}
    return FittedStep((operation,), training=training, how={name: f"{note}; state as of {operation.as_of}"})


def fit_rolling(step: Rolling, data: TrainingData) -> FittedStep:
    """Return for each training row the aggregates of its entity's values in the window before it."""
    of_target = step.value == data.target
    if of_target:
        _check_target(step, data)
    else:
        check_kinds((step.value,), data, ("number",), f"Rolling(value={step.value!r})")
    events = _Events(step, data)
    value, weight = data.y() if of_target else data.column(step.value), data.weight()
    taken, label = set(data.kinds), "*".join(step.entity)
    names = [free_name(f"{step.value}.{how}_{step.window_days:g}d.{label}", taken) for how in step.how]
    everything = events.past(value, weight, np.ones(len(value), dtype=bool))
    end = np.full(len(events.names), events.end)
    state = aggregate(everything, events.names, end - round(step.window_days * DAY_US), end, step.how)
    operation = events.state(step.entity, names, state, step.how)
    note = f"{step.value} of {' and '.join(step.entity)}, {step.window_days:g} days until {step.delay_hours:g} h before"
    note += f"{', other folds only' if of_target else ''}; state as of {operation.as_of}"
    how = {name: f"{one} of {note}" for name, one in zip(names, step.how, strict=True)}
    if not of_target:
        columns = aggregate(everything, events.asked, events.since, events.upto, step.how)
        training = {name: events.in_rows(column) for name, column in zip(names, columns, strict=True)}
        return FittedStep((operation,), training=training, how=how)
    parts = _OfFolds(events, value, weight, data)
    _check_known(step, everything, events, parts)
    training = {name: parts.others(one) for name, one in zip(names, step.how, strict=True)}
    by_fold = {name: partial(parts.others, one) for name, one in zip(names, step.how, strict=True)}
    return FittedStep(
        (operation,), training=training, how=how, by_fold=by_fold if len(data.judges) >= LEAST_FOLDS else {}
    )


def _check_target(step: Rolling, data: TrainingData) -> None:
    faults = [f"{how!r} needs the rows of the own fold" for how in step.how if how not in OF_TARGET]
    if data.classes is not None and len(data.classes) != 2:
        faults.append("the target has more than two classes, so it has no mean")
    if faults:
        raise SpecError(
            "a rolling aggregate that cannot be taken of the target",
            where=f"Rolling(value={step.value!r})",
            seen=", ".join(step.how),
            expected=" or ".join(OF_TARGET) + " of a number or of two classes",
            cure="change 'how', or take another value",
            faults=faults,
        )


def _check_known(step: Rolling, everything: Past, events: _Events, parts: _OfFolds) -> None:
    """Refuse windows that lie mostly in the row's own fold: the feature would be missing only in training."""
    low, high = everything.slices(events.asked, events.since, events.upto)
    known = int((high > low).sum())
    others = int((parts.others("count") > 0.0).sum())
    if others < LEAST_KNOWN * known:
        raise SpecError(
            "a rolling aggregate of the target that training rows could hardly learn from",
            where=f"Rolling(entity={step.entity!r}, value={step.value!r}, window_days={step.window_days:g})",
            seen=f"the windows of {known} rows hold labels, those of {others} hold labels of other folds, which are "
            "all that a row may see; blocks of days are such folds",
            expected=f"labels of other folds in at least {LEAST_KNOWN:.0%} of them; serving knows all",
            cure="deal the days out with SplitSpec(time_folds='hashed'), lengthen window_days, or roll another column",
        )


def aggregate(past: Past, entity: Whole, since: Whole, upto: Whole, how: Sequence[str]) -> list[Numbers]:
    """Return the aggregates of every query's window, (n,) each, weighted except min and max; NaN for infinity."""
    low, high = past.slices(entity, since, upto)
    found = high > low
    made: dict[str, Numbers] = {}
    count = reduce_slices(past.weight, low, high, np.add, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        if "sum" in how:
            made["sum"] = reduce_slices(past.weight * past.value, low, high, np.add, 0.0)
        if "mean" in how or "std" in how:
            own, asked = past.references(entity)
            off = past.value - own
            first = _divided(reduce_slices(past.weight * off, low, high, np.add, 0.0), count, found)
            made["mean"] = first + asked
            if "std" in how:
                second = _divided(reduce_slices(past.weight * off * off, low, high, np.add, 0.0), count, found)
                made["std"] = np.sqrt(np.maximum(second - first * first, 0.0))
    for name, function, empty in (("min", np.minimum, np.inf), ("max", np.maximum, -np.inf)):
        if name in how:
            values = reduce_slices(past.value, low, high, function, empty)
            made[name] = np.where(found, values, np.nan)
    made["count"] = count
    return [finite(made[name]) for name in how]


def _divided(sums: Numbers, counts: Numbers, found: npt.NDArray[np.bool_]) -> Numbers:
    made = np.full(len(sums), np.nan)
    np.divide(sums, counts, out=made, where=found)
    return made


class _OfFolds:
    """Each fold's contribution to count and sum of the target in every row's window; on disk, (folds, 2, n)."""

    def __init__(self, events: _Events, y: Numbers, weight: Numbers, data: TrainingData) -> None:
        self._fold = data.fold()
        self._folds = np.unique(self._fold)
        path = data.scratch / f"folds-{len(data.operations)}.npy"
        self._parts = np.lib.format.open_memmap(path, mode="w+", shape=(len(self._folds), 2, data.rows))
        for index, fold in enumerate(self._folds):
            past = events.past(y, weight, self._fold == fold)
            found = aggregate(past, events.asked, events.since, events.upto, ("count", "sum"))
            for side, column in enumerate(found):
                self._parts[index, side] = events.in_rows(column)

    def others(self, how: str, without: int | None = None) -> Numbers:
        """Return an aggregate over the rows of all folds but the row's own, and but ``without``."""
        count, total = np.zeros(len(self._fold)), np.zeros(len(self._fold))
        for index, fold in enumerate(self._folds):
            if fold != without:
                other = self._fold != fold
                count += np.where(other, self._parts[index, 0], 0.0)
                with np.errstate(over="ignore", invalid="ignore"):
                    total += np.where(other, self._parts[index, 1], 0.0)
        if how == "mean":
            return finite(_divided(total, count, count > 0.0))
        return count if how == "count" else finite(total)


FITS = {"lag": fit_lag, "rolling": fit_rolling}
