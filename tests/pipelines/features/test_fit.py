from __future__ import annotations

import dataclasses
from datetime import datetime
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask.dataframe
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training import training_data

from pipelines.errors import DataError, SpecError
from pipelines.features.apply import transform_dask
from pipelines.features.fit import Learned, fit_plan
from pipelines.features.fitting.auto import treat_category
from pipelines.features.spec import (
    Age,
    Bin,
    Clip,
    Cross,
    DateParts,
    FeatureSpec,
    Frequency,
    HashedText,
    Impute,
    Lag,
    OneHot,
    Power,
    QuantileTransform,
    RareGroup,
    Ratio,
    Select,
    Standardise,
    TextLength,
)
from pipelines.features.summary import merge, summarise
from pipelines.inference.enrichment.request import Computed, Enrichment
from pipelines.inference.operations.categorical import Codes
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.recipe.row_recipe import Column, RowRecipe

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
    assert left_out["t.day_of_year"] == "the same as 't.day' in every training row"
    assert plan.features == ["t.day", "t.weekday", "t.hour"]


def test_copies_are_left_out_unless_a_step_names_them() -> None:
    days = [f"2026-0{1 + index // 20}-{1 + index % 20:02d}" for index in range(60)]
    table = cleaned([float(day[8:]) for day in days], ["a", "b", "b"] * 20, days)
    table = table.append_column("d", pa.array(["low", "high", "high"] * 20))
    table = table.append_column("m", pa.array([None, *([float(day[8:]) for day in days][1:])], pa.float64()))
    recipe = RowRecipe((*RECIPE.columns, Column("d", "category"), Column("m", "number")))
    learned = learn(table, FeatureSpec(), recipe)
    told = {name: why for name, why in learned.left_out.items() if "same as" in why}
    assert told == {"t.day": "the same as 'n' in every training row", "d": "the same as 'c' in every training row"}
    assert learned.plan.features == ["n", "c", "t.month", "t.weekday", "t.day_of_year", "m"]
    named = learn(table, FeatureSpec(steps=(Standardise(columns=("n",)),)), recipe)
    assert "t.day" in named.plan.features


def test_a_constant_with_gaps_stays() -> None:
    plan, left_out = fit(cleaned([1, None, 1], ["a", "a", None], [None, None, None]))
    assert plan.features == ["n", "c"]
    assert left_out == {"t": "no value in any training row"}


def test_only_rare_categories_are_no_feature() -> None:
    words = [f"w{index // 2}" for index in range(20)]
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


WIDE = RowRecipe(
    tuple(Column(name, "number") for name in ("age", "pay", "same", "empty"))
    + tuple(Column(name, "category") for name in ("town", "job", "note", "id"))
    + (Column("born", "date"), Column("seen", "date"))
)
COUNT = 600


def wide() -> pa.Table:
    random = np.random.default_rng(3)
    words = np.array(["late", "order", "refund", "broken", "thanks", "again", "never", "box"])
    notes = [" ".join(random.choice(words, 5)) + f" {k}" for k in range(COUNT)]
    age = random.normal(40, 10, COUNT)
    age[::9] = np.nan
    return pa.table(
        {
            "age": age,
            "pay": random.exponential(100, COUNT),
            "same": np.full(COUNT, 3.0),
            "empty": np.full(COUNT, np.nan),
            "town": [f"t{code}" for code in random.integers(0, 280, COUNT)],
            "job": ["cook" if code else None for code in random.integers(0, 3, COUNT)],
            "note": notes,
            "id": [f"row-{k}" for k in range(COUNT)],
            "born": pa.array(random.integers(0, 10**15, COUNT), pa.timestamp("us")),
            "seen": pa.array(10**15 + random.integers(0, 10**15, COUNT), pa.timestamp("us")),
        }
    )


def test_auto_treats_every_column_by_what_it_looks_like() -> None:
    learned = learn(wide(), FeatureSpec(date_parts=("year",)), WIDE)
    told = {entry["name"]: entry for entry in learned.told}
    texts = [name for name in told if name.startswith("note.text_")]
    others = [name for name in told if name not in texts]
    assert others == ["age", "pay", "town", "town.frequency", "town.target", "job", "born.year", "seen.year"]
    assert len(texts) == 16
    assert told["town"]["how"].startswith("code of ")
    assert told["town.frequency"]["from"] == ["town"]
    assert learned.left_out == {
        "same": "constant: 3 in every training row",
        "empty": "no value in any training row",
        "id": "unique text: 600 distinct of 600 values",
    }
    assert learned.plan.sources == ["age", "pay", "town", "job", "note", "born", "seen"]


def test_steps_go_before_auto_and_their_chain_is_told() -> None:
    steps = (
        Impute(columns=("age",), indicator=True),
        Clip(columns=("age", "pay")),
        Standardise(columns="numbers"),
        Frequency(columns=("town",)),
        OneHot(columns=("job",)),
        Ratio(numerator="pay", denominator="age"),
        Age(columns=("born",), until="seen"),
        RareGroup(columns=("note",), min_count=2, word="x"),
        Impute(columns=("empty",)),
    )
    learned = learn(wide(), FeatureSpec(steps=steps, date_parts=("year",)), WIDE)
    assert learned.plan.features == [
        "age",
        "age.missing",
        "pay",
        "town.frequency",
        "job=cook",
        "job.missing",
        "note.code",
        "born.year",
        "seen.year",
        "pay/age",
        "born.age",
    ]
    told = {entry["name"]: entry for entry in learned.told}
    how = told["age"]["how"].split("; ")
    assert [line.split()[0] for line in how] == ["missing", "clipped", "scaled"]
    assert told["pay/age"]["from"] == ["pay", "age"]
    assert told["born.age"]["from"] == ["born", "seen"]
    assert learned.left_out["impute of empty"] == "no such column with a value in any training row"
    assert learned.left_out["same"].startswith("constant")


