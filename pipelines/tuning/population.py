"""A population of configurations that exploits its best and explores around them."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from pipelines.algorithms.base import Params
from pipelines.tuning.trials import TrialResult

SIZE, TOURNAMENT = 12, 4
CHANGE, RESAMPLE = 0.5, 0.15
"""Chances that a child's setting is moved, and that it is drawn anew."""
FACTOR = 1.25
TRIES = 20
STEP = 0.1
"""How far a setting moves: by this factor on a log scale, by this share of the range else."""


class Population:
    """Population based training's exploit and explore (Jaderberg et al. 2017), one child at a time.

    A child takes the settings of the best of a few members drawn at random and moves some of them (steps of the paper:
    times or divided by 1.25); the oldest member leaves (Real et al. 2019). It is fitted anew, for the fits of a fold
    cannot be handed over: what is inherited is the configuration, not the weights.
    """

    def __init__(self, space: dict[str, BaseDistribution], *, seed: int) -> None:
        self._space: dict[str, Any] = dict(space)
        self._draw = np.random.default_rng(seed)
        self._members: deque[tuple[float, Params]] = deque(maxlen=SIZE)
        self._asked: dict[int, Params] = {}
        self._tried: set[str] = set()

    def ask(self, number: int, fixed: Params | None = None) -> Params | None:
        """Return the next configuration: drawn at random until there are parents, then a child."""
        params = self._next() if fixed is None else dict(fixed)
        for _ in range(TRIES):
            if fixed is not None or str(params) not in self._tried:
                break
            params = self._next()  # a child that was tried before teaches nothing
        self._tried.add(str(params))
        self._asked[number] = params
        return params

    def tell(self, number: int, result: TrialResult) -> None:
        """Let a trial that ended well become a member."""
        params = self._asked.pop(number)
        if result.counts:
            self._members.append((result.loss, params))

    def _next(self) -> Params:
        if len(self._members) < TOURNAMENT:
            return {name: self._sample(space) for name, space in self._space.items()}
        drawn = self._draw.choice(len(self._members), TOURNAMENT, replace=False)
        parent = min((self._members[int(index)] for index in drawn), key=lambda member: member[0])[1]
        return {name: self._move(space, parent[name]) for name, space in self._space.items()}

    def _sample(self, space: Any) -> Any:
        if isinstance(space, CategoricalDistribution):
            return space.choices[int(self._draw.integers(len(space.choices)))]
        share = float(self._draw.random())
        if space.log:
            return _fit(space, math.exp(math.log(space.low) + share * (math.log(space.high) - math.log(space.low))))
        return _fit(space, space.low + share * (space.high - space.low))

    def _move(self, space: Any, value: Any) -> Any:
        chance = float(self._draw.random())
        if chance < RESAMPLE:
            return self._sample(space)
        if chance > RESAMPLE + CHANGE or isinstance(space, CategoricalDistribution):
            return value
        up = bool(self._draw.random() < 0.5)
        if space.log:
            moved = value * FACTOR if up else value / FACTOR
        else:
            moved = value + (1 if up else -1) * STEP * (space.high - space.low)
        if isinstance(space.low, int) and round(moved) == value:
            moved = value + (1 if up else -1)
        return _fit(space, moved)


def _fit(space: Any, value: float) -> Any:
    """Return the value of the space that is nearest."""
    if space.step is not None and not space.log:
        value = space.low + round((value - space.low) / space.step) * space.step
    inside = min(max(value, space.low), space.high)
    return round(inside) if isinstance(space.low, int) else float(inside)
