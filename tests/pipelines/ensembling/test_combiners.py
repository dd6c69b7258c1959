"""Every combination, trained for real on adult or dry beans, against its members, on rows that none of them saw."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from learning import found_trials
from real import real_columns

from pipelines.algorithms import forest
from pipelines.algorithms.base import Array, Dataset
from pipelines.algorithms.training_data import Columns
from pipelines.ensembling import build as build_module
from pipelines.ensembling.build import Built, build
from pipelines.ensembling.candidates.candidates import Candidate
from pipelines.ensembling.candidates.stacked_candidates import derive, planned
from pipelines.ensembling.combination import selection
from pipelines.ensembling.fitting.nested_oof import Nested
from pipelines.ensembling.fitting.refit import refit
from pipelines.ensembling.spec import EnsembleSpec, Method
from pipelines.inference.ensemble.combine import combine_predictions
from pipelines.inference.ensemble.ensemble import Ensemble
from pipelines.inference.members.combination_nodes import EnsembleNode
from pipelines.metrics import METRICS

pytestmark = pytest.mark.usefixtures("untraced")

ROWS = {"adult": 2_000, "dry_bean": 900}
SMALL = {"learning_rate": 0.2, "num_leaves": 8, "max_bin": 63}
TREES = 40
"""Of a forest."""
BARE: dict[str, Any] = {"pick": "best", "compress": (), "calibration": "none"}
DERIVED = ("bagging", "boosting", "hybrid", "cascade", "stacking_features", "two_layers")
TRAINED = [
    ("adult", "average"),
    ("adult", "weighted_average"),
    ("adult", "stacking"),
    ("adult", "blending"),
    ("adult", "bagging"),
    ("adult", "boosting"),
    ("adult", "hybrid"),
    ("adult", "cascade"),
    ("adult", "stacking_features"),
    ("adult", "two_layers"),
    ("dry_bean", "hard_vote"),
    ("dry_bean", "soft_vote"),
    ("dry_bean", "stacking"),
    ("dry_bean", "hybrid"),
    ("dry_bean", "cascade"),
]
"""Which combination is trained on which data."""
FULL = os.environ.get("AIMASS_FULL") == "1"


@dataclass
class Night:
    """Rows to learn from and others, trials of three families, and all that is fitted on top of them."""

    columns: Columns
    other: Dataset
    found: list[Candidate]
    made: list[Candidate]

    def build(self, spec: EnsembleSpec) -> Built:
        """Build with the candidates that are there already."""
        with pytest.MonkeyPatch.context() as patch:
            mine = [candidate for candidate in self.made if candidate.made and candidate.made.method in spec.methods]
            patch.setattr(build_module, "derive", lambda *_, **__: (mine, []))
            return build(self.found, self.columns, spec, seed=0, cores=2, seconds=None)

    def forced(self, spec: EnsembleSpec, method: str) -> Built:
        """Build the best combination of a method although another one is better."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                selection,
                "pick",
                lambda points, *_: min((p for p in points if p.method == method), key=lambda p: p.loss),
            )
            return self.build(spec)

    @cached_property
    def refits(self) -> dict[str, Array]:
        """Predictions of each trial's own refit for the other rows, by family."""
        fitted, _ = refit(self.found, self.columns, seed=0, cores=2, threads=1)
        return {c.family: fitted[c.number].parts[0].predict(self.other.X) for c in self.found}


