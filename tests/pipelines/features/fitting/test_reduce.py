from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA, TruncatedSVD
from training import applied, training_data

from pipelines.errors import SpecError
from pipelines.features.fitting.data import TrainingData
from pipelines.features.fitting.reduce import fit_reduction
from pipelines.features.spec import Pca, TruncatedSvd
from pipelines.features.spec import TruncatedSvd as Svd

NAMES = ("a", "b", "c", "d")


def numbers(rows: int = 230, missing: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 4)) @ rng.normal(size=(4, 4)) + [1.0, 20.0, 0.0, -5.0]
    X[:, 3] *= 30.0
    X[rng.random(X.shape) < missing] = np.nan
    return pd.DataFrame(X, columns=list(NAMES))


def data_of(folder: Path, frame: pd.DataFrame, rows_per_part: int = 60) -> TrainingData:
    rows = len(frame)
    data = training_data(folder, frame, [0.0] * rows, [row % 3 for row in range(rows)], rows_per_part=rows_per_part)
    return dataclasses.replace(data, outputs=tuple(frame.columns))


@pytest.mark.parametrize("standardise", [False, True])
def test_components_are_those_of_scikit_learn_up_to_their_sign(tmp_path: Path, standardise: bool) -> None:
    frame = numbers()
    data = data_of(tmp_path, frame)
    X = frame.to_numpy()
    fitted = fit_reduction(Pca(components=3, standardise=standardise), data)
    made = applied(fitted, frame)
    scaled = (X - X.mean(axis=0)) / (X.std(axis=0) if standardise else 1.0)
    reference = PCA(3, svd_solver="full").fit(scaled)
    theirs = reference.transform(scaled)
    for index in range(3):
        mine = made[f"pca{index + 1}"]
        sign = np.sign(mine @ theirs[:, index])
        np.testing.assert_allclose(mine, sign * theirs[:, index], atol=1e-8)
        share = reference.explained_variance_ratio_[index]
        assert f"{share:.1%} of their variance" in fitted.how[f"pca{index + 1}"]
    if not standardise:
        svd = fit_reduction(Svd(components=2), data)
        theirs = TruncatedSVD(2, algorithm="arpack", random_state=0).fit_transform(X)
        mine = applied(svd, frame)["svd1"]
        np.testing.assert_allclose(mine, np.sign(mine @ theirs[:, 0]) * theirs[:, 0], atol=1e-8)


def test_missing_numbers_count_as_the_mean_and_signs_are_fixed(tmp_path: Path) -> None:
    frame = numbers(missing=0.2)
    fitted = fit_reduction(Pca(components=99), data_of(tmp_path, frame))
    assert len(fitted.operations[0].outputs) == 4
    assert set(fitted.dropped) == set(NAMES)
    made = applied(fitted, frame)
    filled = applied(fitted, frame.fillna(frame.mean()))
    for index in range(4):
        weights = fitted.operations[0].tables()["weights"][f"value{index}"].to_numpy()
        assert weights[np.abs(weights).argmax()] > 0
        np.testing.assert_allclose(made[f"pca{index + 1}"], filled[f"pca{index + 1}"], atol=1e-12)
        assert made[f"pca{index + 1}"].mean() == pytest.approx(0.0, abs=1e-9)


def test_partitions_change_nothing_but_rounding_and_a_constant_does_no_harm(tmp_path: Path) -> None:
    frame = numbers().assign(same=3.0)
    steps = (Pca(columns=("a", "b", "same"), components=1, keep=True), TruncatedSvd(components=1, standardise=True))
    for step in steps:
        one = fit_reduction(step, data_of(tmp_path / f"{step.kind}1", frame, rows_per_part=1000))
        many = fit_reduction(step, data_of(tmp_path / f"{step.kind}2", frame, rows_per_part=7))
        again = fit_reduction(step, data_of(tmp_path / f"{step.kind}3", frame, rows_per_part=7))
        name = f"{step.kind}1"
        np.testing.assert_allclose(applied(one, frame)[name], applied(many, frame)[name], atol=1e-9)
        assert again.operations[0].to_json() == many.operations[0].to_json()
        assert again.operations[0].tables() == many.operations[0].tables()
    assert not fit_reduction(steps[0], data_of(tmp_path / "keep", frame)).dropped


def test_one_feature_cannot_be_reduced(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="at least two"):
        fit_reduction(Pca(columns=("a",)), data_of(tmp_path / "a", numbers()))
    with pytest.raises(SpecError, match="cannot use"):
        fit_reduction(Pca(columns=("a", "zz")), data_of(tmp_path / "b", numbers()))


@pytest.mark.parametrize("kind", [Pca, TruncatedSvd])
@pytest.mark.parametrize("standardise", [False, True])
def test_numbers_whose_squares_no_float_holds_are_reduced_as_others(
    tmp_path: Path, kind: type[Pca] | type[TruncatedSvd], standardise: bool
) -> None:
    frame = numbers() / 200.0
    step = kind(components=2, standardise=standardise)
    plain = applied(fit_reduction(step, data_of(tmp_path / "a", frame)), frame)
    far = applied(fit_reduction(step, data_of(tmp_path / "b", frame * 1e305)), frame * 1e305)
    for name in (f"{step.kind}1", f"{step.kind}2"):
        np.testing.assert_allclose(far[name] / (1.0 if standardise else 1e305), plain[name], rtol=1e-6, atol=1e-9)


def test_columns_of_every_size_and_rows_beyond_it_end_in_numbers(tmp_path: Path) -> None:
    frame = numbers().assign(huge=lambda f: f["a"] * 1e307, tiny=lambda f: f["b"] * 1e-310, none=0.0, one=5e-324)
    frame.loc[0, ["huge", "a"]] = [1.797e308, -1.797e308]
    for index, step in enumerate((Pca(), Svd(), Svd(standardise=True))):
        fitted = fit_reduction(step, data_of(tmp_path / str(index), frame))
        made = applied(fitted, frame.assign(one=-1.797e308))
        for name in (output.name for output in fitted.operations[0].outputs):
            assert not np.isinf(made[name]).any()
