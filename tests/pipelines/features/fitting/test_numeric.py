from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.preprocessing import QuantileTransformer as Peer
from training import applied, training_data

from pipelines.errors import SpecError
from pipelines.features.fitting import FittedStep, fit_step
from pipelines.features.fitting.numeric import rank_curve, yeo_johnson_exponent
from pipelines.features.fitting.statistics import moments, quantiles
from pipelines.features.spec import Bin, Clip, Impute, MinMax, Power, QuantileTransform, Robust, Standardise

RANDOM = np.random.default_rng(0)
SKEWED = np.exp(RANDOM.normal(size=400)) - 1.0
FRAME = pd.DataFrame({"a": SKEWED, "b": np.where(np.arange(400) % 5, np.arange(400.0), np.nan), "c": 7.0, "word": "x"})


@pytest.fixture
def fit(tmp_path: Path) -> Any:
    def run(step: Any, frame: pd.DataFrame = FRAME, **more: Any) -> tuple[dict[str, Any], FittedStep]:
        data = training_data(tmp_path, frame, [0.0] * len(frame), [0] * len(frame), rows_per_part=150, **more)
        fitted = fit_step(step, data)
        return applied(fitted, frame), fitted

    return run


def test_impute(fit: Any) -> None:
    values, fitted = fit(Impute(columns=("a", "b"), indicator=True))
    np.testing.assert_array_equal(values["b"], FRAME["b"].fillna(FRAME["b"].median()))
    np.testing.assert_array_equal(values["b.missing"], FRAME["b"].isna())
    assert fitted.how["b"] == f"missing filled with the median {FRAME['b'].median():g}"


def test_impute_a_constant(fit: Any) -> None:
    values, _ = fit(Impute(columns=("b",), how="constant", value=-1.0))
    np.testing.assert_array_equal(values["b"], FRAME["b"].fillna(-1.0))


def test_standardise_is_weighted(fit: Any) -> None:
    weight = 1.0 + np.arange(400) % 3
    values, _ = fit(Standardise(columns=("a", "b", "c")), weight=weight)
    seen = ~np.isnan(values["b"])
    assert np.average(values["b"][seen], weights=weight[seen]) == pytest.approx(0, abs=1e-12)
    assert np.average(values["b"][seen] ** 2, weights=weight[seen]) == pytest.approx(1)
    assert (values["c"] == 0).all()


def test_scales(fit: Any, tmp_path: Path) -> None:
    values, _ = fit(MinMax(columns=("a", "b", "c")))
    assert (np.nanmin(values["b"]), np.nanmax(values["b"])) == (0.0, 1.0)
    assert values["c"][0] == 0.0
    data = training_data(tmp_path / "two", FRAME, [0.0] * 400, [0] * 400)
    robust = applied(fit_step(Robust(columns=("a",)), data), FRAME)["a"]
    assert np.median(robust) == pytest.approx(0)
    assert np.subtract(*np.quantile(robust, [0.75, 0.25])) == pytest.approx(1)


def test_clip_by_quantiles_and_by_declared_limits(fit: Any, tmp_path: Path) -> None:
    values, _ = fit(Clip(columns=("a",), low=0.05, high=0.9))
    np.testing.assert_array_equal(values["a"], np.clip(SKEWED, *np.quantile(SKEWED, [0.05, 0.9])))
    data = training_data(tmp_path / "two", FRAME, [0.0] * 400, [0] * 400)
    declared = fit_step(Clip(columns=("b",), at_least=10.0, high=None), data)
    assert declared.how["b"] == "clipped to 10 to …"
    beyond = fit_step(Clip(columns=("b",), at_least=1e6), data)
    assert set(applied(beyond, FRAME)["b"][1:5]) == {1e6}


@pytest.mark.parametrize("to", ["uniform", "normal"])
def test_ranks_agree_with_scikit_learn(fit: Any, to: Any) -> None:
    values, _ = fit(QuantileTransform(columns=("a", "c"), to=to, knots=400))
    peer = Peer(n_quantiles=400, output_distribution=to).fit_transform(SKEWED[:, None])[:, 0]
    np.testing.assert_allclose(values["a"], peer, atol=1e-9)
    assert values["c"][0] == (0.5 if to == "uniform" else 0.0)


def test_tied_numbers_have_the_middle_rank() -> None:
    x, y = rank_curve(np.array([0.0] * 50 + [1.0] * 30 + [2.0] * 20), 11)
    assert x.tolist() == [0.0, 1.0, 2.0]
    assert y.tolist() == pytest.approx([49 / 198, 129 / 198, 179 / 198])


def test_power_agrees_with_scipy(fit: Any) -> None:
    values, _ = fit(Power(columns=("a", "c")))
    expected, exponent = stats.yeojohnson(SKEWED)
    assert yeo_johnson_exponent(SKEWED) == pytest.approx(exponent, abs=1e-4)
    np.testing.assert_allclose(values["a"], stats.zscore(expected), atol=1e-3)
    assert values["c"][0] == 0.0


def test_bins(fit: Any, tmp_path: Path) -> None:
    values, fitted = fit(Bin(columns=("b", "c"), bins=4))
    counts = np.bincount(values["b.bin"][values["b.bin"] >= 0].astype(int))
    assert (counts.max() - counts.min(), len(counts)) == (0, 4)
    assert (values["b.bin"][np.isnan(FRAME["b"])] == -1).all()
    assert [o.cardinality for one in fitted.operations for o in one.outputs] == [4, 1]
    data = training_data(tmp_path / "two", FRAME, [0.0] * 400, [0] * 400)
    even = fit_step(Bin(columns=("a",), bins=3, how="uniform"), data).operations[0]
    assert np.diff(even.borders)[0] == pytest.approx((SKEWED.max() - SKEWED.min()) / 3)  # type: ignore[attr-defined]


def test_wrong_columns_are_refused_together(fit: Any) -> None:
    with pytest.raises(SpecError) as caught:
        fit(Standardise(columns=("word", "nowhere", "a")))
    assert caught.value.faults == ["column 'word' is a category", "there is no column 'nowhere'"]


@given(
    st.lists(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.just(0.0)), max_size=20),
    st.lists(st.floats(0.1, 10), min_size=20, max_size=20),
)
def test_statistics_of_any_numbers_are_finite(numbers: list[float], weights: list[float]) -> None:
    values, weight = np.array(numbers), np.array(weights[: len(numbers)])
    mean, deviation = moments(values, weight)
    low, high = quantiles(values, (0.01, 0.99))
    assert np.isfinite([mean, deviation, low, high, yeo_johnson_exponent(values)]).all()
    assert deviation > 0
    if len(values) and abs(values).max() < 1e6:
        assert mean == pytest.approx(np.average(values, weights=weight), rel=1e-6, abs=1e-6)
    x, y = rank_curve(values, 7)
    assert np.isfinite(y).all()
    assert (np.diff(x) > 0).all()
