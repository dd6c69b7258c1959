"""What to try next; reproducible whatever the number of cores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.algorithms.base import Family, Params, TaskInfo
from pipelines.tuning import pruning
from pipelines.tuning.allocation import Allocation
from pipelines.tuning.initial_points import Start, starts
from pipelines.tuning.samplers import sampler_for
from pipelines.tuning.trials import Proposal, TrialOutcome, TrialResult


class Study:
    """Proposes trial n from the results of the trials up to n - ``generation``, learned in trial order.

    So the proposals depend on the seed and the results alone, never on which trial happened to end first. Up to
    ``generation`` trials may run at one time, and none has to wait for a whole generation to end.

    Parameters
    ----------
    families
        By name; the order in which their first configurations are tried.
    strategy, pruning, grid_points
        As in ``TuneSpec``.
    folds
        Folds of a trial.
    warm
        Last nights' best, see ``starts``.
    timed
        Whether families are compared by their seconds; else by their folds, and the clock does not count.

    Attributes
    ----------
    gpu_share
        Share of a GPU that a trial gets from now on whose family can use one; 0: none does.
    """

    def __init__(
        self,
        families: Mapping[str, Family],
        shape: TaskInfo,
        *,
        seed: int,
        generation: int,
        folds: int,
        strategy: str = "bayesian",
        pruning: str = "asha",
        grid_points: int = 3,
        warm: Sequence[Mapping[str, Any]] = (),
        timed: bool = False,
    ) -> None:
        self._families, self._metric, self._folds = dict(families), shape.metric, folds
        self.generation, self._pruning = generation, pruning
        self.gpu_share = 0.0
        self._on_gpu = {name for name, one in families.items() if "gpu" in one.devices and shape.rows >= one.gpu_rows}
        self._samplers = {
            name: sampler_for(strategy, family.space(shape), seed=_seed(seed, index), grid_points=grid_points)
            for index, (name, family) in enumerate(families.items())
        }
        self.allocation = Allocation(tuple(families), shape.metric, seed, timed=timed)
        self._starts = starts(families, shape, warm)
        self._single = {name for name, one in families.items() if all(d.single() for d in one.space(shape).values())}
        self._asked: list[Proposal] = []
        self._results: dict[int, TrialResult] = {}
        self._known: list[TrialResult] = []

    @property
    def asked(self) -> int:
        """How many trials have been proposed."""
        return len(self._asked)

    @property
    def untried(self) -> list[str]:
        """The families that have had no trial yet."""
        tried = {proposal.family for proposal in self._asked}
        return [name for name in self._families if name not in tried]

    def ready(self) -> bool:
        """Whether the results that the next proposal rests on are all there."""
        return all(number in self._results for number in range(len(self._known), self._lagged() + 1))

    def propose(self, affords: Callable[[str, bool], bool] | None = None) -> Proposal | None:
        """Return the next trial, or None when there is none left to try; call only when ``ready``.

        Parameters
        ----------
        affords
            Whether there is time for a trial of a family, by name; the flag says whether it is its first.
        """
        self._learn()
        fresh = set(self.untried)
        may = {name for name in self._families if affords is None or affords(name, name in fresh)}
        while self._starts:
            start = self._starts.pop(0)
            if start.family in may and start.family not in self.allocation.dropped:
                return self._ask(start)
        may -= self._single - fresh  # nothing is left to vary
        while may:
            name = self.allocation.choose(self.asked, may)
            if name is None:
                return None
            proposal = self._ask(Start(name, {}, "search"))
            if proposal is not None:
                return proposal
            may.discard(name)  # its grid is walked to the end
        return None

    def adopt(self, family: str, params: Params, origin: str) -> Proposal:
        """Take a trial of an earlier, broken-off search as the next proposal; call only when ``ready``."""
        self._learn()
        self._starts = [start for start in self._starts if start[:2] != (family, params)]
        proposal = self._ask(Start(family, params, origin), fixed=params)
        if proposal is None:
            raise RuntimeError(f"{family} refused a configuration that was given")
        return proposal

    def record(self, number: int, result: TrialResult) -> None:
        """Record a trial's result; may be called in any order."""
        self._results[number] = result

    def outcomes(self) -> list[TrialOutcome]:
        """Return all trials that have a result, in trial order."""
        return [TrialOutcome(p, self._results[p.number]) for p in self._asked if p.number in self._results]

    def _lagged(self) -> int:
        return self.asked - self.generation

    def _learn(self) -> None:
        while len(self._known) <= self._lagged():
            proposal, result = self._asked[len(self._known)], self._results[len(self._known)]
            self._known.append(result)
            self._samplers[proposal.family].tell(proposal.number, result)
            self.allocation.note(proposal.family, result)

    def _ask(self, start: Start, fixed: Params | None = None) -> Proposal | None:
        number, name = self.asked, start.family
        params = self._samplers[name].ask(number, fixed or start.params or None)
        if params is None:
            return None
        first = all(proposal.family != name for proposal in self._asked)
        spared = (first and self._families[name].most_rows is None) or start.origin == "warm"
        proposal = Proposal(
            number,
            name,
            params,
            first,
            **self._rival(),
            bars=() if spared else pruning.bars(self._pruning, self._metric, self._known, self._folds),
            device="gpu" if name in self._on_gpu and self.gpu_share else "cpu",
            origin=start.origin,
        )
        self._asked.append(proposal)
        self.allocation.asked(name)
        return proposal

    def _rival(self) -> dict[str, Any]:
        done = [result for result in self._known if result.state == "done"]
        if not done:
            return {}
        best = min(done, key=lambda result: result.loss)
        return {"rival": best.fold_losses, "rival_loss": best.loss}


def _seed(seed: int, index: int) -> int:
    """Return a seed of its own for each family."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
