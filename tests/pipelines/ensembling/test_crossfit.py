"""What is fitted on top of trials, where the earliest rows judge nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from learning import found_trials, make_columns

from pipelines.ensembling.build import build
from pipelines.ensembling.candidates.stacked_candidates import derive, planned
from pipelines.ensembling.fitting.nested_oof import Nested
from pipelines.ensembling.spec import EnsembleSpec

pytestmark = pytest.mark.slow

METHODS = ("bagging", "boosting", "hybrid", "cascade", "stacking_features", "two_layers")


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_early_rows_are_learned_from_and_never_predicted(task: str) -> None:
    columns = make_columns(task, rows=500)
    fold = columns.fold.copy()
    fold[:120] = -1
    fold[120:200] = -2
    columns = dataclasses.replace(columns, fold=fold)
    found = found_trials(columns, ("decision_tree", "linear"))
    wanted, _ = planned(found, columns, EnsembleSpec(methods=METHODS, bags=2))
    nested = Nested({trial.number: trial for trial in found}, columns, seed=0, cores=2)
    made, left_out = derive(wanted, nested, columns, seed=0, cores=2, until=None)
    assert left_out == []
    assert {candidate.made.method for candidate in made if candidate.made} == set(METHODS)
    trials = {candidate.made.method: candidate.trials for candidate in made if candidate.made}
    assert trials["bagging"] == (found[0].number,), "a bag has the settings of a trial, and reads none"
    assert set(trials["cascade"]) == set(trials["stacking_features"]) == {0, 1}
    for candidate in made:
        assert np.isfinite(candidate.oof[fold >= 0]).all(), candidate.name
        assert np.isnan(candidate.oof[fold < 0]).all(), candidate.name
    for method in METHODS:
        spec = EnsembleSpec(methods=(method,), bags=2, compress=())
        built = build(list(found), columns, spec, seed=0, cores=2, seconds=None)
        assert method in built.choice.losses
        assert built.choice.losses[built.combine["kind"]] <= built.choice.losses["single"]
