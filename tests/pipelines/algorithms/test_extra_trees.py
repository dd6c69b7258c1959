from __future__ import annotations

import numpy as np
import pytest
from learning import make_columns
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from pipelines.algorithms.base import FitContext
from pipelines.algorithms.extra_trees import ExtraTrees
from pipelines.algorithms.forest import export


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_export_equals_scikit_learn(task: str) -> None:
    columns = make_columns(task, rows=1500)
    kind = ExtraTreesRegressor if task == "regression" else ExtraTreesClassifier
    model = kind(n_estimators=30, min_samples_leaf=2, random_state=0).fit(columns.X, columns.y)
    unseen = make_columns(task, rows=1100, seed=9).X * 1.3
    unseen[::7] = np.nan
    expected = model.predict(unseen) if task == "regression" else model.predict_proba(unseen)
    np.testing.assert_allclose(
        export(model.estimators_, getattr(model, "classes_", None), columns.shape.classes).predict(unseen),
        expected,
        rtol=1e-12,
        atol=1e-12,
    )


def test_a_tree_of_one_leaf_and_no_rows() -> None:
    columns = make_columns("regression", rows=50)
    model = ExtraTreesRegressor(n_estimators=3, random_state=0).fit(columns.X, np.full(50, 4.0))
    member = export(model.estimators_, None, 0)
    assert member.predict(columns.X[:2]).tolist() == [4.0, 4.0]
    assert member.predict(columns.X[:0]).shape == (0,)


def test_numbers_beyond_single_precision_are_learned_from() -> None:
    columns = make_columns("regression", rows=200)
    columns.X[:, 0] = np.where(columns.y > np.median(columns.y), 1e300, -1e300)
    family = ExtraTrees()
    made = family.fit(family.default(columns.shape), columns.whole(), None, columns.shape, FitContext())
    y_pred = made.predict(columns.X)
    assert np.isfinite(y_pred).all()
    assert y_pred[columns.X[:, 0] > 0].mean() > y_pred[columns.X[:, 0] < 0].mean() + 0.5
