from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from pipelines.errors import DeployError
from pipelines.inference.ensemble.combine import combine_predictions, predictions_of, scores_of
from pipelines.inference.members.combination_nodes import EnsembleNode

X = np.arange(6.0).reshape(3, 2)


class Column:
    """A member that predicts one column."""

    family: ClassVar[str] = "column"

    def __init__(self, index: int) -> None:
        self.index = index

    def predict(self, X: Any) -> Any:
        return X[:, self.index].copy()

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        return {"family": self.family, "file": stem}


def test_a_bag_is_the_mean_and_a_correction_is_added() -> None:
    bag = EnsembleNode((Column(0), Column(1)), kind="bag")
    first = bag.predict(X)
    assert first.tolist() == [0.5, 2.5, 4.5]
    boosted = EnsembleNode((Column(1),), kind="boosted", base=0, step=0.5)
    assert boosted.predict(X, [first]).tolist() == [1.0, 4.0, 7.0]
    assert boosted.inputs == (0,)
    reader = EnsembleNode((Column(2),), reads=(0, 1))
    assert reader.predict(X, [first, 10 * first]).tolist() == first.tolist()


def test_corrections_of_classes_move_log_odds() -> None:
    base = np.array([[0.5, 0.5], [0.2, 0.8], [1.0, 0.0]])
    y_pred = EnsembleNode((Column(0),), kind="boosted", base=0, step=1.0, classes=2).predict(X, [base])
    np.testing.assert_allclose(y_pred[0], [0.5, 0.5])
    np.testing.assert_allclose(y_pred[1, 1], 1 / (1 + np.exp(-(np.log(4) + 2))))
    assert np.isfinite(y_pred).all()


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_scores_and_predictions_are_each_others_reverse(classes: int) -> None:
    rng = np.random.default_rng(0)
    y_pred = rng.normal(size=20) if not classes else rng.dirichlet(np.ones(classes), 20)
    np.testing.assert_allclose(predictions_of(scores_of(y_pred), classes), y_pred, atol=1e-12)


def test_votes_count_by_weight() -> None:
    predictions = [np.array([[0.6, 0.4]]), np.array([[0.3, 0.7]]), np.array([[0.4, 0.6]])]
    combine = {"kind": "hard_vote", "weights": [0.5, 0.2, 0.2]}
    np.testing.assert_allclose(combine_predictions(combine, predictions), [[5 / 9, 4 / 9]])
    soft = combine_predictions({"kind": "soft_vote", "weights": [0.5, 0.5, 0.0]}, predictions)
    np.testing.assert_allclose(soft, [[0.45, 0.55]])


def test_reading_a_later_node_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="does not come before"):
        EnsembleNode.load(tmp_path, {"family": "linear", "file": "0.npz", "reads": [1]}, 1)
    with pytest.raises(DeployError, match="out of its folder"):
        EnsembleNode.load(tmp_path, {"family": "bag", "parts": [{"family": "linear", "file": "../0.npz"}]}, 0)
