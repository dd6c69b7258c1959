"""Which candidates are fitted on top of trials: bags, corrections, readers, layers."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from pipelines.algorithms.base import OutOfTimeError
from pipelines.algorithms.class_imbalance import AUGMENT
from pipelines.algorithms.families import family
from pipelines.algorithms.registry import ALGORITHMS
from pipelines.algorithms.training_data import Columns
from pipelines.ensembling.candidates.candidates import Candidate, Made
from pipelines.ensembling.combination.combiners import VOTES
from pipelines.ensembling.fitting.crossfit import cross_fit, oof_of
from pipelines.ensembling.fitting.fit_candidate import numbers, wider
from pipelines.ensembling.fitting.nested_oof import Nested
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.inference.ensemble.combine import scores_of

LINEAR = "linear"
FIRST_NUMBER = 100_000
"""Numbers of candidates that are no trials start here."""
FIRST_LAYER = 5
"""Most trials whose predictions others read: each is fitted once more for every two folds, see ``nested``."""
SECOND_LAYER = 3
"""Trials whose settings make the second layer."""


def planned(
    trials: list[Candidate], columns: Columns, spec: EnsembleSpec
) -> tuple[list[Candidate], list[dict[str, Any]]]:
    """Return the candidates that the methods of the spec ask for, not fitted yet, and what cannot be made and why.

    Parameters
    ----------
    trials
        Best first.
    """
    made: list[Candidate] = []
    left_out: list[dict[str, Any]] = []

    def add(learner: Candidate, how: Made) -> None:
        raw = {name: value for name, value in learner.raw.items() if name != AUGMENT or how.kind == "bag"}
        how = replace(how, like=(learner.number,))
        made.append(replace(learner, number=FIRST_NUMBER + len(made), raw=raw, made=how))

    def without(method: str, why: str) -> None:
        left_out.append({"method": method, "why": why})

    firsts = _best_of_each(trials)
    others = [trial for trial in firsts if trial.family != trials[0].family]
    trees = [trial for trial in firsts if ALGORITHMS[trial.family].trees]
    linear = [trial for trial in firsts if trial.family == LINEAR]
    regress = [trial for trial in firsts if "regression" in ALGORITHMS[trial.family].tasks]
    layer = _layer(trials, firsts, min(FIRST_LAYER, spec.max_members))
    for method in spec.methods:
        if method in VOTES and not columns.shape.classes:
            without(method, "votes are for classes, this is a regression")
        elif method == "bagging":
            add(trials[0], Made(method, "bag", bags=spec.bags))
        elif method == "boosting":
            second = next((trial for trial in regress if trial.family != trials[0].family), None)
            if second or regress:
                add(_numbers_learner(second or regress[0], columns), Made(method, "boosted", base=trials[0].number))
            else:
                without(method, "no family of the search fits numbers")
        elif method == "hybrid":
            if linear and trees:
                add(_numbers_learner(trees[0], columns), Made(method, "boosted", base=linear[0].number))
            else:
                without(method, f"it needs a linear trial and one of trees, found {[t.family for t in firsts]}")
        elif method == "cascade":
            first = others[0] if others else trials[1] if len(trials) > 1 else None
            if first is None:
                without(method, "it needs two trials")
            else:
                add(trials[0], Made(method, "member", reads=(first.number,)))
        elif method == "stacking_features":
            reads = tuple(trial.number for trial in layer)
            width = sum(scores_of(oof_of(trial, columns)[:1]).shape[1] for trial in layer)
            raw = family(LINEAR).default(wider(columns.shape, width))
            like = linear[0] if linear else trials[0]
            add(replace(like, family=LINEAR, raw=raw, params=raw), Made(method, "member", reads=reads))
        elif method == "two_layers":
            reads = tuple(trial.number for trial in layer)
            for trial in firsts[:SECOND_LAYER]:
                add(trial, Made(method, "member", reads=reads))
    return made, left_out


def derive(
    planned: list[Candidate], nested: Nested, columns: Columns, *, seed: int, cores: int, until: float | None
) -> tuple[list[Candidate], list[dict[str, Any]]]:
    """Cross-fit the planned candidates on the folds of the trials; return the finished ones and what was left out.

    Parameters
    ----------
    until
        Moment of ``time.time`` at which all of it must be over: what would take longer, by what the trials took, is
        left out, and so is what took longer. None: not limited, and then nothing depends on the clock or on ``cores``.
    """
    made: list[Candidate] = []
    left_out: list[dict[str, Any]] = []
    for candidate in planned:
        cost = _seconds(candidate, nested, columns) / max(1, min(cores, len(columns.folds)))
        if until is not None and cost > until - time.time():
            left_out.append(candidate.left_out(f"it would take about {cost:.0f} s, more than the budget has left"))
            continue
        try:
            made.append(cross_fit(candidate, nested, columns, seed=seed, cores=cores, until=until))
        except OutOfTimeError:
            left_out.append(candidate.left_out("it took longer than its share of the budget"))
        except Exception as error:  # noqa: BLE001 - a family may fail in any way; the trials remain
            left_out.append(candidate.left_out(f"{type(error).__name__}: {error}".splitlines()[0]))
    return made, left_out


def _best_of_each(trials: list[Candidate]) -> list[Candidate]:
    best: dict[str, Candidate] = {}
    for trial in trials:
        best.setdefault(trial.family, trial)
    return list(best.values())


def _layer(trials: list[Candidate], firsts: list[Candidate], most: int) -> list[Candidate]:
    """Return the first layer: the best of each family, then the best others."""
    numbers_of_firsts = {trial.number for trial in firsts}
    return [*firsts, *(trial for trial in trials if trial.number not in numbers_of_firsts)][:most]


def _numbers_learner(trial: Candidate, columns: Columns) -> Candidate:
    """Return the trial with settings for numbers: its own for a regression, else the family's default for one."""
    if not columns.shape.classes:
        return trial
    return replace(trial, raw=family(trial.family).default(numbers(columns.shape)))


def _seconds(candidate: Candidate, nested: Nested, columns: Columns) -> float:
    """Estimate the time that the folds and the refit take, from the trials that it stands on."""
    made = candidate.made
    times = 1 if made is None else made.bags
    if made is not None and made.kind == "boosted" and columns.shape.classes > 2:
        times = columns.shape.classes
    below = sum(nested.trials[number].refit_seconds * nested.fits(number) for number in made.needs) if made else 0.0
    return candidate.refit_seconds * times * (len(columns.folds) + 1) + below
