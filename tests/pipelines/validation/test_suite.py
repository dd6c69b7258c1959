"""Suites are learned from nights: limits allow for how nights differ, and say nothing that chance would say too."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.storage import write_table
from pipelines.validation.relearn import limits, merge
from pipelines.validation.rules import upper
from pipelines.validation.suite import learn_nights, suite_text
from pipelines.validation.validate import judge

pytestmark = pytest.mark.slow

ROWS = 2_000


def night(seed: int, rows: int = ROWS, *, shift: float = 0.0, **replaced: Any) -> pa.Table:
    draw = np.random.default_rng(seed)
    price = draw.lognormal(3, 0.8, rows) + shift
    tax = price * draw.choice([0.07, 0.19], rows)
    low = draw.normal(10, 3, rows)
    start = np.datetime64("2026-01-05T08:00:00", "us")
    opened = start + (draw.integers(0, 30, rows) * 86_400 + draw.integers(0, 9 * 3600, rows)) * np.timedelta64(1, "s")
    gone = draw.random(rows) < 0.1
    columns = {
        "_key": [f"k{seed}-{n}" for n in range(rows)],
        "_time": pa.nulls(rows, pa.timestamp("us", "UTC")),
        "_sealed": [False] * rows,
        "_weight": [1.0] * rows,
        "_y": draw.choice(["yes", "no"], rows, p=[0.2, 0.8]),
        "price": price,
        "tax": tax,
        "paid": price + tax,
        "low": low,
        "high": low + draw.exponential(4, rows) * 0.7,
        "opened": opened,
        "closed": opened + draw.integers(600, 90_000, rows) * np.timedelta64(1, "s"),
        "zone": draw.choice(["north", "south", "west"], rows),
        "code": [f"C-{n:05}" for n in range(rows)],
        "phone": pa.array(draw.normal(size=rows), mask=gone),
        "called (at)": pa.array(draw.normal(size=rows), mask=gone | (draw.random(rows) < 0.3)),
        "constant": np.ones(rows),
        "noise": draw.normal(size=rows),
        "nothing": pa.nulls(rows, pa.float64()),
    }
    return pa.table({**columns, **replaced})


def rules_of(suite: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    found = {}
    for rule in suite["expectations"]:
        kwargs = rule["kwargs"]
        names = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
        found[rule["type"].removeprefix("expect_"), " ".join([*names, *kwargs.get("column_list", ())])] = rule
    return found


def broken(suite: dict[str, Any], table: pa.Table, folder: Path) -> list[str]:
    write_table(table, folder / "cleaned")
    verdict = judge(folder / "cleaned", suite, folder / "work", "demo", docs=False)
    return verdict.hard_failed + verdict.soft_failed


def test_rules_hold_on_their_own_table_and_on_the_next_night(tmp_path: Path) -> None:
    suite = learn_nights("demo", [night(1)], unique_key=True)
    assert broken(suite, night(1), tmp_path / "own") == []
    assert broken(suite, night(2), tmp_path / "next") == []


def test_rules_between_columns_are_found_and_no_others() -> None:
    suite = learn_nights("demo", [night(1)])
    between = {
        (kind, names): rule
        for (kind, names), rule in rules_of(suite).items()
        if " " in names.replace("called (at)", "x") or "row_condition" in rule["kwargs"]
    }
    assert set(between) == {
        ("column_pair_values_a_to_be_greater_than_b", "high low"),
        ("column_pair_values_a_to_be_greater_than_b", "paid price"),
        ("column_pair_values_a_to_be_greater_than_b", "price tax"),
        ("column_pair_values_a_to_be_greater_than_b", "closed opened"),
        ("multicolumn_values_to_add_up", "price tax paid"),
        ("column_values_to_be_null", "called (at)"),
    }
    assert between["column_values_to_be_null", "called (at)"]["kwargs"]["row_condition"]["column"] == {"name": "phone"}
    assert all(rule["severity"] == "warning" for rule in between.values())


def test_only_what_makes_a_table_unusable_is_hard_unless_asked_for() -> None:
    soft, hard = learn_nights("demo", [night(1)], hard="none"), learn_nights("demo", [night(1)], hard="all")
    assert {rule["severity"] for rule in soft["expectations"]} == {"warning"}
    assert {rule["severity"] for rule in hard["expectations"]} == {"critical"}
    usual = learn_nights("demo", [night(1)], unique_key=True)
    critical = {rule["type"] for rule in usual["expectations"] if rule["severity"] == "critical"}
    assert critical == {
        "expect_table_row_count_to_be_between",
        "expect_column_values_to_not_be_null",
        "expect_column_to_exist",
        "expect_column_values_to_be_of_type",
        "expect_column_values_to_be_in_set",
        "expect_column_values_to_be_unique",
    }
    nulls = [rule for rule in usual["expectations"] if rule["type"] == "expect_column_values_to_not_be_null"]
    assert [rule["kwargs"]["column"] for rule in nulls if rule["severity"] == "critical"] == ["_key"]


def test_limits_widen_with_what_differs_between_nights() -> None:
    one = rules_of(learn_nights("demo", [night(3)]))
    calm = rules_of(learn_nights("demo", [night(seed) for seed in (1, 2, 3)]))
    moved = rules_of(learn_nights("demo", [night(seed, shift=50.0 * seed) for seed in (1, 2, 3)]))
    key = ("column_values_to_be_between", "price")
    width = [rules[key]["kwargs"]["max_value"] - rules[key]["kwargs"]["min_value"] for rules in (one, calm, moved)]
    assert width[0] <= width[1] < width[2]
    assert ("column_median_to_be_between", "price") not in one
    medians = [rules["column_median_to_be_between", "price"]["kwargs"] for rules in (calm, moved)]
    assert medians[0]["min_value"] < 20.1 < medians[0]["max_value"] < 50 < medians[1]["max_value"]
    usual = learn_nights("demo", [night(n, 500 * n) for n in (1, 2, 3)])["expectations"][:2]
    assert usual[1]["kwargs"]["min_value"] == 250
    assert usual[1]["kwargs"]["max_value"] >= 3000


def test_categories_and_nulls_allow_what_was_seen() -> None:
    fresh = [f"z{n % 20}" if n % 20 == 0 else "old" for n in range(ROWS)]
    known = rules_of(learn_nights("demo", [night(1)]))["column_values_to_be_in_set", "zone"]["kwargs"]
    grown = learn_nights("demo", [night(1), night(2, zone=fresh)])
    wider = rules_of(grown)["column_values_to_be_in_set", "zone"]["kwargs"]
    assert known["value_set"] == ["north", "south", "west"]
    assert known["mostly"] == 0.99
    assert "z0" in wider["value_set"]
    assert wider["mostly"] == 0.0  # the second night had nothing but new texts
    nulls = rules_of(learn_nights("demo", [night(1)]))
    assert nulls["column_values_to_not_be_null", "price"]["kwargs"]["mostly"] == 0.985
    assert 0.7 < nulls["column_values_to_not_be_null", "phone"]["kwargs"]["mostly"] < 0.85
    assert ("column_values_to_not_be_null", "nothing") not in nulls


@pytest.mark.parametrize(("count", "of", "bound"), [(0, 1000, 0.0069), (10, 1000, 0.0238), (7, 7, 1.0), (0, 1, 0.999)])
def test_upper_bounds_of_shares(count: int, of: int, bound: float) -> None:
    assert upper(count, of) == pytest.approx(bound, rel=0.02)


def test_times_of_day_are_learned_where_they_cover_a_part_of_the_day(tmp_path: Path) -> None:
    start = datetime(2026, 1, 1)  # noqa: DTZ001 # moments in tables are UTC without a zone
    nightly = pa.array(
        [start + timedelta(days=n % 20, minutes=(22 * 60 + n % 300)) for n in range(500)], pa.timestamp("us")
    )
    midnight = pa.array([start + timedelta(days=n % 20) for n in range(500)], pa.timestamp("us"))
    always = pa.array([start + timedelta(minutes=7 * n) for n in range(500)], pa.timestamp("us"))
    table = night(1, 500, opened=nightly, closed=midnight, noise=always)
    suite = rules_of(learn_nights("demo", [table]))
    arc = suite["column_times_of_day_to_be_between", "opened"]["kwargs"]
    assert (arc["min_value"], arc["max_value"]) == ("22:00:00", "02:59:59")
    day = suite["column_times_of_day_to_be_between", "closed"]["kwargs"]
    assert (day["min_value"], day["max_value"]) == ("00:00:00", "00:00:00")
    assert ("column_times_of_day_to_be_between", "noise") not in suite


def test_learning_again_from_the_same_nights_changes_nothing() -> None:
    nights = [night(1), night(2)]
    suite = learn_nights("demo", nights)
    assert suite_text(suite) == suite_text(learn_nights("demo", nights))
    assert len({rule["id"] for rule in suite["expectations"]}) == len(suite["expectations"])
    merged, changes = merge(suite, learn_nights("demo", nights))
    assert changes == []
    assert suite_text(merged) == suite_text(suite)
    _, few = merge(suite, learn_nights("demo", [night(1), night(5)]))
    assert len(few) < 12  # limits are rounded, so that a small difference of the data makes a small one of the suite


def test_edited_rules_are_kept_and_said() -> None:
    suite = json.loads(suite_text(learn_nights("demo", [night(1)])))
    rules = rules_of(suite)
    rules["column_values_to_be_between", "price"]["kwargs"]["max_value"] = 1234.5
    rules["column_values_to_be_of_type", "price"]["severity"] = "warning"
    rules["column_values_to_be_in_set", "zone"]["meta"]["edited"] = True
    by_hand = {
        "type": "expect_column_max_to_be_between",
        "kwargs": {"column": "price", "max_value": 9},
        "severity": "warning",
    }
    dropped = rules["column_values_to_not_be_null", "noise"]
    suite["expectations"] = [rule for rule in suite["expectations"] if rule is not dropped] + [by_hand]
    learned = learn_nights("demo", [night(1, price=np.full(ROWS, 5000.0), zone=["east"] * ROWS)])
    learned["expectations"] = [rule for rule in learned["expectations"] if rule["kwargs"].get("column") != "code"]
    merged, changes = merge(suite, learned)
    after = rules_of(merged)
    assert after["column_values_to_be_between", "price"]["kwargs"]["max_value"] == 1234.5
    assert after["column_values_to_be_of_type", "price"]["severity"] == "warning"
    assert after["column_values_to_be_in_set", "zone"]["kwargs"]["value_set"] == ["north", "south", "west"]
    assert by_hand in merged["expectations"]
    told = {(change.state, change.kind.removeprefix("expect_"), change.about): change for change in changes}
    assert told["kept", "column_values_to_be_between", "price"].why == "edited by hand"
    assert told["kept", "column_values_to_be_in_set", "zone"].why == "marked as edited"
    assert told["added", "column_values_to_not_be_null", "noise"].new == limits(dropped)
    assert ("removed", "column_to_exist", "code") in told
    assert not any(change.about == "code" and change.state != "removed" for change in changes)
    suite["meta"]["declined"] = [dropped["id"]]
    assert ("column_values_to_not_be_null", "noise") not in rules_of(merge(suite, learned)[0])
    replaced = rules_of(merge(suite, learned, replace_edited=True)[0])
    assert replaced["column_values_to_be_between", "price"]["kwargs"]["max_value"] > 5000
    assert ("column_max_to_be_between", "price") in replaced