@pytest.fixture(scope="module", autouse=True)
def small_forests() -> Iterator[None]:
    """Grow forests of fewer trees."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forest, "TREES", TREES)
        yield


@pytest.fixture(scope="module")
def night(shared_data: Path) -> Callable[[str], Night]:
    """Return a data set with what was learned from it."""
    known: dict[str, Night] = {}

    def give(name: str) -> Night:
        if name not in known:
            columns, other = real_columns(shared_data, name, ROWS[name])
            found = trials(columns)
            wanted, nothing = planned(
                found, columns, EnsembleSpec(methods=DERIVED if name == "adult" else ("hybrid", "cascade"), bags=3)
            )
            nested = Nested({trial.number: trial for trial in found}, columns, seed=0, cores=2)
            made, left_out = derive(wanted, nested, columns, seed=0, cores=2, until=None)
            assert nothing == left_out == []
            known[name] = Night(columns, other, found, made)
        return known[name]

    return give


def trials(columns: Columns) -> list[Candidate]:
    return found_trials(columns, ("lightgbm", "extra_trees", "linear"), {"lightgbm": SMALL})


def predict(built: Built, X: Array) -> Array:
    predictions: list[Array] = []
    for _, node in built.members:
        predictions.append(node.predict(X, predictions))
    return combine_predictions(built.combine, predictions)


def judged(built: Built, rows: Dataset, metric: str) -> float:
    return METRICS[metric].loss(rows.y, predict(built, rows.X), rows.w)


def slack(metric: str, loss: float, rows: int) -> float:
    """Return what two models of equal worth may differ by on so many rows."""
    return 0.25 / np.sqrt(rows) if METRICS[metric].greater_is_better else 1.5 * loss / np.sqrt(rows)


def test_every_combination_is_trained_for_real() -> None:
    assert {method for _, method in TRAINED} == set(get_args(Method))


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "method"), TRAINED)
def test_a_combination_holds_its_own_against_its_members(
    name: str, method: str, night: Callable[[str], Night], tmp_path: Path
) -> None:
    known = night(name)
    other, metric = known.other, "accuracy" if method == "hard_vote" else known.columns.shape.metric
    spec = EnsembleSpec(methods=(method,), **BARE)
    best = known.build(spec)
    taken = best.combine["kind"]
    built = best if taken == method else known.forced(spec, method)
    assert built.combine["kind"] == method
    mine = judged(built, other, metric)
    members = {c.family: METRICS[metric].loss(other.y, known.refits[c.family], other.w) for c in known.found}
    inside = [members[c.family] for c, _ in built.members if not c.made] or [members[known.found[0].family]]
    noise = slack(metric, min(inside), len(other.y))
    losses = built.choice.losses
    if taken == method:
        assert losses[method] <= losses["single"]
        assert mine <= min(inside) + noise, (mine, members)
    else:
        # The best trial is taken instead: it is no worse. The combination still beats the weakest family.
        assert losses[method] >= losses["single"]
        assert mine <= max(members.values()) + noise, (mine, members)
    if method != "hard_vote":
        # What was promised out of fold comes true on rows that nobody saw.
        assert losses[method] == pytest.approx(mine, abs=2 * noise + 0.02)
    entries = [node.save(tmp_path, str(index)) for index, (_, node) in enumerate(built.members)]
    nodes = tuple(EnsembleNode.load(tmp_path, entry, index) for index, entry in enumerate(entries))
    served = Ensemble(nodes, built.combine).predict(other.X[:200])
    np.testing.assert_allclose(served, predict(built, other.X[:200]), rtol=1e-12, atol=1e-12)


@pytest.mark.real_data
def test_an_average_of_fold_models_is_as_good_as_a_refit(night: Callable[[str], Night]) -> None:
    known = night("adult")
    losses = {}
    for how in ("whole", "folds"):
        built = known.build(EnsembleSpec(methods=("weighted_average",), refit=how, **BARE))
        losses[how] = judged(built, known.other, "roc_auc")
        assert {len(node.parts) for _, node in built.members} == {1 if how == "whole" else 4}
    assert losses["folds"] == pytest.approx(losses["whole"], abs=0.01)


@pytest.mark.fault
@pytest.mark.real_data
def test_permuted_labels_score_as_chance_whatever_the_method(shared_data: Path) -> None:
    """R8: what is fitted on predictions of trials must not learn, through them, the labels that it is judged by."""
    columns, _ = real_columns(shared_data, "adult", 600)
    truth, scores = columns.y.copy(), dict[str, list[float]]()
    for seed in range(20 if FULL else 2):
        columns.y[:] = np.random.default_rng(seed).permutation(truth)
        spec = EnsembleSpec(methods=("stacking", *DERIVED[1:]), **BARE)
        built = build(trials(columns), columns, spec, seed=0, cores=2, seconds=None)
        for name, loss in built.choice.losses.items():
            scores.setdefault(name, []).append(-loss)
    ups = truth.sum()
    error = np.sqrt((len(truth) + 1) / (12 * ups * (len(truth) - ups)))
    means = {name: float(np.mean(found)) for name, found in scores.items()}
    # What stands on the best trial has the luck with which that one was chosen of three.
    bound = 3 * error / np.sqrt(20 if FULL else 2) + max(0.0, means["single"] - 0.5)
    assert {name: mean for name, mean in means.items() if abs(mean - 0.5) > bound} == {}, (means, bound)
