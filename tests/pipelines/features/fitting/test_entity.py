from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training import applied, training_data

from pipelines.errors import SpecError
from pipelines.features.fitting.data import FittedStep, TrainingData
from pipelines.features.fitting.entity import aggregate, fit_lag, fit_rolling
from pipelines.features.fitting.lag_features import Past, reduce_slices
from pipelines.features.spec import Lag, Rolling

START = pd.Timestamp("2026-01-01", tz="UTC")
HOW = ("mean", "count", "min", "max", "sum", "std")


def flights(folder: Path, rows: int = 90, **extra: Any) -> tuple[TrainingData, pd.DataFrame]:
    """Three airports and one unknown, hours apart, with ties, missing delays and rows without a time."""
    rng = np.random.default_rng(3)
    hours = rng.integers(0, 400, rows) // 5 * 5
    frame = pd.DataFrame(
        {
            "dest": pd.Series(rng.choice(["x", "y", "z", None], rows), dtype="str"),
            "late": np.where(rng.random(rows) < 0.15, np.nan, rng.integers(0, 50, rows) + 0.25),
        }
    )
    time = [None if row % 17 == 5 else START + pd.Timedelta(hours=int(hour)) for row, hour in enumerate(hours)]
    y = rng.integers(0, 2, rows)
    fold = rng.integers(-1, 4, rows)
    weight = rng.uniform(1.0, 3.0, rows)
    data = training_data(
        folder,
        frame,
        ["no" if value == 0 else "yes" for value in y],
        fold.tolist(),
        classes=("no", "yes"),
        time=time,
        weight=weight.tolist(),
        rows_per_part=40,
        **extra,
    )
    return data, frame.assign(time=pd.to_datetime(pd.Series(time), utc=True), y=y.astype(float), fold=fold, w=weight)


def known(frame: pd.DataFrame, row: int, delay: float, days: float | None, value: str) -> pd.DataFrame:
    """The rows that a row may look at, found the plain way."""
    me = frame.loc[row]
    if pd.isna(me["time"]) or pd.isna(me["dest"]):
        return frame.iloc[:0]
    upto = me["time"] - pd.Timedelta(hours=delay)
    found = frame[(frame["dest"] == me["dest"]) & (frame["time"] <= upto) & (frame["time"] < me["time"])]
    if days is not None:
        found = found[found["time"] > upto - pd.Timedelta(days=days)]
    return found[found[value].notna()].sort_values(["time", value])


def plain(found: pd.DataFrame, value: str, how: str) -> float:
    v, w = found[value].to_numpy(), found["w"].to_numpy()
    if how in ("count", "sum"):
        return float(w.sum() if how == "count" else (w * v).sum())
    if not len(v):
        return float("nan")
    mean = float(np.average(v, weights=w))
    spread = float(np.sqrt(np.average((v - mean) ** 2, weights=w)))
    return {"mean": mean, "std": spread, "min": v.min(), "max": v.max()}[how]


@pytest.mark.parametrize("delay", [0.0, 7.5])
def test_training_rows_know_what_a_plain_loop_finds(tmp_path: Path, delay: float) -> None:
    data, frame = flights(tmp_path)
    rolling = fit_rolling(Rolling(entity=("dest",), value="late", window_days=2.5, how=HOW, delay_hours=delay), data)
    lag = fit_lag(Lag(entity=("dest",), value="late", steps=2, delay_hours=delay), data)
    target = fit_rolling(
        Rolling(entity=("dest",), value="label", window_days=9, how=("mean", "count", "sum"), delay_hours=delay), data
    )
    for row in range(len(frame)):
        window = known(frame, row, delay, 2.5, "late")
        for how in HOW:
            found = rolling.training[f"late.{how}_2.5d.dest"][row]
            assert found == pytest.approx(plain(window, "late", how), rel=1e-9, abs=1e-7, nan_ok=True)
        past = known(frame, row, delay, None, "late")["late"].to_numpy()
        expected = past[-2] if len(past) > 1 else np.nan
        assert lag.training["late.lag2.dest"][row] == pytest.approx(expected, nan_ok=True)
        others = known(frame, row, delay, 9.0, "y")
        others = others[others["fold"] != frame["fold"][row]]
        for how in ("mean", "count", "sum"):
            found = target.training[f"label.{how}_9d.dest"][row]
            assert found == pytest.approx(plain(others, "y", how), rel=1e-9, abs=1e-12, nan_ok=True)
    assert not rolling.by_fold
    assert set(target.by_fold) == set(target.training)


