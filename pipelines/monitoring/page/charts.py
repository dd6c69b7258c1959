"""Time lines as SVG paths, and bars of two distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

WIDTH, HEIGHT = 520.0, 130.0
"""Size of a time line, in CSS pixels."""
BARS = 12
"""Bars of a distribution; the smallest of more are put together."""


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Parameters
    ----------
    points
        (moment, value, standard error or None).
    """

    name: str
    points: Sequence[tuple[datetime, float, float | None]]


@dataclass(frozen=True)
class TimeLine:
    """Lines over time, drawn into a box.

    Parameters
    ----------
    limit
        A level that is drawn across.
    floor
        The lowest value of the axis; None: that of the points.
    """

    title: str
    unit: str
    lines: Sequence[Line]
    limit: float | None = None
    limit_is: str = ""
    floor: float | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(line.points for line in self.lines)

    @property
    def span(self) -> tuple[datetime, datetime]:
        """First and last moment."""
        moments = [at for line in self.lines for at, _, _ in line.points]
        return min(moments), max(moments)

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest value of the axis."""
        values = [v + s * 2 * (e or 0.0) for line in self.lines for _, v, e in line.points for s in (-1, 1)]
        values += [] if self.limit is None else [self.limit]
        low, high = min(values) if self.floor is None else self.floor, max(values)
        space = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
        return (low if self.floor is not None else low - space), high + space

    def drawn(self) -> list[dict[str, Any]]:
        """Return each line with the ``path`` of its values, the ``band`` of ± 2 errors, its ``dots``, and its last."""
        return [self._one(line) for line in self.lines if line.points]

    @property
    def limit_at(self) -> float | None:
        """Height of the limit."""
        return None if self.limit is None else self._y(self.limit)

    def _one(self, line: Line) -> dict[str, Any]:
        dots = [(self._x(at), self._y(value)) for at, value, _ in line.points]
        upper = [(self._x(at), self._y(v + 2 * e)) for at, v, e in line.points if e]
        lower = [(self._x(at), self._y(v - 2 * e)) for at, v, e in line.points if e]
        return {
            "name": line.name,
            "path": _path(dots),
            "band": _path([*upper, *lower[::-1]]) + "Z" if len(upper) > 1 else "",
            "dots": dots,
            "last": line.points[-1][1],
        }

    def _x(self, at: datetime) -> float:
        first, last = self.span
        seconds = (last - first).total_seconds()
        return WIDTH / 2 if not seconds else 4 + (WIDTH - 8) * (at - first).total_seconds() / seconds

    def _y(self, value: float) -> float:
        low, high = self.range
        return HEIGHT - HEIGHT * (value - low) / ((high - low) or 1.0)


def bars(column: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Return label, share in training and share now of each bin; of many the smallest are put together."""
    total = max(sum(column["counts"]), 1)
    found = [
        (label, then, count / total)
        for label, then, count in zip(column["bins"], column["shares"], column["counts"], strict=True)
        if then or count or label not in ("missing", "missing or other", "other categories")
    ]
    if len(found) <= BARS:
        return found
    largest = sorted(found, key=lambda bar: max(bar[1:]), reverse=True)[: BARS - 1]
    rest = [bar for bar in found if bar not in largest]
    return [
        *(bar for bar in found if bar in largest),
        (f"{len(rest)} more", sum(bar[1] for bar in rest), sum(bar[2] for bar in rest)),
    ]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
