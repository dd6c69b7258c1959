"""Which family the next trial goes to: the budget is spent where it pays."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.tuning.pruning import margin
from pipelines.tuning.trials import TrialResult

PATIENCE = 2
"""Trials that a family has before it can be dropped; and all that it gets while none of them has ended well."""


@dataclass
class Record:
    """What a family has cost and brought: costs are seconds, or folds where the clock must not count."""

    asked: int = 0
    trials: int = 0
    finished: int = 0
    best: float = math.inf
    second: float = math.inf
    spent: float = 0.0
    at_best: float = 0.0
    at_second: float = 0.0

    def note(self, result: TrialResult, cost: float) -> None:
        """Add one trial."""
        self.trials += 1
        self.spent += cost
        if not result.counts:
            return
        self.finished += 1
        if result.loss < self.best:
            self.second, self.at_second = self.best, self.at_best
            self.best, self.at_best = result.loss, self.spent


class Allocation:
    """Chooses families by their estimated cost for improvement (Wang et al., FLAML, 2021); drops those that lose.

    A family whose best is further behind the best of all than a margin, after two trials, has lost. A family that never
    ends well has lost too. The best one never has.
    """

    def __init__(self, families: Sequence[str], metric: str, seed: int, *, timed: bool) -> None:
        self._metric, self._seed, self._timed = metric, seed, timed
        self._records = {name: Record() for name in families}
        self.dropped: dict[str, str] = {}

    def asked(self, family: str) -> None:
        """Take note that a trial of a family has been proposed."""
        self._records[family].asked += 1

    def note(self, family: str, result: TrialResult) -> None:
        """Learn from a result; call in trial order."""
        cost = result.seconds if self._timed else float(max(1, len(result.fold_losses)))
        self._records[family].note(result, max(cost, 1e-3))
        best = min(record.best for record in self._records.values())
        for name, record in self._records.items():
            if name in self.dropped or record.trials < PATIENCE or not math.isfinite(best):
                continue
            behind = record.best - best
            if not record.finished:
                self.dropped[name] = f"none of its {record.trials} trials ended well"
            elif behind > margin(self._metric, best):
                self.dropped[name] = f"{behind:.3g} behind the best after {record.trials} trials"

    def choose(self, number: int, open_to: Collection[str]) -> str | None:
        """Return the family of trial ``number``, drawn with probability 1 / cost for improvement; None: none is left.

        Parameters
        ----------
        open_to
            Families that may be chosen; those dropped are left out.
        """
        names = [name for name in self._records if name in open_to and name not in self.dropped]
        if not names:
            return None
        # Failing is cheap, so it would look like a bargain.
        proven = [name for name in names if self._records[name].finished or self._records[name].asked < PATIENCE]
        names = proven or names
        best = min(record.best for record in self._records.values())
        costs = np.asarray([self._cost(self._records[name], best) for name in names])
        chances = (1.0 / costs) / (1.0 / costs).sum()
        return names[int(np.random.default_rng([self._seed, number]).choice(len(names), p=chances))]

    def _cost(self, record: Record, best: float) -> float:
        """Estimate what an improvement of the best of all costs: of its own best, and more if it is behind."""
        if not record.finished:
            return max(1.0, record.spent)
        own = max(record.spent - record.at_best, record.at_best - record.at_second, 1e-3)
        gain = record.second - record.best if math.isfinite(record.second) else margin(self._metric, best)
        behind = record.best - best
        if behind <= 0.0:
            return own
        pace = max(gain, 1e-9) / max(record.at_best - record.at_second + record.spent - record.at_best, 1e-3)
        return max(own, min(2.0 * behind / pace, 1e6))
