"""Dates to numbers: calendar parts, cycles, and the days between two dates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from pipelines.inference.operations.base import Numbers, Operation, RowFunction, register

DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Part = Literal["year", "month", "day", "weekday", "day_of_year", "hour", "elapsed_days"]
PARTS: tuple[Part, ...] = ("year", "month", "day", "weekday", "day_of_year", "hour", "elapsed_days")
Cycle = Literal["month", "day", "weekday", "day_of_year", "hour"]
LENGTHS: dict[Cycle, tuple[int, int]] = {
    "month": (1, 12),
    "day": (1, 31),
    "weekday": (0, 7),
    "day_of_year": (1, 366),
    "hour": (0, 24),
}
"""First value and length of a cycle."""


@register
@dataclass(frozen=True)
class DateParts(Operation):
    """Calendar parts, one per output; ``origin``: microseconds since 1970 from which ``elapsed_days`` counts."""

    kind: ClassVar[str] = "date_parts"
    parts: tuple[Part, ...]
    origin: int

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        moments = columns[self.inputs[0]]
        missing = np.isnat(moments)
        return [np.where(missing, np.nan, calendar(moments, part, self.origin)) for part in self.parts]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        name, origin = self.inputs[0], self.origin
        cells = tuple(_CELLS[part] for part in self.parts)
        nothing = (math.nan,) * len(cells)

        def one(row: Mapping[str, Any]) -> tuple[float, ...]:
            moment = row[name]
            return nothing if moment is None else tuple([cell(moment, origin) for cell in cells])

        return one


@register
@dataclass(frozen=True)
class DateCycles(Operation):
    """Sine, then cosine, of each cycle's angle: whole turns from the first value of the cycle."""

    kind: ClassVar[str] = "date_cycles"
    cycles: tuple[Cycle, ...]

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        moments = columns[self.inputs[0]]
        missing = np.isnat(moments)
        made = []
        for cycle in self.cycles:
            first, length = LENGTHS[cycle]
            steps = np.where(missing, length, calendar(moments, cycle, 0) - first).astype(np.int64)
            made += [np.asarray(table)[steps] for table in _waves(length)]
        return made

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        name = self.inputs[0]
        waves = [(_CELLS[cycle], LENGTHS[cycle][0], *_waves(LENGTHS[cycle][1])) for cycle in self.cycles]
        nothing = (math.nan,) * (2 * len(waves))

        def one(row: Mapping[str, Any]) -> Any:
            moment = row[name]
            if moment is None:
                return nothing
            made = []
            for cell, first, sines, cosines in waves:
                step = int(cell(moment, 0)) - first
                made += [sines[step], cosines[step]]
            return made

        return one


@register
@dataclass(frozen=True)
class DaysBetween(Operation):
    """Days from the first input to the second, negative if that lies earlier; NaN where one is missing."""

    kind: ClassVar[str] = "days_between"

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        start, end = (columns[name] for name in self.inputs)
        gone = (end.astype(np.int64) - start.astype(np.int64)) / DAY_US
        return [np.where(np.isnat(start) | np.isnat(end), np.nan, gone)]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        first, second = self.inputs

        def one(row: Mapping[str, Any]) -> tuple[float]:
            start, end = row[first], row[second]
            if start is None or end is None:
                return (math.nan,)
            return (float(microseconds(end) - microseconds(start)) / DAY_US,)

        return one


def _waves(length: int) -> tuple[list[float], list[float]]:
    """Return sine and cosine of every step of a cycle, and NaN last; looked up, so that all paths agree."""
    angles = [2.0 * math.pi * step / length for step in range(length)]
    return [*map(math.sin, angles), math.nan], [*map(math.cos, angles), math.nan]


def calendar(moments: npt.NDArray[np.datetime64], part: Part, origin: int) -> Numbers:
    """Return one calendar part of datetime64[us] values; not meaningful where they are NaT."""
    if part == "elapsed_days":
        return np.asarray((moments.astype(np.int64) - origin) / DAY_US, dtype=np.float64)
    day = moments.astype("datetime64[D]")
    whole: npt.NDArray[Any]
    if part == "year":
        whole = moments.astype("datetime64[Y]").astype(np.int64) + 1970
    elif part == "month":
        whole = moments.astype("datetime64[M]").astype(np.int64) % 12 + 1
    elif part in ("day", "day_of_year"):
        first = moments.astype("datetime64[M]" if part == "day" else "datetime64[Y]")
        whole = (day - first.astype("datetime64[D]")).astype(np.int64) + 1
    elif part == "weekday":
        whole = (day.astype(np.int64) + 3) % 7
    else:
        whole = (moments - day).astype(np.int64) // HOUR_US
    return whole.astype(np.float64)


def microseconds(moment: datetime) -> int:
    """Return the microseconds since 1970 of a naive UTC moment."""
    gone = moment.replace(tzinfo=UTC) - _EPOCH
    return (gone.days * 86_400 + gone.seconds) * 1_000_000 + gone.microseconds


_CELLS: dict[str, Callable[[datetime, int], float]] = {
    "year": lambda moment, _: float(moment.year),
    "month": lambda moment, _: float(moment.month),
    "day": lambda moment, _: float(moment.day),
    "weekday": lambda moment, _: float(moment.weekday()),
    "day_of_year": lambda moment, _: float(moment.timetuple().tm_yday),
    "hour": lambda moment, _: float(moment.hour),
    "elapsed_days": lambda moment, origin: float(microseconds(moment) - origin) / DAY_US,
}
