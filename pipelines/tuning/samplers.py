"""The strategies within one family: Optuna's samplers, a grid, and a population that ages."""

from __future__ import annotations

import warnings
from typing import Any, Protocol

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from pipelines.algorithms.base import Params
from pipelines.tuning.grid import Grid
from pipelines.tuning.population import Population
from pipelines.tuning.trials import TrialResult

Space = dict[str, BaseDistribution]
GENERATION = 6
"""Trials of a family that make one generation of NSGA-II or CMA-ES: a night has some tens of trials of all families."""
AGAIN = 20
"""Times that a configuration is asked for which was not tried before; then there is none left."""
STARTS = 2
CANDIDATES = 32


class TrialSampler(Protocol):
    """Proposes configurations of one family."""

    def ask(self, number: int, fixed: Params | None = None) -> Params | None:
        """Return the configuration of trial ``number``, ``fixed`` if that is given; None: there are no more."""

    def tell(self, number: int, result: TrialResult) -> None:
        """Learn from a result; called in trial order."""


class OptunaSampler:
    """One of Optuna's samplers over a fixed space.

    With ``two`` objectives the second is the size of a fold's member in bytes; a trial that was given up has one, too.
    """

    def __init__(self, space: Space, sampler: optuna.samplers.BaseSampler, *, two: bool = False) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space, self._two = space, two
        self._study = optuna.create_study(sampler=sampler, directions=["minimize"] * (1 + two))
        self._asked: dict[int, optuna.trial.Trial] = {}
        self._tried: list[Params] = []

    def ask(self, number: int, fixed: Params | None = None) -> Params | None:
        """Return the next configuration."""
        if fixed is not None:
            self._study.enqueue_trial(fixed)
        for _ in range(AGAIN):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                trial = self._study.ask()
                params = {name: _suggest(trial, name, space) for name, space in self._space.items()}
            if fixed is not None or params not in self._tried:
                break
            self._study.tell(trial, state=TrialState.FAIL)  # a child that is its parent over again
        else:
            return None
        self._tried.append(params)
        self._asked[number] = trial
        return params

    def tell(self, number: int, result: TrialResult) -> None:
        """Tell Optuna the loss."""
        trial = self._asked.pop(number)
        if result.counts and not self._two:
            self._study.tell(trial, result.loss)
        elif result.counts:
            self._study.tell(trial, [result.loss, float(result.size)])
        else:
            self._study.tell(trial, state=TrialState.FAIL)


def sampler_for(strategy: str, space: Space, *, seed: int, grid_points: int) -> TrialSampler:
    """Make the sampler of one family."""
    if strategy == "grid":
        return Grid(space, seed=seed, points=grid_points)
    if strategy == "population":
        return Population(space, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return OptunaSampler(space, _optuna_sampler(strategy, seed), two=strategy == "nsga2")


def _optuna_sampler(strategy: str, seed: int) -> optuna.samplers.BaseSampler:
    if strategy == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if strategy == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=GENERATION)
    if strategy == "cmaes":
        return optuna.samplers.CmaEsSampler(
            seed=seed,
            popsize=GENERATION,
            warn_independent_sampling=False,
            independent_sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTS),
        )
    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=STARTS, n_ei_candidates=CANDIDATES, multivariate=True, constant_liar=True
    )


def _suggest(trial: optuna.trial.Trial, name: str, space: Any) -> Any:
    if isinstance(space, FloatDistribution):
        return trial.suggest_float(name, space.low, space.high, log=space.log, step=space.step)
    if isinstance(space, IntDistribution):
        return trial.suggest_int(name, space.low, space.high, log=space.log, step=space.step)
    if isinstance(space, CategoricalDistribution):
        return trial.suggest_categorical(name, space.choices)
    raise TypeError(f"{name}: {type(space).__name__} is no distribution that a search space may hold")
