"""Shares are kept, no stratum is lost, and nothing but seed and keys decides."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.artifacts import Artifact, Outcome
from pipelines.errors import SpecError
from pipelines.sampling.allocation import allocate
from pipelines.sampling.spec import SampleSpec
from pipelines.sampling.stage import run
from pipelines.settings import Settings
from pipelines.storage import read_table, write_table

Sample = Callable[..., tuple[Outcome, pa.Table]]


@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=12), st.floats(0.01, 1.0))
def test_allocation_keeps_shares_and_strata(sizes: list[int], fraction: float) -> None:
    kept = allocate(sizes, fraction)
    total, rows = sum(sizes), sum(kept)
    assert all(1 <= k <= n for k, n in zip(kept, sizes, strict=True))
    if all(size * fraction >= 1 for size in sizes):
        assert rows == max(1, round(fraction * total))
        assert all(abs(k / rows - n / total) <= 1 / rows for k, n in zip(kept, sizes, strict=True))


def test_allocation_under_a_row_limit() -> None:
    assert allocate([900, 90, 10], 1.0, 100) == [90, 9, 1]
    assert allocate([1000, 1, 1], 0.5, 3) == [1, 1, 1]


@pytest.fixture
def table() -> pa.Table:
    n = 2_000
    return pa.table(
        {
            "city / (x)": [f"c{i % 7 if i % 100 else 9}" for i in range(n)],
            "label": ["yes" if i % 10 == 0 else " no" for i in range(n)],
            "_key": [f"k{i}" for i in range(n)],
            "_time": pa.nulls(n, pa.timestamp("us", tz="UTC")),
            "_sealed": [i % 20 == 3 for i in range(n)],
        }
    )


@pytest.fixture
def sample(home: Settings, make_night: Any, publish_stage: Callable[..., Artifact], tmp_path: Path) -> Sample:
    def build(table: pa.Table, **spec: Any) -> tuple[Outcome, pa.Table]:
        index = len(list(tmp_path.glob("out-*")))
        staging, out = tmp_path / f"in-{index}", tmp_path / f"out-{index}"
        write_table(table, staging / "raw")
        out.mkdir()
        raw = publish_stage("ingest", staging)
        outcome = run(SampleSpec(**spec), night=make_night(), settings=home, out=out, raw=raw)
        assert sorted(path.name for path in out.iterdir()) == ["report.json", "sampled"]
        return outcome, read_table(out / "sampled")

    return build


def test_everything_passes_by_default(sample: Sample, table: pa.Table) -> None:
    outcome, sampled = sample(table)
    assert sampled.drop_columns(["_weight"]).equals(table)
    assert set(sampled["_weight"].to_pylist()) == {1.0}
    assert outcome.stats == {"in": 2000, "sealed": 100, "unsealed": 1900, "kept": 1900, "strata": 1}


def test_strata_weights_and_sealed_rows(sample: Sample, table: pa.Table) -> None:
    outcome, sampled = sample(table, fraction=0.1, by=("label", "city / (x)"))
    rows = sampled.to_pylist()
    assert [row for row in rows if row["_sealed"]] == [
        {**row, "_weight": 1.0} for row in table.to_pylist() if row["_sealed"]
    ]
    whole = Counter((row["label"], row["city / (x)"]) for row in table.to_pylist() if not row["_sealed"])
    kept = Counter((row["label"], row["city / (x)"]) for row in rows if not row["_sealed"])
    assert kept.keys() == whole.keys()
    assert outcome.stats["kept"] == kept.total() == 190
    assert all(abs(kept[name] / 190 - whole[name] / 1900) <= 1 / 190 for name in whole)
    for row in rows:
        if not row["_sealed"]:
            name = (row["label"], row["city / (x)"])
            assert row["_weight"] == pytest.approx(whole[name] / kept[name])
    order = [int(row["_key"][1:]) for row in rows]
    assert order == sorted(order)


def test_a_small_share_of_a_small_table_keeps_the_least_number(sample: Sample, table: pa.Table) -> None:
    assert sample(table, fraction=0.01, min_rows=500)[0].stats["kept"] == 500
    assert sample(table, fraction=0.01, min_rows=5000)[0].stats["kept"] == 1900
    assert sample(table, fraction=0.5, min_rows=500)[0].stats["kept"] == 950
    with pytest.raises(SpecError, match="more than max_rows"):
        SampleSpec(min_rows=10, max_rows=9)


def test_row_order_does_not_matter_and_the_seed_does(sample: Sample, table: pa.Table) -> None:
    def keys(source: pa.Table, **spec: Any) -> set[str]:
        return set(sample(source, fraction=0.2, by=("label",), **spec)[1]["_key"].to_pylist())

    turned = table.take(list(range(table.num_rows - 1, -1, -1)))
    assert keys(table) == keys(turned)
    assert keys(table) != keys(table, seed=1)


def test_rows_of_one_key_are_told_apart_by_content(sample: Sample) -> None:
    rows = pa.table(
        {
            "x": [str(n) for n in range(50)],
            "_key": ["same"] * 50,
            "_time": pa.nulls(50, pa.timestamp("us", tz="UTC")),
            "_sealed": [False] * 50,
        }
    )
    kept = [
        set(sample(source, fraction=0.3)[1]["x"].to_pylist()) for source in (rows, rows.take(list(range(49, -1, -1))))
    ]
    assert kept[0] == kept[1]
    assert len(kept[0]) == 15


def test_a_sample_of_more_rows_holds_the_smaller_one(sample: Sample, table: pa.Table) -> None:
    small, large = (set(sample(table, max_rows=limit)[1]["_key"].to_pylist()) for limit in (100, 400))
    assert small < large
    assert len(large) == 400 + 100


def test_an_unknown_column_is_refused_with_the_nearest(sample: Sample, table: pa.Table) -> None:
    with pytest.raises(SpecError, match="cannot sample") as error:
        sample(table, fraction=0.5, by=("labels",))
    assert error.value.faults == ["'labels' is no column; nearest is 'label'"]


def test_too_many_sealed_rows_are_drawn_uniformly(sample: Sample, table: pa.Table) -> None:
    outcome, sampled = sample(table, max_sealed=25, by=("label",))
    sealed = [row for row in sampled.to_pylist() if row["_sealed"]]
    assert len(sealed) == 25
    assert {row["_weight"] for row in sealed} == {4.0}
    assert {row["_key"] for row in sealed} < {row["_key"] for row in table.to_pylist() if row["_sealed"]}
    assert outcome.stats == {"in": 2000, "sealed": 25, "unsealed": 1900, "kept": 1900, "strata": 2}


def test_the_report_names_the_strata_and_those_that_did_not_occur(
    sample: Sample, table: pa.Table, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sample(table, fraction=0.5, by=("label",), allocation={"yes": 1.0, "noo": 0.1})
    report = json.loads((tmp_path / "out-0" / "report.json").read_text())
    assert report["strata"] == [
        {"stratum": "no", "rows": 1700, "kept": 850},
        {"stratum": "yes", "rows": 200, "kept": 200},
    ]
    assert report["by"] == ["label"]
    assert report["notices"] == ["no row is in stratum 'noo'; nearest is 'no'"]
    assert "nearest is 'no'" in caplog.text


def test_recent_rows_need_the_models_time(sample: Sample, table: pa.Table) -> None:
    with pytest.raises(SpecError, match="rows have no moment"):
        sample(table, fraction=0.5, half_life_days=7)


def test_the_enrichment_is_handed_on(
    home: Settings, make_night: Any, publish_stage: Callable[..., Artifact], tmp_path: Path, table: pa.Table
) -> None:
    write_table(table, tmp_path / "in" / "raw")
    (tmp_path / "in" / "enrichment" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "enrichment" / "deep" / "planes.json").write_bytes(b"rows")
    raw = publish_stage("ingest", tmp_path / "in")
    (tmp_path / "out").mkdir()
    run(SampleSpec(fraction=0.1), night=make_night(), settings=home, out=tmp_path / "out", raw=raw)
    found = tmp_path / "out" / "enrichment" / "deep" / "planes.json"
    assert found.read_bytes() == b"rows"
    assert found.stat().st_ino == (raw.path / "enrichment" / "deep" / "planes.json").stat().st_ino
