from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from learning import make_columns

from pipelines.algorithms.base import FitContext
from pipelines.algorithms.families import family
from pipelines.errors import DeployError
from pipelines.inference.ensemble.combine import combine_predictions
from pipelines.inference.ensemble.ensemble import Ensemble


def test_weighted_average_and_stacking_of_numbers() -> None:
    predictions = [np.array([1.0, 2.0]), np.array([3.0, 6.0])]
    average = combine_predictions({"kind": "weighted_average", "weights": [0.25, 0.75]}, predictions)
    assert average.tolist() == [2.5, 5.0]
    stacked = combine_predictions({"kind": "stacking", "weights": [1.0, 0.5], "intercept": -1.0}, predictions)
    assert stacked.tolist() == [1.5, 4.0]


def test_stacking_of_probabilities_is_a_softmax_of_logs() -> None:
    predictions = [np.array([[0.2, 0.8]]), np.array([[0.5, 0.5]])]
    out = combine_predictions({"kind": "stacking", "weights": [2.0, 1.0], "intercept": [0.0, 0.0]}, predictions)
    np.testing.assert_allclose(out, [[0.04 / 0.68, 0.64 / 0.68]])
    certain = combine_predictions(
        {"kind": "stacking", "weights": [1.0], "intercept": [0.0, 0.0]}, [np.array([[0.0, 1.0]])]
    )
    assert np.isfinite(certain).all()


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_loaded_ensemble_predicts_as_its_members(task: str, tmp_path: Path) -> None:
    columns = make_columns(task)
    (tmp_path / "members").mkdir()
    entries, predictions = [], []
    for index, name in enumerate(("lightgbm", "extra_trees", "linear")):
        learner = family(name)
        fitted = learner.fit(
            {**learner.default(columns.shape), **({"iterations": 30} if name == "lightgbm" else {})},
            columns.whole(),
            None,
            columns.shape,
            FitContext(),
        )
        entries.append(fitted.save(tmp_path / "members", f"{index}-{name}"))
        predictions.append(fitted.predict(columns.X))
    combine = {"kind": "weighted_average", "weights": [0.5, 0.3, 0.2]}
    (tmp_path / "model.json").write_text(json.dumps({"members": entries, "combine": combine}))
    loaded = Ensemble.load(tmp_path)
    np.testing.assert_allclose(
        loaded.predict(columns.X), combine_predictions(combine, predictions), rtol=1e-12, atol=1e-12
    )
    one = np.vstack([np.atleast_2d(loaded.predict(columns.X[row : row + 1])) for row in range(20)])
    np.testing.assert_allclose(one.reshape(20, -1), loaded.predict(columns.X[:20]).reshape(20, -1), rtol=0, atol=1e-12)


def test_unknown_way_of_combining_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps({"members": [], "combine": {"kind": "telepathy"}}))
    with pytest.raises(DeployError, match="cannot combine"):
        Ensemble.load(tmp_path)
