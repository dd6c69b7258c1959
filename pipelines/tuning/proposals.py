"""What to try next: each family's portfolio first, then Optuna's TPE; reproducible whatever the number of cores."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from pipelines.algorithms.base import Family, Params, Shape

FAMILY = "family"


@dataclass(frozen=True)
class Proposal:
    """One trial to run; ``rival`` holds the fold losses of the best trial known, ``first`` marks a family's first."""

    number: int
    family: str
    params: Params
    first: bool
    rival: tuple[float, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a trial came to: ``state`` is done, pruned, cut (out of time) or failed."""

    state: str
    loss: float = math.nan
    fold_losses: tuple[float, ...] = ()
    fit_seconds: float = 0.0
    seconds: float = 0.0
    error: str = ""
    learned: tuple[dict[str, float], ...] = field(default=())


class Study:
    """Proposes trial n from the answers of the trials up to n - ``generation``, told in trial order.

    So the proposals depend on the seed and the answers alone, never on which trial happened to end first. Up to
    ``generation`` trials may run at one time, and none has to wait for a whole generation to end.
    """

    def __init__(
        self, families: Mapping[str, Family], shape: Shape, *, seed: int, generation: int, prune: bool
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=1, constant_liar=True, n_ei_candidates=32)
        self._study = optuna.create_study(sampler=sampler, direction="minimize")
        self._families, self._generation, self._prune = tuple(families), generation, prune
        self._spaces = {name: family.space(shape) for name, family in families.items()}
        self._asked: list[tuple[optuna.trial.Trial, Proposal]] = []
        self._answers: dict[int, Answer] = {}
        self._told = 0
        portfolios = {name: family.portfolio(shape) for name, family in families.items()}
        for rank in range(max(len(portfolio) for portfolio in portfolios.values())):
            for name in families:
                if rank < len(portfolios[name]):
                    start = {f"{name}.{key}": value for key, value in portfolios[name][rank].items()}
                    self._study.enqueue_trial({FAMILY: name, **start})

    def ready(self) -> bool:
        """Whether the answers that the next proposal rests on are all there."""
        return all(number in self._answers for number in range(self._told, len(self._asked) - self._generation + 1))

    def propose(self) -> Proposal:
        """Give the next trial; call only when ``ready``."""
        number = len(self._asked)
        while self._told <= number - self._generation:
            self._tell(self._told)
            self._told += 1
        trial = self._study.ask()
        name = str(trial.suggest_categorical(FAMILY, self._families))
        params = {key: _suggest(trial, f"{name}.{key}", space) for key, space in self._spaces[name].items()}
        first = all(proposal.family != name for _, proposal in self._asked)
        proposal = Proposal(number, name, params, first, () if first or not self._prune else self._rival())
        self._asked.append((trial, proposal))
        return proposal

    def answer(self, number: int, answer: Answer) -> None:
        """Record what a trial came to; may be called in any order."""
        self._answers[number] = answer

    def _tell(self, number: int) -> None:
        trial, answer = self._asked[number][0], self._answers[number]
        if answer.state in ("done", "pruned") and math.isfinite(answer.loss):
            self._study.tell(trial, answer.loss)
        else:
            self._study.tell(trial, state=TrialState.FAIL)

    def _rival(self) -> tuple[float, ...]:
        known = [self._answers[number] for number in range(self._told)]
        done = [answer for answer in known if answer.state == "done"]
        return min(done, key=lambda answer: answer.loss).fold_losses if done else ()


def _suggest(trial: optuna.trial.Trial, name: str, space: Any) -> Any:
    if isinstance(space, FloatDistribution):
        return trial.suggest_float(name, space.low, space.high, log=space.log, step=space.step)
    if isinstance(space, IntDistribution):
        return trial.suggest_int(name, space.low, space.high, log=space.log, step=space.step)
    if isinstance(space, CategoricalDistribution):
        return trial.suggest_categorical(name, space.choices)
    raise TypeError(f"{name}: {type(space).__name__} is no distribution that a search space may hold")
