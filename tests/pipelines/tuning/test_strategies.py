"""Every strategy, trained for real on dry beans, against what it starts from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from real import real_columns
from searching import conductor_for, run_here

from pipelines.algorithms.families import family
from pipelines.algorithms.training_data import Columns
from pipelines.metrics import METRICS
from pipelines.tuning.results import check
from pipelines.tuning.trial_runner import oof_path

pytestmark = pytest.mark.usefixtures("untraced")

TRIALS = 30


@pytest.fixture(scope="module")
def beans(shared_data: Path) -> Columns:
    """Some rows of dry_bean: seven classes."""
    return real_columns(shared_data, "dry_bean", 500, folds=3)[0]


@pytest.mark.real_data
@pytest.mark.parametrize("strategy", ["bayesian", "random", "grid", "nsga2", "cmaes", "population"])
def test_a_strategy_beats_what_it_began_with_and_chance(strategy: str, beans: Columns, tmp_path: Path) -> None:
    families = {"decision_tree": family("decision_tree")}
    conductor = conductor_for(
        tmp_path, families, beans, trials=TRIALS, strategy=strategy, sized=strategy == "nsga2", pruning="none"
    )
    run_here(conductor, beans, families)
    outcomes = conductor.study.outcomes()
    done = check(outcomes)
    assert len(done) == TRIALS
    best, started = done[0], [o.result.loss for o in done if o.proposal.origin == "portfolio"]
    assert len(started) >= 2
    assert best.proposal.origin == "search"
    assert best.result.loss < 0.98 * min(started), "what is found is better than the configurations that suit all"
    shares = np.bincount(beans.y.astype(int)) / len(beans.y)
    assert best.result.loss < -float(shares @ np.log(shares)) / 3
    oof = np.load(oof_path(tmp_path, best.proposal.number), allow_pickle=False)
    assert METRICS["log_loss"].loss(beans.y, oof, beans.w) == best.result.loss
    assert all((o.result.size > 0) == (strategy == "nsga2") for o in done)