def test_other_rows_get_the_state_as_of_the_end_of_training(tmp_path: Path) -> None:
    data, frame = flights(tmp_path)
    steps: list[FittedStep] = [
        fit_rolling(Rolling(entity=("dest",), value="late", window_days=3, how=HOW), data),
        fit_lag(Lag(entity=("dest",), value="late"), data),
        fit_rolling(Rolling(entity=("dest",), value="label", window_days=3), data),
    ]
    end = frame["time"].max()
    asked = pd.DataFrame({"dest": pd.Series(["z", "x", None, "new", "y"], dtype="str")})
    made = {}
    for fitted in steps:
        assert [operation.inputs for operation in fitted.operations] == [("dest",)]
        assert fitted.operations[0].to_json()["as_of"] == end.isoformat()
        made |= applied(fitted, asked)
    for index, dest in enumerate(asked["dest"]):
        own = frame[(frame["dest"] == dest) & (frame["time"] > end - pd.Timedelta(days=3))]
        late = own[own["late"].notna()]
        for how in HOW:
            expected = plain(late, "late", how)
            assert made[f"late.{how}_3d.dest"][index] == pytest.approx(expected, rel=1e-9, abs=1e-7, nan_ok=True)
        assert made["label.mean_3d.dest"][index] == pytest.approx(plain(own, "y", "mean"), nan_ok=True)
        ever = frame[(frame["dest"] == dest) & frame["late"].notna() & frame["time"].notna()]
        last = ever.sort_values(["time", "late"])["late"].to_numpy()
        assert made["late.lag1.dest"][index] == pytest.approx(last[-1] if len(last) else np.nan, nan_ok=True)


ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 30), st.floats(-1e6, 1e6), st.floats(0.1, 5.0)), min_size=2, max_size=25
)


@settings(max_examples=80)
@given(ROWS, st.data())
def test_no_later_row_ever_changes_an_earlier_one(
    rows: list[tuple[int, int, float, float]], draw: st.DataObject
) -> None:
    """Bit by bit, for every aggregate and every lag, whatever is changed, added or taken out later."""
    delay, window = draw.draw(st.integers(1, 5)), draw.draw(st.integers(1, 20))
    cut = draw.draw(st.integers(0, 30))
    changed = [row for row in rows if row[1] <= cut]
    changed += draw.draw(
        st.lists(st.tuples(st.integers(0, 3), st.integers(cut + 1, 60), st.floats(-1e9, 1e9), st.just(2.0)))
    )
    order = draw.draw(st.permutations(range(len(changed))))
    asked = [row for row in rows if row[1] - delay <= cut]
    entity = np.array([row[0] for row in asked], dtype=np.int64)
    upto = np.array([row[1] - delay for row in asked], dtype=np.int64)
    results = []
    for table in (rows, [changed[index] for index in order]):
        if not table or not asked:
            return
        e, t, v, w = (np.array(column) for column in zip(*table, strict=True))
        past = Past(e.astype(np.int64), t.astype(np.int64), v, w)
        made = aggregate(past, entity, upto - window, upto, HOW)
        results.append([*made, past.values_back(entity, upto, 1), past.values_back(entity, upto, 3)])
    for before, after in zip(*results, strict=True):
        assert before.tobytes() == after.tobytes()


@given(st.lists(st.integers(-100, 100), max_size=40), st.data())
def test_slices_are_reduced_as_by_hand(values: list[int], draw: st.DataObject) -> None:
    bounds = st.tuples(st.integers(0, len(values)), st.integers(0, len(values))).map(sorted)
    pairs = draw.draw(st.lists(bounds, min_size=1, max_size=20))
    low, high = np.array(pairs, dtype=np.int64).T
    column = np.array(values, dtype=np.float64)
    sums = reduce_slices(column, low, high, np.add, 0.0)
    largest = reduce_slices(column, low, high, np.maximum, -np.inf)
    for index, (start, end) in enumerate(pairs):
        assert sums[index] == sum(values[start:end])
        assert largest[index] == max(values[start:end], default=-np.inf)


