"""Partitions and passes over columns say of a table what Great Expectations says of it as one frame."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import SpecError
from pipelines.validation.context import SuiteJudge
from pipelines.validation.partitions import Partitions
from pipelines.validation.validate import judge

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untraced")]

NULL_B = {"type": "nullity", "column": {"name": "b"}, "is_null": True}
RULES: list[tuple[str, dict[str, Any]]] = [
    ("expect_column_values_to_not_be_null", {"column": "a", "mostly": 0.8}),
    ("expect_column_values_to_not_be_null", {"column": "text (x).1", "mostly": 0.9}),
    ("expect_column_values_to_be_null", {"column": "a", "mostly": 0.2}),
    ("expect_column_values_to_be_null", {"column": "a", "mostly": 0.5, "row_condition": NULL_B}),
    (
        "expect_column_values_to_not_be_null",
        {"column": "a", "mostly": 0.7, "row_condition": "b > 3", "condition_parser": "pandas"},
    ),
    ("expect_column_values_to_be_between", {"column": "a", "min_value": -1, "max_value": 1.5, "mostly": 0.8}),
    ("expect_column_values_to_be_between", {"column": "b", "min_value": 1}),
    ("expect_column_values_to_be_between", {"column": "when", "min_value": "2026-01-03T00:00:00", "mostly": 0.9}),
    ("expect_column_times_of_day_to_be_between", {"column": "when", "min_value": "20:00:00", "max_value": "06:00:00"}),
    ("expect_column_values_to_be_in_set", {"column": "text (x).1", "value_set": ["p", "q"], "mostly": 0.6}),
    ("expect_column_values_to_match_regex", {"column": "text (x).1", "regex": "^[pq]$", "mostly": 0.7}),
    ("expect_column_value_lengths_to_be_between", {"column": "text (x).1", "min_value": 1, "max_value": 1}),
    ("expect_column_values_to_be_of_type", {"column": "a", "type_": "float64"}),
    ("expect_column_values_to_be_of_type", {"column": "b", "type_": "int64"}),
    ("expect_column_values_to_be_of_type", {"column": "text (x).1", "type_": "str"}),
    ("expect_column_values_to_be_of_type", {"column": "gaps", "type_": "float64"}),
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "b", "column_B": "a", "mostly": 0.7}),
    ("expect_column_pair_values_to_be_equal", {"column_A": "a", "column_B": "gaps", "mostly": 0.3}),
    ("expect_multicolumn_values_to_add_up", {"column_list": ["a", "b", "total"]}),
    ("expect_multicolumn_sum_to_equal", {"column_list": ["b", "gaps"], "sum_total": 4, "mostly": 0.2}),
    ("expect_column_values_to_be_unique", {"column": "key"}),
    ("expect_column_values_to_be_unique", {"column": "b", "mostly": 0.5}),
    ("expect_compound_columns_to_be_unique", {"column_list": ["b", "text (x).1"], "mostly": 0.4}),
    ("expect_column_min_to_be_between", {"column": "b", "min_value": 1, "max_value": 2}),
    ("expect_column_max_to_be_between", {"column": "when", "max_value": "2026-01-20T00:00:00"}),
    ("expect_column_mean_to_be_between", {"column": "a", "min_value": -0.05, "max_value": 0.3}),
    ("expect_column_sum_to_be_between", {"column": "b", "min_value": 90, "max_value": 140}),
    ("expect_column_stdev_to_be_between", {"column": "a", "min_value": 0.9, "max_value": 1.1}),
    ("expect_column_median_to_be_between", {"column": "a", "min_value": -0.1, "max_value": 0.2}),
    (
        "expect_column_quantile_values_to_be_between",
        {"column": "a", "quantile_ranges": {"quantiles": [0.1, 0.93], "value_ranges": [[-2, -1], [1, None]]}},
    ),
    ("expect_column_unique_value_count_to_be_between", {"column": "text (x).1", "min_value": 3, "max_value": 3}),
    ("expect_column_proportion_of_unique_values_to_be_between", {"column": "b", "max_value": 0.15}),
    ("expect_column_distinct_values_to_be_in_set", {"column": "text (x).1", "value_set": ["p", "q", "r"]}),
    ("expect_column_distinct_values_to_contain_set", {"column": "b", "value_set": [0, 5]}),
    ("expect_column_distinct_values_to_equal_set", {"column": "text (x).1", "value_set": ["p", "q", "r"]}),
    ("expect_column_most_common_value_to_be_in_set", {"column": "text (x).1", "value_set": ["p"], "ties_okay": True}),
    ("expect_column_value_z_scores_to_be_less_than", {"column": "a", "threshold": 2.2, "double_sided": True}),
    ("expect_column_values_to_be_increasing", {"column": "total"}),
    ("expect_select_column_values_to_be_unique_within_record", {"column_list": ["b", "gaps"], "mostly": 0.6}),
    ("expect_table_row_count_to_be_between", {"min_value": 30, "max_value": 50}),
    ("expect_table_column_count_to_equal", {"value": 9}),
    ("expect_table_columns_to_match_set", {"column_set": ["a", "b"], "exact_match": False}),
    ("expect_column_to_exist", {"column": "a"}),
    ("expect_column_to_exist", {"column": "gone"}),
    ("expect_column_values_to_be_between", {"column": "gone", "min_value": 1}),
    ("expect_column_values_to_be_unique", {"column": "gone"}),
]


def some_table(seed: int, rows: int) -> pa.Table:
    draw = np.random.default_rng(seed)
    a = draw.normal(size=rows)
    b = draw.integers(0, 6, rows)
    start = datetime(2026, 1, 1, 22, tzinfo=UTC).replace(tzinfo=None)
    hours = draw.integers(0, 9 if seed % 2 else 24, rows)
    return pa.table(
        {
            "key": [f"k{n if n % 11 or seed % 2 else 0}" for n in range(rows)],
            "_weight": [1.0] * rows,
            "_sealed": [False] * rows,
            "a": [None if draw.random() < 0.2 else float(value) for value in a],
            "b": pa.array(b),
            "gaps": [None if n % 13 == 5 else int(value) for n, value in enumerate(b)],
            "text (x).1": [None if draw.random() < 0.1 else "pqr"[int(value)] for value in draw.integers(0, 3, rows)],
            "when": pa.array([start + timedelta(n // 2, hours=int(hours[n])) for n in range(rows)], pa.timestamp("us")),
            "total": np.where(np.arange(rows) == 17, 99.0, a + b) if seed % 3 == 0 else a + b,
            "flag": [None if n % 17 == 3 else bool(n % 2) for n in range(rows)],
        }
    )


@pytest.mark.parametrize(
    ("seed", "rows", "partition"), [(0, 40, 7), (1, 40, 1000), (2, 33, 11), (3, 40, 13), (4, 0, 5)]
)
def test_the_verdict_is_that_of_the_whole_table(tmp_path: Path, seed: int, rows: int, partition: int) -> None:
    table = some_table(seed, rows)
    (tmp_path / "cleaned").mkdir()
    pq.write_table(table.slice(0, 19), tmp_path / "cleaned" / "part-0.parquet", row_group_size=10)
    pq.write_table(table.slice(19), tmp_path / "cleaned" / "part-1.parquet", row_group_size=6)
    suite = {"expectations": [{"type": kind, "kwargs": kwargs, "severity": "warning"} for kind, kwargs in RULES]}
    gx = SuiteJudge(suite, tmp_path / "whole", "demo")
    whole = gx.check(table.drop_columns(["_sealed", "_weight"]).to_pandas(), gx.rules)
    failed = [(rule.expectation_type, rule.id) for rule in gx.rules if not whole[rule.id].success]
    verdict = judge(tmp_path / "cleaned", suite, tmp_path / "parts", "demo", docs=seed == 0, partition_rows=partition)
    kinds = {rule.id: rule.expectation_type for rule in gx.rules}
    assert [(kinds[rule_id], rule_id) for rule_id in verdict.broken] == failed
    assert 5 < len(failed) < len(RULES) - 5
    assert verdict.rows == rows
    assert verdict.partitions == max(1, -(-rows // partition))
    assert len(verdict.whole) == 3 or not rows  # without a row some columns have no type
    assert "expect_column_values_to_be_increasing of total" in verdict.whole


def test_partitions_hold_every_row_once_in_order(tmp_path: Path) -> None:
    table = some_table(1, 101)
    for index in range(3):
        pq.write_table(table.slice(index * 40, 40), tmp_path / f"part-{index}.parquet", row_group_size=9)
    parts = Partitions(tmp_path, {"total", "gaps", "flag"}, rows=25)
    frames = list(parts.frames())
    assert [len(frame) for frame in frames] == [25, 25, 25, 25, 1]
    assert {frame["gaps"].dtype.kind for frame in frames} == {"f"}
    assert {frame["flag"].dtype.kind for frame in frames} == {"O"}
    assert np.array_equal(np.concatenate([frame["total"] for frame in frames]), table["total"].to_numpy())


def test_wide_tables_are_cut_into_shorter_partitions(tmp_path: Path) -> None:
    pq.write_table(pa.table({f"c{index}": [1.0] for index in range(300)}), tmp_path / "part-0.parquet")
    assert Partitions(tmp_path).rows == 100_000
    assert Partitions(tmp_path, ["c1"]).rows == 500_000


def test_every_unknown_rule_is_named(tmp_path: Path) -> None:
    rules = [{"type": "expect_magic", "kwargs": {}}, {"type": "expect_more", "kwargs": {}}, "text"]
    with pytest.raises(SpecError) as error:
        SuiteJudge({"expectations": rules}, tmp_path / "root", "demo")
    assert [fault.split(":")[0] for fault in error.value.faults] == [
        "rule 1 (expect_magic)",
        "rule 2 (expect_more)",
        "rule 3 (text)",
    ]
