from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import lightgbm
import numpy as np
import pytest
from learning import make_columns

from pipelines.algorithms.base import FitContext
from pipelines.algorithms.families import family
from pipelines.inference.trees.fast_predict import LEAF, NORMAL, Walker
from pipelines.inference.trees.lightgbm_format import Nodes, booster_text


def booster(classes: int = 1) -> lightgbm.Booster:
    columns = make_columns("regression", rows=500)
    options = {"verbosity": -1, "num_leaves": 9, "num_threads": 1, "cat_smooth": 1.0, "min_data_per_group": 5}
    if classes > 1:
        options |= {"objective": "multiclass", "num_class": classes}
    label = columns.y if classes == 1 else np.digitize(columns.y, [-5.0, 10.0])
    return lightgbm.train(options, lightgbm.Dataset(columns.X, label=label, categorical_feature=[3]), 12)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("kind", [NORMAL, LEAF])
def test_one_row_is_what_many_rows_are(classes: int, kind: int) -> None:
    trees = booster(classes)
    walker = Walker(trees, classes if kind == NORMAL else trees.num_trees(), kind)
    rows = make_columns("regression", rows=400, seed=2).X
    rows[0], rows[1] = np.nan, np.inf
    expected = trees.predict(rows, pred_leaf=kind == LEAF).reshape(400, -1)
    np.testing.assert_array_equal(walker.walk(rows), expected)
    np.testing.assert_array_equal(np.concatenate([walker.walk(rows[row : row + 1]) for row in range(400)]), expected)


def test_threads_do_not_share_a_call() -> None:
    trees = booster()
    walker = Walker(trees, 1)
    rows = make_columns("regression", rows=400, seed=2).X
    expected = trees.predict(rows)

    def ask(start: int) -> bool:
        return all(walker.walk(rows[row : row + 1])[0, 0] == expected[row] for row in range(start, 400, 8))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))


def test_nodes_as_text_walk_as_said() -> None:
    """Root: c0 at most 1.5, missing left; its right child: c1 one of 0, 40, the others right."""
    tree = Nodes(
        feature=np.array([0, 0, 1, 0, 0], dtype=np.int32),
        threshold=np.array([1.5, 0.0, 0.0, 0.0, 0.0]),
        left=np.array([1, 0, 3, 0, 0], dtype=np.int32),
        right=np.array([2, 0, 4, 0, 0], dtype=np.int32),
        nan_left=np.array([True, False, False, False, False]),
        leaf=np.array([False, True, False, True, True]),
        value=np.array([0.0, 10.0, 0.0, 20.0, 30.0]),
        categories={2: np.array([0, 40])},
    )
    first = {name: getattr(tree, name)[:1] for name in ("feature", "threshold", "left", "right", "nan_left")}
    single = Nodes(**first, leaf=np.array([True]), value=np.array([0.5]))
    read = lightgbm.Booster(model_str=booster_text([tree, single], columns=2))
    rows = np.array([[1.5, 7.0], [np.nan, 7.0], [1.6, 0.0], [1.6, 40.0], [1.6, 39.0], [1.6, -1.0], [1.6, np.nan]])
    assert read.predict(rows).tolist() == [10.5, 10.5, 20.5, 20.5, 30.5, 30.5, 30.5]


@pytest.mark.parametrize(
    "name", ["lightgbm", "xgboost", "catboost", "random_forest", "extra_trees", "decision_tree", "svm", "mlp", "linear"]
)
def test_a_row_costs_little(name: str) -> None:
    """The limit is some ten times what was measured, for a busy machine; a library's own wrapper takes longer."""
    columns = make_columns()
    learner = family(name)
    params = learner.settle(learner.default(columns.shape), [{"iterations": 100.0, "passes": 3.0}])
    member = learner.fit(params, columns.whole(), None, columns.shape, FitContext()).member
    best = np.inf
    for row in range(200):
        started = time.perf_counter()
        member.predict(columns.X[row : row + 1])
        best = min(best, time.perf_counter() - started)
    assert best < 0.6e-3
