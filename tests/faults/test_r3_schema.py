"""R3: a source changes its columns. What is needed and gone stops the night by name; what is new is told or ignored;
an order changes nothing. Values that change their meaning (units, a surge of nulls) are validation's to find."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.artifacts import Artifact, Night, Ref
from pipelines.cleaning import stage as cleaning
from pipelines.cleaning.spec import CleanSpec
from pipelines.errors import DataError, SpecError
from pipelines.inference.operations.base import Output
from pipelines.inference.operations.categorical import Codes
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.recipe.row_recipe import RowRecipe, check_columns
from pipelines.ingestion import stage as ingestion
from pipelines.ingestion.spec import Derived, Files, IngestSpec, Join
from pipelines.sampling import stage as sampling
from pipelines.sampling.spec import SampleSpec
from pipelines.settings import Settings
from pipelines.spec import ModelSpec
from pipelines.storage import read_table

pytestmark = pytest.mark.fault
MODEL = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",), time="day")
Take = Callable[..., tuple[pa.Table, dict[str, Any]]]


def base(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": [f"k{n}" for n in range(rows)],
            "day": [f"2026-01-{1 + n % 20:02d}" for n in range(rows)],
            "size": rng.normal(size=rows).round(3),
            "colour": rng.choice(["red", "green"], rows),
            "label": rng.choice(["yes", "no"], rows),
        }
    )


@pytest.fixture
def take(home: Settings, tmp_path: Path) -> Take:
    """Write frames as daily files and take them in; return the raw table and the report."""

    def run(*frames: pd.DataFrame, kind: str = "csv", **spec: Any) -> tuple[pa.Table, dict[str, Any]]:
        folder = tmp_path / f"feed-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for number, frame in enumerate(frames):
            path = folder / f"f-{number}.{kind}"
            frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path, index=False)
        out = tmp_path / f"out-{folder.name}"
        out.mkdir()
        night = Night(model=MODEL, night=folder.name, as_of=datetime(2026, 3, 1, tzinfo=UTC))
        source = Files(path=str(folder), incremental=False)
        ingestion.run(IngestSpec(source=source, **spec), night=night, settings=home, out=out)
        return read_table(out / "raw"), json.loads((out / "report.json").read_text())

    return run


@pytest.mark.parametrize("role", ["label", "id", "day"])
def test_a_needed_column_that_is_dropped_or_renamed_stops_the_night(take: Take, role: str) -> None:
    with pytest.raises(DataError, match="missing column") as error:
        take(base().drop(columns=role))
    assert repr(role) in error.value.expected
    with pytest.raises(DataError, match="missing column") as error:
        take(base().rename(columns={role: f"{role}_2"}))
    assert f"nearest is '{role}_2'" in error.value.faults[0]


def test_a_column_that_joins_or_expressions_need_stops_the_night(take: Take, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("colour,warm\nred,1\n")
    join = Join(name="colours", source=str(tmp_path / "c.csv"), on=["colour"])
    with pytest.raises(DataError, match="columns of joins") as error:
        take(base().rename(columns={"colour": "color"}), joins=(join,))
    assert "nearest is 'color'" in error.value.faults[0]
    with pytest.raises(DataError, match="of an expression") as error:
        take(base().drop(columns="size"), derived=(Derived(name="twice", expression="size * 2"),))
    assert "'size' is not there" in error.value.faults[0]
    with pytest.raises(SpecError, match="taken"):
        take(base().assign(Twice=1), derived=(Derived(name="twice", expression="size * 2"),))


def test_a_column_in_some_files_only_is_told(take: Take) -> None:
    raw, report = take(base().iloc[:100], base().iloc[100:].assign(new="n"))
    assert report["notices"] == ["f-0.csv lacks 'new'; missing there"]
    assert raw["new"].null_count == 100
    raw, report = take(base().iloc[:100], base().iloc[100:].drop(columns="size"))
    assert report["notices"] == ["f-1.csv lacks 'size'; missing there"]
    assert raw["size"].null_count == 100


def test_names_that_differ_in_case_are_two_in_a_file_and_one_between_files(take: Take) -> None:
    doubled = base()
    doubled["Size"] = doubled["size"] + 1
    raw, report = take(doubled)
    assert raw["Size"].to_pylist() == [str(value) for value in doubled["Size"]]
    assert report["notices"] == []
    raw, report = take(base(), base().rename(columns={"size": "SIZE"}))
    assert report["notices"] == ["column 'SIZE' of f-1.csv is taken for 'size'"]
    assert raw["size"].null_count == 0


def test_a_doubled_column_is_told_and_a_needed_one_refused(take: Take, tmp_path: Path) -> None:
    doubled = base()
    doubled.insert(5, "size", doubled["size"], allow_duplicates=True)
    raw, report = take(doubled)
    assert raw["size.1"].equals(raw["size"])
    assert report["notices"] == ["f-0.csv: column 6 is named 'size' once more; read as 'size.1'"]
    doubled.insert(6, "label", doubled["label"], allow_duplicates=True)
    with pytest.raises(DataError, match="doubled"):
        take(doubled, derived=(Derived(name="sick", expression="label == 'yes'"),))
    table = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    (tmp_path / "p").mkdir()
    pq.write_table(table, tmp_path / "p" / "x.parquet")
    with pytest.raises(DataError, match="doubled"):
        take(base(), kind="parquet", joins=(Join(name="p", source=str(tmp_path / "p"), on={"id": "a"}),))


def test_a_type_that_changes_between_files_is_read_as_text_and_told(take: Take) -> None:
    first, second = base().iloc[:100], base().iloc[100:].assign(size=lambda frame: frame["size"].astype(str) + " m")
    raw, report = take(first, second, kind="parquet")
    assert report["columns"]["size"] == "VARCHAR"
    assert report["notices"] == [
        "'size' changes its type: number in f-0.parquet, text in f-1.parquet; read as text, digit for digit"
    ]
    assert raw["size"].to_pylist()[:2] == [str(value) for value in first["size"].head(2)]
    whole = base().iloc[100:].assign(size=range(100))
    raw, report = take(first, whole, kind="parquet")
    assert (report["columns"]["size"], report["notices"]) == ("DOUBLE", [])
    assert raw["size"].to_pylist()[-1] == 99.0


def test_a_time_zone_that_comes_in_is_one_moment(take: Take) -> None:
    zoned = base().assign(
        day=lambda frame: pd.to_datetime(frame["day"]).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    )
    plain = base().assign(day=lambda frame: pd.to_datetime(frame["day"]))
    times = [take(frame, kind="parquet")[0]["_time"].to_pylist() for frame in (zoned, plain, base())]
    assert times[0] == times[1] == times[2]
    mixed = take(plain.iloc[:100], zoned.iloc[100:], kind="parquet")[0]["_time"].to_pylist()
    assert mixed == times[0]


def test_an_order_and_new_columns_change_no_prediction(take: Take, home: Settings, tmp_path: Path) -> None:
    first, _ = take(base())
    moved, _ = take(base()[["label", "colour", "id", "size", "day"]].assign(later="x").iloc[::-1])
    assert moved.select(first.schema.names).sort_by("id").equals(first.sort_by("id"))
    night = Night(model=MODEL, night="n", as_of=datetime(2026, 3, 1, tzinfo=UTC))
    folder = next(tmp_path.glob("out-*"))
    for stage, spec, name in ((sampling, SampleSpec(), "raw"), (cleaning, CleanSpec(), "sampled")):
        out = tmp_path / stage.__name__
        out.mkdir()
        given = {name: Artifact(ref=Ref(uri=name, digest="", stage=name), path=folder)}
        stage.run(spec, night=night, settings=home, out=out, **given)  # type: ignore[attr-defined]
        folder = out
    recipe = RowRecipe.from_json((folder / "recipe.json").read_bytes())
    codes = Codes(("colour",), (Output("colour", "code", 3),), ("red", "green"))
    plan = FeaturePlan(recipe, (codes,), ("size", "colour"))

    def numbers(raw: pa.Table) -> Any:
        return plan.transform(plan.recipe.apply(raw.sort_by("id").to_pandas())[0])

    assert np.array_equal(numbers(first), numbers(moved), equal_nan=True)
    with pytest.raises(DataError, match="columns") as error:
        check_columns([name for name in first.schema.names if name != "colour"], plan.sources)
    assert "colour" in str(error.value)
