from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from learning import make_columns

from pipelines.algorithms.adapters import learn_adapters
from pipelines.algorithms.base import FitContext
from pipelines.algorithms.linear import Linear
from pipelines.inference.members.linear import design_matrix


def test_adapter_columns() -> None:
    columns = make_columns()
    params = {"strength": 1.0, "numbers": "pieces", "pieces": 6, "levels": 3}
    adapters = learn_adapters(params, columns.X, columns.shape)
    design = design_matrix(adapters, columns.X)
    assert [adapter.flag for adapter in adapters] == [False, True, False, False]
    assert len(adapters[3].levels) == 3
    assert design.shape == (600, sum(adapter.width for adapter in adapters))
    assert 0.0 <= design.min() <= design.max() <= 1.0
    missing = design[:, adapters[0].width + adapters[1].width - 1]
    np.testing.assert_array_equal(missing == 1.0, np.isnan(columns.X[:, 1]))


def test_many_rows_need_little_more_than_the_matrix_that_they_become() -> None:
    columns = make_columns(rows=40_000)
    adapters = learn_adapters({**Linear().default(columns.shape), "pieces": 32}, columns.X, columns.shape)
    tracemalloc.start()
    design = design_matrix(adapters, columns.X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * design.nbytes
    rows = [0, 1, 777, 39_999]
    np.testing.assert_array_equal(design[rows], np.concatenate([design_matrix(adapters, columns.X[[i]]) for i in rows]))


def test_unseen_codes_and_extremes_stay_finite() -> None:
    columns = make_columns("regression")
    for params in Linear().portfolio(columns.shape):
        fitted = Linear().fit(params, columns.whole(), None, columns.shape, FitContext())
        wild = np.array([[1e300, -1e300, np.nan, 99.0], [np.nan] * 4])
        y_pred = fitted.predict(wild)
        assert np.isfinite(y_pred).all()
        assert np.abs(y_pred - columns.y.mean()).max() < 3 * np.ptp(columns.y)


def test_a_column_without_values_is_left_out() -> None:
    columns = make_columns()
    X = columns.X.copy()
    X[:, 2] = np.nan
    adapters = learn_adapters(Linear().default(columns.shape), X, columns.shape)
    assert [adapter.column for adapter in adapters] == [0, 1, 3]


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_one_row_alone_is_predicted_as_among_others(task: str) -> None:
    columns = make_columns(task)
    fitted = Linear().fit(Linear().default(columns.shape), columns.whole(), None, columns.shape, FitContext())
    together = fitted.predict(columns.X)
    np.testing.assert_allclose(fitted.predict(columns.X[7:8])[0], together[7], rtol=0, atol=1e-14)