def test_flipped_labels_of_a_fold_change_nothing_in_its_view_nor_in_its_own_rows(tmp_path: Path) -> None:
    data, frame = flights(tmp_path / "a")
    step = Rolling(entity=("dest",), value="label", window_days=9, how=("mean",))
    labels = frame["y"].where(frame["fold"] != 1, 1 - frame["y"])
    other = training_data(
        tmp_path / "b",
        frame[["dest", "late"]],
        ["no" if value == 0 else "yes" for value in labels],
        frame["fold"].tolist(),
        classes=("no", "yes"),
        weight=frame["w"].tolist(),
        time=[None if pd.isna(moment) else moment for moment in frame["time"]],
    )
    first, second = fit_rolling(step, data), fit_rolling(step, other)
    name = "label.mean_9d.dest"
    np.testing.assert_array_equal(first.by_fold[name](1), second.by_fold[name](1))
    inside = (frame["fold"] == 1).to_numpy()
    np.testing.assert_array_equal(first.training[name][inside], second.training[name][inside])
    assert not np.array_equal(first.training[name], second.training[name], equal_nan=True)


def test_sums_beyond_the_range_of_floats_are_missing(tmp_path: Path) -> None:
    _, frame = flights(tmp_path / "a")
    fold = (np.arange(len(frame)) % 3).tolist()
    data = training_data(
        tmp_path / "b",
        frame[["dest"]].assign(late=1.7e308),
        np.where(frame["y"] > 0, 1.7e308, -1.0).tolist(),
        fold,
        time=[None if pd.isna(moment) else moment for moment in frame["time"]],
    )
    for step in (
        Rolling(entity=("dest",), value="late", how=HOW),
        Rolling(entity=("dest",), value="label", how=("mean", "sum")),
    ):
        fitted = fit_rolling(step, data)
        for values in (*fitted.training.values(), *applied(fitted, frame[["dest"]].iloc[:9]).values()):
            assert not (isinstance(values, np.ndarray) and np.isinf(values).any())
        assert np.isnan(fitted.training[[*fitted.training][-2 if step.value == "late" else -1]]).any()


def test_a_window_within_its_own_fold_is_refused_with_a_cure(tmp_path: Path) -> None:
    rows = 400
    frame = pd.DataFrame({"dest": pd.Series(["x", "y"] * (rows // 2), dtype="str")})
    time = [START + pd.Timedelta(hours=6 * row) for row in range(rows)]

    def data_of(folder: str, fold: Any) -> TrainingData:
        return training_data(
            tmp_path / folder, frame, ["no", "yes"] * (rows // 2), fold, classes=("no", "yes"), time=time
        )

    week = Rolling(entity=("dest",), value="label", window_days=3.0)
    blocks = data_of("blocks", (np.arange(rows) // 100).tolist())
    with pytest.raises(SpecError, match="hardly learn") as caught:
        fit_rolling(week, blocks)
    assert "time_folds='hashed'" in caught.value.cure
    assert fit_rolling(Rolling(entity=("dest",), value="label", window_days=60.0), blocks)
    assert fit_rolling(week, data_of("days", (np.arange(rows) // 4 % 4).tolist()))


def test_what_cannot_be_is_refused_with_a_cure(tmp_path: Path) -> None:
    data, _ = flights(tmp_path / "a")
    with pytest.raises(SpecError, match="lag of the target") as caught:
        fit_lag(Lag(entity=("dest",), value="label"), data)
    assert "Rolling" in caught.value.cure
    with pytest.raises(SpecError, match="cannot be taken of the target") as caught:
        fit_rolling(Rolling(entity=("dest",), value="label", how=("std", "mean", "min")), data)
    assert len(caught.value.faults) == 2
    with pytest.raises(SpecError, match="cannot use"):
        fit_rolling(Rolling(entity=("dest",), value="dest"), data)
    frame = pd.DataFrame({"dest": pd.Series(["x", "y"], dtype="str"), "late": [1.0, 2.0]})
    dateless = training_data(tmp_path / "b", frame, [0.0, 1.0], [0, 1])
    with pytest.raises(SpecError, match="needs the model's time") as caught:
        fit_lag(Lag(entity=("dest",), value="late"), dateless)
    assert "ModelSpec" in caught.value.cure
