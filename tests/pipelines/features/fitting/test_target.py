from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from training import applied, training_data

from pipelines.errors import SpecError
from pipelines.features.fitting.data import TrainingData
from pipelines.features.fitting.encoding import encode, estimate_strength
from pipelines.features.fitting.target import fit_target
from pipelines.features.spec import TargetEncode


def naive(key: list[object], y: np.ndarray, w: np.ndarray, rows: np.ndarray, row: int, strength: float) -> float:
    """The smoothed mean of a row's key over some rows, in plain Python."""
    w = w / w.mean()
    prior = float(np.average(y[rows], weights=w[rows])) if rows.any() else 0.0
    own = [other for other in np.flatnonzero(rows) if key[other] == key[row]]
    count = sum(w[other] for other in own)
    total = sum(w[other] * y[other] for other in own)
    return prior if not own else (total + strength * prior) / (count + strength)


def messy(folder: Path, rows: int = 120, classes: tuple[str, ...] | None = ("no", "yes")) -> TrainingData:
    rng = np.random.default_rng(1)
    city = rng.choice(["x", "y", "z", None, "w"], rows, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    hour = np.where(rng.random(rows) < 0.1, np.nan, rng.integers(0, 3, rows))
    frame = pd.DataFrame({"city": pd.Series(city, dtype="str"), "hour": hour, "day": pd.Timestamp("2026-01-01")})
    y = rng.normal(size=rows) * 1e3 + 1e6 if classes is None else rng.choice(list(classes), rows)
    return training_data(
        folder,
        frame,
        list(y),
        rng.integers(-1, 4, rows).tolist(),
        classes=classes,
        rows_per_part=50,
        weight=rng.uniform(0.5, 4.0, rows).tolist(),
    )


@pytest.mark.parametrize("unit", [1e308, 1e-200])
def test_numbers_whose_squares_no_float_holds_are_encoded_as_others(unit: float) -> None:
    rng = np.random.default_rng(0)
    codes, fold, y = rng.integers(0, 3, 90), rng.integers(0, 3, 90), rng.uniform(-1.7, 1.7, 90)
    plain, far = (encode(codes, 3, fold, y * size, np.ones(90)) for size in (1.0, unit))
    np.testing.assert_allclose(far.training / unit, plain.training)
    np.testing.assert_allclose(far.values / unit, plain.values)
    assert far.prior / unit == pytest.approx(plain.prior)
    assert far.strength == pytest.approx(plain.strength)


@pytest.mark.parametrize("strength", [0.0, 3.5])
@pytest.mark.parametrize("classes", [None, ("no", "yes"), ("a", "b", "c")])
def test_training_rows_learn_from_the_other_folds_as_a_plain_loop_does(
    tmp_path: Path, classes: tuple[str, ...] | None, strength: float
) -> None:
    data = messy(tmp_path, classes=classes)
    columns = pd.DataFrame({"city": data.column("city").to_pylist(), "hour": data.column("hour")})
    keys = list(zip(columns["city"], columns["hour"].astype(str), strict=True))
    fitted = fit_target(TargetEncode(columns=("city", "hour"), together=True, strength=strength), data)
    labels = [""] if classes is None or len(classes) == 2 else [f"={label}" for label in classes]
    everyone = np.ones(data.rows, dtype=bool)
    for index, label in enumerate(labels):
        name = f"city*hour.target{label}"
        y = data.y() if len(labels) == 1 else (data.y() == index).astype(float)
        for row in range(0, data.rows, 4):
            others = data.fold() != data.fold()[row]
            expected = naive(keys, y, data.weight(), others, row, strength)
            assert fitted.training[name][row] == pytest.approx(expected, rel=1e-9, abs=1e-12)
        frame = pd.DataFrame({"city": columns["city"].astype("str"), "hour": columns["hour"]})
        everywhere = applied(fitted, frame)[name]
        for row in range(1, data.rows, 9):
            expected = naive(keys, y, data.weight(), everyone, row, strength)
            assert everywhere[row] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_view_holds_nothing_of_its_fold(tmp_path: Path) -> None:
    data = messy(tmp_path)
    fitted = fit_target(TargetEncode(columns=("city",)), data)
    seen = data.add(fitted)
    assert seen.varying(["city.target", "hour"]) == ["city.target"]
    labels = data.y().copy()
    labels[data.fold() == 2] = 1.0 - labels[data.fold() == 2]
    flipped_folder = tmp_path / "flipped"
    frame = pd.DataFrame({"city": pd.Series(data.column("city").to_pylist(), dtype="str")})
    flipped = training_data(
        flipped_folder,
        frame,
        [["no", "yes"][int(value)] for value in labels],
        data.fold().tolist(),
        classes=("no", "yes"),
        weight=data.weight().tolist(),
    )
    other = flipped.add(fit_target(TargetEncode(columns=("city",)), flipped))
    np.testing.assert_array_equal(seen.view(2).column("city.target"), other.view(2).column("city.target"))
    assert not np.array_equal(seen.view(1).column("city.target"), other.view(1).column("city.target"))
    assert not np.array_equal(seen.column("city.target"), other.column("city.target"))


def test_unknown_has_the_prior_and_missing_its_own_mean(tmp_path: Path) -> None:
    frame = pd.DataFrame({"c": pd.Series(["a", "a", None, None, "b", "b"], dtype="str")})
    data = training_data(tmp_path, frame, [1.0, 1.0, 5.0, 7.0, 2.0, 2.0], [0, 1, 0, 1, 0, 1])
    fitted = fit_target(TargetEncode(columns="categories", strength=0.0), data)
    asked = pd.DataFrame({"c": pd.Series(["a", None, "new"], dtype="str")})
    np.testing.assert_allclose(applied(fitted, asked)["c.target"], [1.0, 6.0, 3.0], rtol=1e-12)
    assert not fitted.by_fold  # two folds have no third to learn from
    none = pd.DataFrame({"c": pd.Series([], dtype="str")})
    assert len(applied(fitted, none)["c.target"]) == 0


def test_strength_is_the_ratio_of_the_variances() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 500, 40_000)
    y = rng.normal(scale=0.5, size=500)[codes] + rng.normal(scale=2.0, size=40_000)
    counts = np.bincount(codes, minlength=500).astype(float)
    found = estimate_strength(counts, np.bincount(codes, y, 500), np.bincount(codes, y * y, 500))
    assert found == pytest.approx(16.0, rel=0.15)
    noise = encode(codes, 500, rng.integers(0, 5, 40_000), rng.normal(size=40_000), np.ones(40_000))
    assert noise.strength > 500.0
    single = encode(np.arange(50), 50, np.arange(50) % 5, rng.normal(size=50), np.ones(50))
    assert np.isinf(single.strength)
    np.testing.assert_allclose(single.values, single.prior)
    same = encode(codes[:100], 500, np.arange(100) % 5, np.ones(100), np.ones(100))
    np.testing.assert_allclose(same.training, 1.0)


def test_dates_and_absent_columns_are_refused_all_at_once(tmp_path: Path) -> None:
    data = messy(tmp_path)
    with pytest.raises(SpecError, match="cannot use") as caught:
        fit_target(TargetEncode(columns=("day", "city", "town")), data)
    assert caught.value.faults == ["column 'day' is a date", "there is no column 'town'"]
