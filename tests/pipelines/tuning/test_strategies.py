"""Every strategy, trained for real on dry beans, against what it starts from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from real import real_columns
from searching import conductor_for, run_here

from pipelines.algorithms import metrics
from pipelines.algorithms.catalogue import family
from pipelines.tuning.results import check
from pipelines.tuning.work import oof_path

FAMILIES = ("linear", "decision_tree")
TRIALS = 14


@pytest.mark.real_data
@pytest.mark.parametrize("strategy", ["bayesian", "random", "grid", "nsga2", "cmaes", "population"])
def test_a_strategy_beats_its_start_and_chance(strategy: str, shared_data: Path, tmp_path: Path) -> None:
    if strategy == "cmaes":
        pytest.importorskip("cmaes")
    columns, _ = real_columns(shared_data, "dry_bean", 500, folds=3)
    families = {name: family(name) for name in FAMILIES}
    conductor = conductor_for(
        tmp_path, families, columns, trials=TRIALS, strategy=strategy, sized=strategy == "nsga2", pruning="median"
    )
    run_here(conductor, columns, families)
    outcomes = conductor.study.outcomes()
    done = check(outcomes)
    assert {o.proposal.origin for o in outcomes} == {"portfolio", "search"}
    starts = [o.answer.loss for o in done if o.proposal.first]
    assert done[0].answer.loss <= min(starts)
    shares = np.bincount(columns.y.astype(int)) / len(columns.y)
    assert done[0].answer.loss < -float(shares @ np.log(shares)) / 3
    oof = np.load(oof_path(tmp_path, done[0].proposal.number), allow_pickle=False)
    assert metrics.loss("log_loss", columns.y, oof, columns.w) == done[0].answer.loss
    assert sum(o.answer.state in ("done", "pruned") for o in outcomes) == TRIALS