def test_a_step_for_all_numbers_does_not_bring_back_what_a_lag_stands_for() -> None:
    table = wide().append_column("late", pa.array(np.random.default_rng(1).normal(size=COUNT)))
    recipe = RowRecipe((*WIDE.columns, Column("late", "number")))
    time = np.arange(COUNT).astype("datetime64[h]").astype("datetime64[us]")
    lag = Lag(entity=("job",), value="late", delay_hours=0.0)
    for steps in ((lag, Standardise(columns="numbers")), (Standardise(columns="numbers"), lag)):
        learned = learn(table, FeatureSpec(steps=steps), recipe, time=time)
        assert "late.lag1.job" in learned.plan.features
        assert "late" not in learned.plan.sources
    asked = FeatureSpec(steps=(lag, Standardise(columns=("late",))))
    assert "late" in learn(table, asked, recipe, time=time).plan.features


def test_what_reads_a_combination_with_an_empty_column_is_left_out_with_it() -> None:
    steps = (
        Ratio(numerator="pay", denominator="empty"),
        Clip(columns=("pay/empty",)),
        Ratio(numerator="pay/empty", denominator="age"),
        Standardise(columns=("pay/empty/age", "age")),
    )
    learned = learn(wide(), FeatureSpec(steps=steps), WIDE)
    assert {"ratio of pay, empty", "clip of pay/empty", "ratio of pay/empty, age"} <= set(learned.left_out)
    assert learned.plan.features[:2] == ["age", "pay"]


def test_a_name_to_keep_that_no_feature_has_is_told() -> None:
    steps = (Select(by="variance", always=("pay", "pya")),)
    learned = learn(wide(), FeatureSpec(steps=steps), WIDE)
    assert learned.left_out["always 'pya' of select"] == "no feature has this name"
    assert not any("'pay'" in name for name in learned.left_out)


def test_without_auto_only_what_steps_name_is_a_feature() -> None:
    steps = (Standardise(columns=("age",)), Cross(columns=("town", "job")), TextLength(columns=("id",)))
    learned = learn(wide(), FeatureSpec(auto=False, steps=steps), WIDE)
    assert learned.plan.features == ["age", "id.characters", "id.words", "town*job.code"]
    assert learned.left_out["pay"] == "no step names it, and features.auto is off"


def test_a_step_may_read_what_an_earlier_one_made() -> None:
    steps = (
        Bin(columns=("age",), bins=3),
        Ratio(numerator="pay", denominator="age"),
        Clip(columns=("pay/age",), low=0.05, high=0.95),
        QuantileTransform(columns=("pay/age",)),
        Cross(columns=("town", "job")),
        Frequency(columns=("town*job",)),
    )
    learned = learn(wide(), FeatureSpec(auto=False, steps=steps), WIDE)
    assert learned.plan.features == ["age.bin", "pay/age", "town*job.frequency"]
    matrix = learned.plan.transform(wide().to_pandas())
    assert np.nanmax(matrix[:, 1]) <= 1.0
    assert (
        learned.told[2]["how"]
        == "town and job together; share of rows with the same town*job, "
        + str(len({(t, j) for t, j in zip(wide()["town"].to_pylist(), wide()["job"].to_pylist(), strict=True) if j}))
        + " texts"
    )


def test_a_step_that_names_nothing_known_is_refused() -> None:
    with pytest.raises(SpecError) as caught:
        learn(wide(), FeatureSpec(steps=(Standardise(columns=("agee", "town")),)), WIDE)
    assert caught.value.faults == ["there is no column 'agee'", "column 'town' is a category"]


def test_partitions_do_not_change_the_plan() -> None:
    steps = (
        Impute(columns="numbers"),
        Standardise(columns="numbers"),
        Frequency(columns=("town",)),
        HashedText(columns=("note",), buckets=4),
        DateParts(columns=("born",)),
        Power(columns=("pay",)),
    )
    spec = FeatureSpec(steps=steps)
    whole, cut = learn(wide(), spec, WIDE).plan, learn(wide(), spec, WIDE, rows_per_part=70).plan
    assert whole == cut


def test_a_dask_frame_gives_the_same_numbers() -> None:
    plan = learn(wide(), FeatureSpec(), WIDE).plan
    frame = wide().to_pandas()
    seen = transform_dask(dask.dataframe.from_pandas(frame, npartitions=4), plan).compute(scheduler="threads")
    assert list(seen.columns) == plan.features
    np.testing.assert_array_equal(seen.to_numpy(), plan.transform(frame))


def test_what_serving_adds_is_kept_as_far_as_it_is_needed() -> None:
    enrichment = Enrichment(computed=(Computed("pay", "a * 2"), Computed("unused", "a + 1")))
    table = wide().select(["age", "pay"])
    recipe = WIDE.subset(["age", "pay"])
    with TemporaryDirectory() as folder:
        data = training_data(Path(folder), table.to_pandas(), [0.0] * COUNT, [0] * COUNT)
        learned = fit_plan(recipe, summarise(table, recipe.kept), FeatureSpec(), data, enrichment)
    assert learned.plan.enrichment.added == ["pay"]
