"""Every combination, trained for real on adult or dry beans, against its members, on rows that none of them saw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real import real_columns

from pipelines.algorithms import metrics
from pipelines.algorithms.base import Array, Params, Part
from pipelines.algorithms.catalogue import family
from pipelines.algorithms.table import Columns
from pipelines.ensembling.build import Built, build
from pipelines.ensembling.candidates import Candidate
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.inference.combine import combine_answers
from pipelines.inference.combine_nodes import Node
from pipelines.tuning.crossval import cross_validate

ROWS = {"adult": 3_000, "dry_bean": 1_400}
SMALL = {"learning_rate": 0.1, "num_leaves": 8, "max_bin": 63}
BARE: dict[str, Any] = {"pick": "best", "compress": (), "calibration": "none"}
Night = tuple[Columns, Part, list[Candidate]]


@pytest.fixture(scope="module")
def night(shared_data: Path) -> Callable[[str], Night]:
    """Give a data set, other rows of it, and trials of three families with their out-of-fold answers."""
    made: dict[str, Night] = {}

    def give(name: str) -> Night:
        if name not in made:
            columns, other = real_columns(shared_data, name, ROWS[name])
            made[name] = columns, other, trials(columns)
        return made[name]

    return give


def trials(columns: Columns) -> list[Candidate]:
    found = []
    for number, name in enumerate(("lightgbm", "extra_trees", "linear")):
        learner = family(name)
        raw: Params = {**learner.default(columns.shape), **(SMALL if name == "lightgbm" else {})}
        trial = cross_validate(learner, raw, columns, seed=0)
        settled = learner.settle(raw, trial.learned)
        found.append(Candidate(number, name, settled, trial.oof, trial.loss, 0.1, raw))
    return sorted(found, key=lambda candidate: candidate.loss)


def predict(built: Built, X: Array) -> Array:
    answers: list[Array] = []
    for _, node in built.members:
        answers.append(node.predict(X, answers))
    return combine_answers(built.combine, answers)


def judged(built: Built, rows: Part, metric: str) -> float:
    return metrics.loss(metric, rows.y, predict(built, rows.X), rows.w)


def alone(night: Night, metric: str) -> list[float]:
    """Give the loss of each trial's own refit on the other rows, best trial first."""
    columns, other, found = night
    losses = []
    for trial in found:
        built = build([trial], columns, EnsembleSpec(methods=(), **BARE), seed=0, cores=2, seconds=None)
        losses.append(judged(built, other, metric))
    return losses


def slack(metric: str, loss: float, rows: int) -> float:
    """Give what two models of equal worth may differ by on so many rows."""
    return 0.25 / np.sqrt(rows) if metric in metrics.GREATER_IS_BETTER else 1.5 * loss / np.sqrt(rows)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("adult", "average"), ("adult", "weighted_average"), ("adult", "stacking"), ("adult", "blending"),
        ("adult", "bagging"), ("adult", "boosting"), ("adult", "hybrid"), ("adult", "cascade"),
        ("adult", "stacking_features"), ("adult", "two_layers"), ("dry_bean", "hard_vote"), ("dry_bean", "soft_vote"),
        ("dry_bean", "stacking"), ("dry_bean", "hybrid"), ("dry_bean", "cascade"),
    ],
)  # fmt: skip
def test_a_combination_holds_its_own_against_its_members(
    name: str, method: str, night: Callable[[str], Night], tmp_path: Path
) -> None:
    columns, other, found = night(name)
    metric = "accuracy" if method == "hard_vote" else columns.shape.metric
    spec = EnsembleSpec(methods=(method,), bags=3, **BARE)
    built = build(found, columns, spec, seed=0, cores=2, seconds=None)
    if built.combine["kind"] != method:
        # The best trial won: it is then better out of fold, and the combination is made all the same.
        assert built.choice.losses["single"] <= built.choice.losses[method]
        built = _forced(found, columns, spec, method)
    mine, members = judged(built, other, metric), alone(night(name), metric)
    best, worst = min(members), max(members)
    assert mine <= best + slack(metric, best, len(other.y)), (mine, members)
    assert mine < worst or method == "hard_vote"
    honest = built.choice.losses[method]
    if method != "hard_vote":
        # What was promised out of fold comes true on rows that nobody saw.
        assert honest == pytest.approx(mine, abs=2 * slack(metric, best, len(other.y)) + 0.02)
    entries = [node.save(tmp_path, str(place)) for place, (_, node) in enumerate(built.members)]
    nodes = [Node.load(tmp_path, entry, place) for place, entry in enumerate(entries)]
    answers: list[Array] = []
    for node in nodes:
        answers.append(node.predict(other.X[:200], answers))
    np.testing.assert_allclose(combine_answers(built.combine, answers), predict(built, other.X[:200]), atol=1e-9)


def _forced(found: list[Candidate], columns: Columns, spec: EnsembleSpec, method: str) -> Built:
    """Make the combination although the best trial is better."""
    with pytest.MonkeyPatch.context() as patch:
        from pipelines.ensembling import choose

        patch.setattr(
            choose, "pick", lambda points, how: min((p for p in points if p.method == method), key=lambda p: p.loss)
        )
        return build(found, columns, spec, seed=0, cores=2, seconds=None)


@pytest.mark.real_data
def test_an_average_of_fold_models_is_as_good_as_a_refit(night: Callable[[str], Night]) -> None:
    columns, other, found = night("adult")
    losses = {}
    for refit in ("whole", "folds"):
        spec = EnsembleSpec(methods=("weighted_average",), refit=refit, **BARE)
        built = build(found, columns, spec, seed=0, cores=2, seconds=None)
        losses[refit] = judged(built, other, "roc_auc")
        assert {len(node.parts) for _, node in built.members} == {1 if refit == "whole" else 4}
    assert losses["folds"] == pytest.approx(losses["whole"], abs=0.01)


@pytest.mark.real_data
def test_permuted_labels_score_as_chance_whatever_the_method(shared_data: Path) -> None:
    columns, _ = real_columns(shared_data, "adult", 1_000)
    rng = np.random.default_rng(0)
    columns.y[:] = rng.permutation(columns.y)
    spec = EnsembleSpec(methods=("stacking", "cascade", "stacking_features", "two_layers", "hybrid"), **BARE)
    built = build(trials(columns), columns, spec, seed=0, cores=2, seconds=None)
    ups = columns.y.sum()
    error = np.sqrt((len(columns.y) + 1) / (12 * ups * (len(columns.y) - ups)))
    assert all(abs(-loss - 0.5) < 3.5 * error for loss in built.choice.losses.values()), built.choice.losses
