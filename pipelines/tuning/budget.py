"""How long the search may go on, so that tune and ensemble together end on time."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from pipelines.errors import SpecError
from pipelines.tuning.trials import Proposal, TrialResult

START_SECONDS = 1.5
"""A stage's process start and imports before its clock can be read."""
ENSEMBLE_SECONDS, ENSEMBLE_SHARE = 5.0, 0.08
"""Start of the ensemble's process, choice of members, golden predictions, signing; the share is for what it may build
on top. Refits are not included."""
COLUMN_SECONDS = 0.0015
"""The same for each column: golden predictions go through the rows one by one, as a service does."""
STOP_SECONDS, POOL_STOP_SECONDS = 3.0, 1.0
"""Ray's end, or that of a local pool, and publishing."""
SHORT_SECONDS = 45.0
"""A budget below this is better spent in a local pool than on Ray's start and end."""
LEAST_SECONDS = 2.0
"""What a family's first trial is given even when the budget is spent."""
FIRST_SHARE, OTHER_SHARE, FIRSTS_SHARE = 0.6, 0.35, 1.5
"""Shares of the time left that the first trial of the first family, and of the other ones, may take; the last is a
bound for all first trials to come together."""
SAFETY, REFIT_SHARE = 1.15, 0.35
"""Refits are given this much more than expected, but no larger share of the budget: then fewer members are refitted."""
CELLS_PER_SECOND, LEAST_ROWS = 8_000, 20_000
"""Numbers that a fit may learn from, per second of the budget and core, but at least so many rows."""


@dataclass
class Budget:
    """Seconds or trials; with trials nothing reads the clock.

    Attributes
    ----------
    seconds, trials
        One of them is in force: ``trials`` when set.
    cores
        Trials, and later refits, at one time.
    members
        Refits that time is set aside for.
    folds
        Folds of a trial; a refit has ``folds / (folds - 1)`` times the rows of one fold's fit.
    trial_seconds
        Longest that one trial may take; one that hangs is cut then.
    columns
        Of the table: what comes after the search takes longer with many.
    pooled
        Whether trials run in a local pool, which ends sooner than Ray does.
    start_took
        Seconds that were spent before the first trial; None: it has not begun.
    """

    seconds: float | None
    trials: int | None
    cores: int
    members: int
    folds: int
    trial_seconds: float | None = None
    started: float = field(default_factory=lambda: time.time() - START_SECONDS)
    columns: int = 0
    pooled: bool = False
    start_took: float | None = None
    _done: list[tuple[Proposal, TrialResult]] = field(default_factory=list)

    @property
    def timed(self) -> bool:
        """Whether the clock decides."""
        return self.trials is None

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.time() - self.started

    def note(self, proposal: Proposal, result: TrialResult) -> None:
        """Learn from a finished trial how long trials and refits take."""
        self._done.append((proposal, result))

    def refit_seconds(self) -> float:
        """Estimate the wall clock of refitting the best members, from what their folds took."""
        done = sorted((result for _, result in self._done if result.state == "done"), key=lambda result: result.loss)
        grow = self.folds / max(1, self.folds - 1)
        costs = [result.fit_seconds * grow for result in done[: self.members]]
        wanted = max([sum(costs) / self.cores, *costs]) * SAFETY if costs else 0.0
        return min(wanted, REFIT_SHARE * self.seconds) if self.seconds is not None else wanted

    def fixed(self) -> float:
        """Return the seconds that the search's end and the ensemble take in any case."""
        stop = POOL_STOP_SECONDS if self.pooled else STOP_SECONDS
        return ENSEMBLE_SECONDS + COLUMN_SECONDS * self.columns + stop

    def reserve(self) -> float:
        """Return the seconds to keep for what comes after the search."""
        fixed = self.fixed() + max(0.0, ENSEMBLE_SHARE * (self.seconds or 0.0) - ENSEMBLE_SECONDS)
        return fixed + (self.refit_seconds() if self._done else 0.1 * (self.seconds or 0.0))

    def search_end(self) -> float:
        """Return the moment, of ``time.time``, at which the search must be over."""
        return self.started + (self.seconds or 0.0) - self.reserve()

    def left(self) -> float:
        """Return the seconds left for searching; infinite for a budget in trials."""
        return self.search_end() - time.time() if self.timed else math.inf

    def limits(self, proposal: Proposal, firsts_left: int = 0) -> tuple[float | None, float | None]:
        """Return a trial's soft limit in seconds from its own start, and its hard end as a moment.

        A family's first trial always ends with something: it grows less rather than being given up.

        Parameters
        ----------
        firsts_left
            Families that wait for their first trial after this one.
        """
        if not self.timed:
            return None, None
        if proposal.first:
            share = FIRST_SHARE if proposal.number == 0 else OTHER_SHARE
            share = min(share, FIRSTS_SHARE * self.cores / (1 + firsts_left))
            return max(LEAST_SECONDS, share * self.left()), None
        return None, max(self.search_end(), time.time() + 1.0)

    @property
    def empty_handed(self) -> bool:
        """Whether no trial has ended well so far."""
        return not any(result.counts for _, result in self._done)

    def affords(self, family: str, fresh: bool = False) -> bool:
        """Whether another trial of a family can be expected to end in time.

        A family's first trial, ``fresh``, can, as long as there is time for the least of one: it grows less if it must.
        While nothing has ended well it is worth a try in any case.
        """
        if not self.timed:
            return True
        if fresh:
            return self.left() >= LEAST_SECONDS or self.empty_handed
        finished = [(p, a) for p, a in self._done if a.state in ("done", "pruned", "cut")]
        same = [a.seconds for p, a in finished if p.family == family] or [a.seconds for _, a in finished]
        return self.left() > (sum(same) / len(same) if same else LEAST_SECONDS)

    def remaining(self) -> float | None:
        """Return the seconds that the ensemble may take, or None when nothing limits it."""
        return None if self.seconds is None or not self.timed else self.seconds - self.spent

    def smallest(self, trial: float = LEAST_SECONDS) -> float:
        """Return the least budget in seconds with which a search that began like this one tries anything.

        Parameters
        ----------
        trial
            Seconds that one trial takes.
        """
        before = self.spent if self.start_took is None else self.start_took
        return math.ceil(before + max(0.0, 0.1 * trial - ENSEMBLE_SECONDS) + self.fixed() + 1.5 * trial)

    def check_start(self) -> None:
        """Raise when there is no time left for one trial of anything.

        Raises
        ------
        SpecError
            Says the smallest budget that works.
        """
        self.start_took = self.spent
        if self.timed and self.left() < LEAST_SECONDS / 2 and not self._done:
            raise too_small(self, self.smallest())


def affordable_rows(budget: Budget, columns: int) -> int | None:
    """Return the most rows that one fit should learn from, so that tens of trials fit into the budget; None: all."""
    if budget.seconds is None or not budget.timed:
        return None
    return max(LEAST_ROWS, int(CELLS_PER_SECOND * budget.seconds * budget.cores / max(1, columns)))


def too_small(budget: Budget, smallest: float) -> SpecError:
    """Make the error for a budget in which no trial ends."""
    before = budget.spent if budget.start_took is None else budget.start_took
    return SpecError(
        "the budget is too small for one trial of anything",
        where="TuneSpec.budget_seconds",
        seen=f"{budget.seconds:g} s, of which starting took {before:.0f} s",
        expected=f"at least {smallest:.0f} s on this machine",
        cure=f"set budget_seconds={smallest:.0f} or more, or trials=1, which has no limit in time",
    )
