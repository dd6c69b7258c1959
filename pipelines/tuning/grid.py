"""Grid search: every point of a grid once, in an order that spreads over it from the start."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from pipelines.algorithms.base import Params
from pipelines.tuning.trials import TrialResult


class Grid:
    """Points of a grid over a space.

    Point ``i`` of the walk is point ``(offset + i * stride) mod size`` in the grid's own order; a stride without a
    common divisor visits each point once, and one near the golden section leaves no corner for the end.
    """

    def __init__(self, space: dict[str, BaseDistribution], *, seed: int, points: int) -> None:
        self._levels = {name: levels(distribution, points) for name, distribution in space.items()}
        self.size = math.prod(len(values) for values in self._levels.values())
        self._offset = int(np.random.default_rng(seed).integers(self.size)) if self.size < 2**62 else seed
        stride = max(1, int(self.size * (math.sqrt(5) - 1) / 2))
        while math.gcd(stride, self.size) != 1:
            stride += 1
        self._stride, self._next = stride, 0

    def ask(self, number: int, fixed: Params | None = None) -> Params | None:
        """Return the next point; None when all were given."""
        if fixed is not None:
            return dict(fixed)
        if self._next >= self.size:
            return None
        rest = (self._offset + self._next * self._stride) % self.size
        self._next += 1
        point = {}
        for name, values in self._levels.items():
            rest, index = divmod(rest, len(values))
            point[name] = values[index]
        return point

    def tell(self, number: int, result: TrialResult) -> None:
        """Learn nothing: a grid is walked whatever comes of it."""


def levels(space: Any, points: int) -> list[Any]:
    """Return the values of one setting: all choices, or ``points`` numbers from low to high, evenly or by ratio."""
    if isinstance(space, CategoricalDistribution):
        return list(space.choices)
    spread = np.geomspace if space.log else np.linspace
    numbers = [min(max(float(value), space.low), space.high) for value in spread(space.low, space.high, points)]
    if space.step is not None and not space.log:
        numbers = [space.low + round((value - space.low) / space.step) * space.step for value in numbers]
    if isinstance(space.low, int):
        numbers = [round(value) for value in numbers]
    return list(dict.fromkeys(numbers))
