"""Partial dependence: the mean prediction of some rows with one column set to one value after another."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.evaluation.explanation.dependence import (
    FEW_DIFFERENT,
    MISSING,
    MOST_CATEGORIES,
    MOST_CLASSES,
    MOST_ROWS,
    MOST_VALUES,
    partial_dependence,
)

Array = np.ndarray


def table(rows: int = 900) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=rows),
            "gain": np.where(rng.random(rows) < 0.95, 0.0, rng.integers(1, 10**6, rows).astype(float)),
            "hour": rng.integers(0, FEW_DIFFERENT, rows).astype(float),
            "town": pd.array(rng.choice(["a", "b", "c"], rows, p=[0.5, 0.3, 0.2]), "str"),
            "day": pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 300, rows), unit="D"),
            "same": 7.0,
            "none": np.nan,
        }
    )
    frame.loc[::9, ["x", "town"]] = None
    return frame


def linear(rows: pd.DataFrame) -> Array:
    return (
        rows["x"].fillna(0.0).to_numpy() * 2.0 + rows["hour"].to_numpy() + 5.0 * (rows["town"] == "b").to_numpy(float)
    )


def test_what_adds_up_is_found_as_it_is() -> None:
    frame = table()
    found = partial_dependence(frame, ["x", "hour", "town", "day", "gain", "same", "none"], linear, (), seed=1)
    by = {one["column"]: one for one in found}
    assert list(by) == ["x", "hour", "town", "day", "gain"], "what is the same in all rows has nothing to compare"
    assert [by[name]["kind"] for name in by] == ["number", "number", "category", "date", "number"]
    means = {name: np.array(one["means"]["prediction"]) for name, one in by.items()}
    np.testing.assert_allclose(np.diff(means["x"]), 2.0 * np.diff(by["x"]["values"]))
    np.testing.assert_allclose(np.diff(means["hour"]), 1.0)
    assert by["hour"]["values"] == list(range(FEW_DIFFERENT)), "all of few values"
    assert by["town"]["values"] == ["a", "b", "c", MISSING]
    assert means["town"] - means["town"][0] == pytest.approx([0.0, 5.0, 0.0, 0.0])
    assert np.ptp(means["day"]) == 0.0
    assert by["day"]["values"] == sorted(by["day"]["values"])
    assert len(by["x"]["values"]) == len(by["day"]["values"]) == MOST_VALUES
    assert by["gain"]["values"][0] == 0.0
    assert by["gain"]["values"][-1] > 5e5, "the few others are tried, too"


def test_values_are_those_of_rows_and_rows_are_few() -> None:
    frame, asked = table(), []

    def predict(rows: pd.DataFrame) -> Array:
        asked.append(len(rows))
        assert rows.dtypes.tolist() == frame.dtypes.tolist()
        return linear(rows)

    found = partial_dependence(frame, ["x", "town"], predict, (), seed=1)
    assert set(found[0]["values"]) <= set(frame["x"].dropna())
    assert sum(asked) == MOST_ROWS * (MOST_VALUES + 4)
    many = frame.assign(town=pd.array([f"t{number % 40}" for number in range(len(frame))], "str"))
    assert len(partial_dependence(many, ["town"], linear, (), seed=1)[0]["values"]) == MOST_CATEGORIES


def test_classes_are_named() -> None:
    def of(classes: int) -> Array:
        def predict(rows: pd.DataFrame) -> Array:
            scores = np.outer(rows["hour"].to_numpy(), np.arange(1.0, classes + 1)) + 1.0
            return scores / scores.sum(axis=1, keepdims=True)

        names = [f"k{index}" for index in range(classes)]
        return partial_dependence(table(), ["hour"], predict, names, seed=0)[0]["means"]

    assert list(of(2)) == ["k1"]
    assert list(of(9)) == [f"k{index}" for index in range(9 - MOST_CLASSES, 9)], "the most probable ones"
