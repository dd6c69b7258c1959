from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from training import applied, training_data

from pipelines.errors import SpecError
from pipelines.features.fitting import FittedStep, fit_step
from pipelines.features.fitting.data import TrainingData
from pipelines.features.spec import (
    Age,
    Codes,
    Cross,
    Cycles,
    DateParts,
    Difference,
    Frequency,
    HashedText,
    Hashing,
    OneHot,
    Ordinal,
    RareGroup,
    Ratio,
    TextLength,
)

TOWN = ["b"] * 4 + ["a"] * 3 + ["c"] * 2 + ["d", None]
FRAME = pd.DataFrame(
    {
        "town": pd.Series(TOWN, dtype="str"),
        "size": pd.Series(["S", "L"] * 5 + ["XL"], dtype="str"),
        "n": np.arange(11.0),
        "m": np.arange(11.0) - 3,
        "born": pd.to_datetime(["2000-01-01"] * 10 + [None]).astype("datetime64[us]"),
        "seen": pd.to_datetime(["2000-03-01 12:00"] * 11).astype("datetime64[us]"),
    }
)
WEIGHT = np.array([2.0] * 4 + [1.0] * 7)


@pytest.fixture
def data(tmp_path: Path) -> TrainingData:
    return training_data(tmp_path, FRAME, [0.0] * 11, [0] * 11, weight=WEIGHT, rows_per_part=4)


def names(fitted: FittedStep) -> list[str]:
    return [output.name for one in fitted.operations for output in one.outputs]


def test_codes(data: TrainingData) -> None:
    fitted = fit_step(Codes(columns=("town",), rare_count=2, max_levels=2), data)
    assert applied(fitted, FRAME)["town.code"].tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, -1]
    assert fitted.operations[0].outputs[0].cardinality == 3


def test_one_hot(data: TrainingData) -> None:
    fitted = fit_step(OneHot(columns=("town", "size"), max_levels=2), data)
    assert names(fitted) == ["town=b", "town=a", "town.other", "town.missing", "size=L", "size=S", "size.other"]
    values = applied(fitted, FRAME)
    assert values["town.other"].tolist() == [0.0] * 7 + [1.0] * 3 + [0.0]
    assert values["town.missing"].sum() == 1
    bare = fit_step(OneHot(columns=("size",), unknown=False, rare_count=2), data)
    assert names(bare) == ["size=L", "size=S"]


def test_two_columns_never_make_one_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": ["b=c", "x"], "a=b": ["c", "x"]}, dtype="str")
    made = names(fit_step(OneHot(columns=("a", "a=b")), training_data(tmp_path, frame, [0, 1], [0, 1])))
    assert sorted(made) == sorted({"a=b=c", "a=x", "a=b=c_", "a=b=x"})


def test_ordinal(data: TrainingData) -> None:
    values = applied(fit_step(Ordinal(columns=("size",), order=("S", "M", "L")), data), FRAME)["size.rank"]
    np.testing.assert_array_equal(values, [0, 2] * 5 + [np.nan])


def test_frequency_estimates_the_population(data: TrainingData) -> None:
    values = applied(fit_step(Frequency(columns=("town",)), data), FRAME)["town.frequency"]
    np.testing.assert_allclose(values, np.array([8] * 4 + [3] * 3 + [2] * 2 + [1, 1]) / 15)


def test_hashing(data: TrainingData) -> None:
    values = applied(fit_step(Hashing(columns=("town",), buckets=8), data), FRAME)["town.hash"]
    assert values[-1] == -1
    assert 0 <= values[:-1].min() <= values.max() < 8


def test_rare_group(data: TrainingData) -> None:
    fitted = fit_step(RareGroup(columns=("town",), min_share=0.2, missing="none"), data)
    made = fitted.operations[0].apply({"town": FRAME["town"]}, 11)[0]
    assert made.to_pylist() == ["b"] * 4 + ["a"] * 3 + ["c"] * 2 + ["(rare)", "none"]
    row = fitted.operations[0].row()
    assert [row({"town": text})[0] for text in ("b", "d", "new", None)] == ["b", "(rare)", "(rare)", "none"]


def test_steps_chain(data: TrainingData) -> None:
    for step in (RareGroup(columns=("town",), min_share=0.25), Cross(columns=("town", "size"))):
        data = data.add(fit_step(step, data))
    values = data.column("town*size")
    assert values.to_pylist()[:2] == ["b | S", "b | L"]
    assert values.to_pylist()[7:] == ["(rare) | L", "(rare) | S", "(rare) | L", None]
    data = data.add(fit_step(Frequency(columns=("town*size",)), data))
    assert data.column("town*size.frequency")[0] == pytest.approx(4 / 15)
    assert data.kinds["town"] == "category"


def test_numbers_are_combined(data: TrainingData) -> None:
    ratio = applied(fit_step(Ratio(numerator="n", denominator="m"), data), FRAME)["n/m"]
    np.testing.assert_array_equal(ratio, np.where(FRAME["m"] == 0, np.nan, FRAME["n"] / FRAME["m"].replace(0, 1)))
    assert applied(fit_step(Difference(left="n", right="m"), data), FRAME)["n-m"].tolist() == [3.0] * 11


def test_dates(data: TrainingData) -> None:
    fitted = fit_step(DateParts(columns=("seen",), parts=("weekday", "elapsed_days", "hour")), data)
    values = applied(fitted, FRAME)
    assert [values[f"seen.{part}"][0] for part in ("weekday", "elapsed_days", "hour")] == [2, 0.5, 12]
    values = applied(fit_step(Cycles(columns=("born", "seen"), cycles=("month", "hour")), data), FRAME)
    assert values["seen.hour_cos"][0] == -1.0
    assert np.isnan(values["born.month_sin"][-1])
    values = applied(fit_step(Age(columns=("born",), until="seen"), data), FRAME)
    np.testing.assert_array_equal(values["born.age"], [60.5] * 10 + [np.nan])
    with pytest.raises(SpecError, match="no later date"):
        fit_step(Age(columns=("born",)), data)


def test_texts(data: TrainingData) -> None:
    fitted = fit_step(HashedText(columns=("town",), buckets=12, value="count"), data)
    assert names(fitted)[0] == "town.text_00"
    values = applied(fitted, FRAME)
    assert np.sum([values[name] for name in names(fitted)], axis=0).tolist() == [1.0] * 10 + [0.0]
    assert applied(fit_step(TextLength(columns=("size",)), data), FRAME)["size.characters"][-1] == 2
