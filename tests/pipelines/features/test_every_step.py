"""One plan with every kind of step: a Dask frame, a pandas frame and one dict at a time give the same numbers."""

from __future__ import annotations

import typing
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from training import training_data

from pipelines.features import spec as steps
from pipelines.features.apply import transform_dask
from pipelines.features.fit import fit_plan
from pipelines.features.summary import summarise
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.recipe.row_recipe import Column, RowRecipe

ROWS = 240
NUMBERS = tuple("abcdefghi")
RECIPE = RowRecipe(
    tuple(Column(name, "number") for name in (*NUMBERS, "late"))
    + tuple(Column(name, "category") for name in ("town", "job", "size", "note", "colour", "code", "shop", "who"))
    + tuple(Column(name, "date") for name in ("born", "seen", "paid"))
)
STEPS: tuple[Any, ...] = (
    steps.Impute(columns=("a",), indicator=True),
    steps.Clip(columns=("a",)),
    steps.Standardise(columns=("a",)),
    steps.MinMax(columns=("b",)),
    steps.Robust(columns=("c",)),
    steps.QuantileTransform(columns=("d",), to="normal"),
    steps.Power(columns=("e",)),
    steps.Bin(columns=("f",), bins=4),
    steps.Ratio(numerator="g", denominator="h"),
    steps.Difference(left="g", right="i"),
    steps.RareGroup(columns=("town",), min_share=0.1),
    steps.Cross(columns=("town", "job")),
    steps.Frequency(columns=("town*job",)),
    steps.OneHot(columns=("job",)),
    steps.Ordinal(columns=("size",), order=("S", "M", "L")),
    steps.Hashing(columns=("code",), buckets=9),
    steps.Codes(columns=("colour",), max_levels=2),
    steps.TextLength(columns=("note",)),
    steps.HashedText(columns=("note",), buckets=4, of="characters", ngrams=(2, 3)),
    steps.DateParts(columns=("seen",)),
    steps.Cycles(columns=("paid",)),
    steps.Age(columns=("born",), until="seen"),
    steps.TargetEncode(columns=("shop", "colour"), together=True),
    steps.Lag(entity=("who",), value="late", delay_hours=0.0),
    steps.Rolling(entity=("who",), value="late", how=("mean", "count", "min", "max", "sum", "std")),
    steps.Rolling(entity=("shop",), value="label", window_days=20.0),
    steps.Pca(columns=("b", "c", "g-i"), components=2, keep=True),
    steps.TruncatedSvd(columns=("d", "e"), components=1, keep=True),
    steps.Select(by="correlation", limit=0.999),
)


def clean_rows() -> pd.DataFrame:
    rng = np.random.default_rng(11)

    def texts(*words: str | None) -> pd.Series[Any]:
        return pd.Series(rng.choice(np.array(words, dtype=object), ROWS), dtype="str")

    def moments() -> Any:
        return pd.Series(rng.integers(10**14, 10**15, ROWS).astype("datetime64[us]")).mask(rng.random(ROWS) < 0.1)

    frame = pd.DataFrame({name: rng.normal(size=ROWS) for name in (*NUMBERS, "late")})
    frame = frame.mask(rng.random(frame.shape) < 0.1)
    frame["town"], frame["job"] = texts("x", "y", "z", "rare", None), texts("cook", "clerk", None)
    frame["size"], frame["colour"] = texts("S", "M", "L", None), texts("red", "grün", "синий", None)
    frame["note"] = texts("late again", "The Box, broken!", "ΣΊΣΥΦΟΣ", "a", None)
    frame["code"], frame["shop"], frame["who"] = texts("p", "q"), texts("s1", "s2", None), texts("w1", "w2", "w3", None)
    return frame.assign(born=moments(), seen=moments(), paid=moments())


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> FeaturePlan:
    """The plan, saved and read again."""
    folder, frame = tmp_path_factory.mktemp("every"), clean_rows()
    random = np.random.default_rng(1)
    data = training_data(
        folder / "data",
        frame,
        random.choice(["no", "yes"], ROWS).tolist(),
        (np.arange(ROWS) % 4).tolist(),
        classes=("no", "yes"),
        rows_per_part=70,
        time=random.integers(0, 90 * 86_400, ROWS).astype("datetime64[s]").astype("datetime64[us]"),
    )
    facts = summarise(pa.Table.from_pandas(frame, preserve_index=False), RECIPE.kept)
    learned = fit_plan(RECIPE, facts, steps.FeatureSpec(steps=STEPS), data).plan
    learned.save(folder / "plan")
    read = FeaturePlan.load(folder / "plan")
    assert read == learned
    return read


def asked_rows() -> list[dict[str, Any]]:
    """Requests as callers send them: clean ones, odd cells in every column, all null, nothing at all."""
    clean = clean_rows().iloc[:30]
    rows: list[dict[str, Any]] = [
        {
            name: None if pd.isna(value) else value.isoformat() if isinstance(value, pd.Timestamp) else value
            for name, value in row.items()
        }
        for row in clean.to_dict("records")
    ]
    odd = [None, "", " ? ", "unseen", "x" * 5_000, "a\x00b", "👍", "\ud800", float("inf"), 1e308, -1e308, "1e999"]
    odd += [10**400, True, [1], {"a": 1}, "2400-02-29T23:59:59", "0001-01-01", "9999-12-31", "2020-02-30"]
    return rows + [dict.fromkeys(RECIPE.names, value) for value in odd] + [{}]


def test_every_kind_of_step_is_here() -> None:
    kinds = {step.model_fields["kind"].default for step in typing.get_args(typing.get_args(steps.AnyStep)[0])}
    assert {step.kind for step in STEPS} == kinds


def test_dask_pandas_and_one_row_at_a_time_agree(plan: FeaturePlan) -> None:
    rows = asked_rows()
    recipe = plan.recipe.subset(plan.sources)
    assert "late" not in plan.sources
    frame = pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in plan.sources})
    clean, _ = recipe.apply(frame)
    matrix = plan.transform(clean)
    assert matrix.shape == (len(rows), len(plan.features))
    assert not np.isinf(matrix).any()
    for index, row in enumerate(rows):
        np.testing.assert_array_equal(plan.transform_row(recipe.apply_row(row)), matrix[index], str(index))
    for given in (clean, clean.convert_dtypes(dtype_backend="pyarrow")):
        lazy = dd.from_pandas(given, npartitions=4)
        lazy = dd.concat([lazy, lazy[lazy[plan.sources[0]] > 1e300]])  # the last partitions have hardly a row
        made = transform_dask(lazy, plan).compute(scheduler="sync")
        assert list(made.columns) == plan.features
        np.testing.assert_array_equal(made.to_numpy()[: len(rows)], matrix)
