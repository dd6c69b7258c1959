from __future__ import annotations

import dataclasses
from datetime import datetime
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training import training_data

from pipelines.errors import DataError
from pipelines.features.fit import Learned, fit_plan
from pipelines.features.fitting.auto import treat_category
from pipelines.features.spec import FeatureSpec
from pipelines.features.summary import merge, summarise
from pipelines.inference.operations.categorical import Codes
from pipelines.inference.plan import FeaturePlan
from pipelines.inference.recipe import Column, RowRecipe

RECIPE = RowRecipe((Column("n", "number"), Column("c", "category"), Column("t", "date")))


def cleaned(n: list[Any], c: list[Any], t: list[Any]) -> pa.Table:
    times = pa.array([None if one is None else datetime.fromisoformat(one) for one in t], pa.timestamp("us"))
    return pa.table({"n": pa.array(n, pa.float64()), "c": pa.array(c, pa.string()), "t": times})


def learn(table: pa.Table, spec: FeatureSpec, recipe: RowRecipe = RECIPE, **stamps: Any) -> Learned:
    with TemporaryDirectory() as folder:
        n = table.num_rows
        data = training_data(Path(folder), table.to_pandas(), [0.0] * n, np.arange(n) % 2, **stamps)
        return fit_plan(recipe, summarise(table, recipe.kept), spec, data)


def fit(table: pa.Table, **fields: Any) -> tuple[FeaturePlan, dict[str, str]]:
    learned = learn(table, FeatureSpec(**fields))
    return learned.plan, learned.left_out


def categories(plan: FeaturePlan) -> tuple[str, ...]:
    return next(one.categories for one in plan.operations if isinstance(one, Codes))


def test_categories_by_frequency_then_text() -> None:
    words = ["b", "a", "a", "b", "c", "rare", None, "c", "c"]
    plan, _ = fit(cleaned([1.0] * 8 + [2.0], words, ["2026-01-01"] * 9), rare_count=2)
    assert categories(plan) == ("c", "a", "b")
    assert plan.describe()[1] == {"name": "c", "kind": "code", "cardinality": 4}
    limited, _ = fit(cleaned([1.0] * 9, words, ["2026-01-01"] * 9), rare_count=2, max_categories=1)
    assert categories(limited) == ("c",)


def test_useless_columns_are_left_out_with_their_reason() -> None:
    plan, left_out = fit(cleaned([1, 1, 1, 1], ["a", "b", "c", "d"], ["2026-01-01T05:00", *["2026-01-02"] * 3]))
    assert left_out["n"] == "constant: 1 in every training row"
    assert left_out["c"] == "unique text: 4 distinct of 4 values"
    assert left_out["t.year"] == "the same in every training row"
    assert plan.features == ["t.day", "t.weekday", "t.day_of_year", "t.hour", "t.elapsed_days"]


def test_a_constant_with_gaps_stays() -> None:
    plan, left_out = fit(cleaned([1, None, 1], ["a", "a", None], [None, None, None]))
    assert plan.features == ["n", "c"]
    assert left_out == {"t": "no value in any training row"}


def test_only_rare_categories_are_no_feature() -> None:
    words = [f"w{place // 2}" for place in range(20)]
    _, left_out = fit(cleaned([*range(20)], words, [None] * 20))
    assert "rare_count" in left_out["c"]


def test_hours_only_where_times_of_day_occur() -> None:
    plan, left_out = fit(cleaned([None] * 2, ["a", "a"], ["2025-01-01", "2026-02-05"]))
    assert "t.hour" not in plan.features
    assert left_out["t.hour"] == "no training row has a time of day"


def test_a_name_that_a_column_has_is_not_taken_twice() -> None:
    recipe = RowRecipe((Column("t", "date"), Column("t.day", "number")))
    table = pa.table({"t": pa.array(pd.to_datetime(["2025-01-01", "2026-02-05"])), "t.day": [1.0, 2.0]})
    plan = learn(table, FeatureSpec(), recipe).plan
    assert len(set(plan.features)) == len(plan.features)
    assert "t.day_" in plan.features


def test_nothing_left_is_a_data_error_with_all_reasons() -> None:
    with pytest.raises(DataError, match="no column is left") as caught:
        fit(cleaned([1, 1], ["a", "a"], [None, None]))
    assert len(caught.value.faults) == 3


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(-5, 5)),
            st.sampled_from([None, "a", "b", "c"]),
            st.sampled_from([None, "2026-01-01", "2026-05-05T06:00"]),
        ),
        min_size=3,
        max_size=12,
    ),
    st.integers(1, 11),
)
def test_partitions_do_not_matter(rows: list[tuple[Any, ...]], size: int) -> None:
    table = cleaned(*(list(column) for column in zip(*rows, strict=True)))
    parts = [summarise(table.slice(start, size), RECIPE.kept) for start in range(0, table.num_rows, size)]
    merged, whole = reduce(merge, reversed(parts)), summarise(table, RECIPE.kept)
    spec = FeatureSpec(rare_count=1)
    assert {name: dataclasses.replace(one, counts=None) for name, one in merged.items()} == {
        name: dataclasses.replace(one, counts=None) for name, one in whole.items()
    }
    treated = treat_category("c", merged["c"], spec)
    assert treated == treat_category("c", whole["c"], spec)
