"""What Arrow counts of a rule is what Great Expectations finds in the frame."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.validation.context import SuiteJudge
from pipelines.validation.counting import check_of, count
from pipelines.validation.later import Later
from pipelines.validation.validate import _results

LIMITS: list[dict[str, Any]] = [
    {"min_value": -1},
    {"max_value": 2.5},
    {"min_value": 0, "max_value": 3, "strict_min": True},
    {"min_value": 1, "max_value": 2, "strict_max": True, "strict_min": True, "mostly": 0.5},
]
RULES: list[tuple[str, dict[str, Any]]] = [
    *(("expect_column_values_to_be_between", {"column": "n", **limits}) for limits in LIMITS),
    *(("expect_column_value_lengths_to_be_between", {"column": "t", **limits}) for limits in LIMITS),
    *(("expect_column_values_to_not_be_null", {"column": name, "mostly": 0.7}) for name in ("n", "t", "m")),
    *(("expect_column_values_to_be_null", {"column": name, "mostly": 0.7}) for name in ("n", "t")),
    ("expect_column_values_to_be_in_set", {"column": "t", "value_set": ["", "é", "bb"], "mostly": 0.6}),
    ("expect_column_values_to_be_of_type", {"column": "n", "type_": "float64"}),
    ("expect_column_values_to_be_of_type", {"column": "t", "type_": "float64"}),
    ("expect_column_values_to_be_of_type", {"column": "m", "type_": "datetime64"}),
    ("expect_column_to_exist", {"column": "n"}),
]
NUMBERS = st.lists(
    st.none() | st.sampled_from([-1.0, 0.0, 1.0, 2.0, 2.5, 3.0, float("inf"), float("nan")]), max_size=40
)


@pytest.fixture(scope="module")
def gx(tmp_path_factory: pytest.TempPathFactory) -> SuiteJudge:
    suite = {"expectations": [{"type": kind, "kwargs": kwargs} for kind, kwargs in RULES]}
    return SuiteJudge(suite, tmp_path_factory.mktemp("judge") / "root", "demo")


@settings(max_examples=12, deadline=None)
@given(NUMBERS, st.integers(0, 2**32))
def test_a_count_judges_as_the_frame_does(
    gx: SuiteJudge, tmp_path_factory: pytest.TempPathFactory, numbers: list[float | None], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("cleaned")
    draw = np.random.default_rng(seed)
    rows = len(numbers)
    table = pa.table(
        {
            "n": pa.array(numbers, pa.float64()),
            "t": pa.array(
                [[None, "", "é", "bb", "𝒳y", "ccc"][index] for index in draw.integers(0, 6, rows)], pa.string()
            ),
            "m": pa.array([[None, 5, 10**15][index] for index in draw.integers(0, 3, rows)], pa.timestamp("us")),
        }
    )
    pq.write_table(table.slice(0, 15), folder / "part-0.parquet", row_group_size=8)
    pq.write_table(table.slice(15), folder / "part-1.parquet", use_dictionary=False)
    whole = gx.check(table.to_pandas(), gx.rules)
    (folder / "spill").mkdir()
    results, seen, partitions, as_whole = _results(gx, folder, folder / "spill", 10, 1)
    assert (seen, partitions, as_whole) == (rows, max(1, -(-rows // 10)), [])
    for rule, result in zip(gx.rules, results, strict=True):
        wanted = whole[rule.id]
        said = {key: value for key, value in wanted.result.items() if key != "unexpected_index_query"}
        assert result.success == wanted.success, rule.expectation_type
        assert {key: repr(result.result.get(key)) for key in said} == {key: repr(value) for key, value in said.items()}


def test_coded_texts_count_like_plain_ones(tmp_path: Path) -> None:
    texts = pa.array(["a", None, "b", "a", "c"] * 5_000)
    check = check_of("expect_column_values_to_be_in_set", {"column": "t", "value_set": ["a", "b"]}, texts.type)
    assert check is not None
    found = []
    for coded in (True, False):
        folder = tmp_path / str(coded)
        folder.mkdir()
        pq.write_table(pa.table({"t": texts}), folder / "part-0.parquet", use_dictionary=coded)
        found.append(count(folder, {"rule": ("t", check)}, 3)["rule"])
    assert found[0] == found[1]
    assert (found[0].elements, found[0].missing, found[0].unexpected) == (25_000, 5_000, 5_000)
    assert found[0].examples == ["c"] * 3


@pytest.mark.parametrize(
    ("kind", "kwargs", "type_"),
    [
        ("expect_column_values_to_be_between", {"min_value": "2026-01-01"}, pa.float64()),
        ("expect_column_values_to_be_between", {"min_value": 3, "max_value": 1}, pa.float64()),
        ("expect_column_values_to_be_between", {}, pa.float64()),
        ("expect_column_values_to_be_between", {"min_value": 3}, pa.int64()),
        ("expect_column_values_to_be_in_set", {"value_set": [1, "a"]}, pa.string()),
        ("expect_column_values_to_not_be_null", {"row_condition": "x > 1"}, pa.string()),
        ("expect_column_values_to_match_regex", {"regex": "a"}, pa.string()),
    ],
)
def test_other_rules_are_left_to_great_expectations(kind: str, kwargs: dict[str, Any], type_: pa.DataType) -> None:
    assert check_of(kind, {"column": "x", **kwargs}, type_) is None


def test_a_module_for_later_is_loaded_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    late = Later("colorsys")
    monkeypatch.setitem(sys.modules, "colorsys", late)
    import colorsys

    assert colorsys is late
    assert not hasattr(colorsys, "__file__")
    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)
    assert sys.modules["colorsys"] is not late
