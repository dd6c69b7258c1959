# ruff: noqa: DTZ001 - clean moments are naive UTC
from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.inference.recipe import cells
from pipelines.inference.recipe.cells import BAD

TOKENS = frozenset({b"", b"?", b"na", b"-99"})


@pytest.mark.parametrize("value", [1, 1.0, "1", " 1 ", "1.0", "1.00", np.int64(1), np.float32(1), Decimal("1.0")])
def test_one_is_one_category_whatever_its_type(value: object) -> None:
    assert cells.category_reader(TOKENS)(value) == "1"


@pytest.mark.parametrize("value", [True, np.bool_(True), "true", " TRUE", "True"])
def test_true_is_one_category(value: object) -> None:
    assert cells.category_reader(TOKENS)(value) == "true"


@pytest.mark.parametrize(
    ("value", "text"), [("007", "007"), ("1.50", "1.50"), (1.5, "1.5"), (-0.0, "0"), ("-0.0", "0")]
)
def test_identifiers_and_decimals_keep_their_spelling(value: object, text: str) -> None:
    assert cells.category_reader(TOKENS)(value) == text


@given(st.text(max_size=12))
def test_canonical_text_is_idempotent(text: str) -> None:
    once = cells.canonical_text(text)
    assert cells.canonical_text(once) == once


@pytest.mark.parametrize("value", [[1], {"a": 1}, float("nan"), float("inf"), "\ud800", "x" * 5000, b"x", 1 << 2000])
def test_unreadable_categories(value: object) -> None:
    assert cells.category_reader(TOKENS)(value) is BAD


@pytest.mark.parametrize(
    ("value", "number"),
    [("1", 1.0), (" +2.5e1 ", 25.0), (".5", 0.5), ("5.", 5.0), (True, 1.0), (Decimal("0.1"), 0.1), (np.int8(3), 3.0)],
)
def test_numbers(value: object, number: float) -> None:
    assert cells.number_reader(TOKENS)(value) == number


@pytest.mark.parametrize(
    "value",
    ["inf", "1_000", "1,5", "0x1", "true", "1e999", "\u0661", math.inf, math.nan, 10**400, [1], date(2020, 1, 1)],
)
def test_unreadable_numbers(value: object) -> None:
    assert cells.number_reader(TOKENS)(value) is BAD


@pytest.mark.parametrize("value", [None, "", " ", "?", "NA", "-99", "-99.0", -99, -99.0])
def test_missing_numbers(value: object) -> None:
    assert cells.number_reader(TOKENS)(value) is None


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("1/2/2024", datetime(2024, 1, 2)),
        ("2024-01-02", datetime(2024, 1, 2)),
        ("2024-01-02T03:04:05.5+01:00", datetime(2024, 1, 2, 2, 4, 5, 500_000)),
        (datetime(2024, 1, 2, 3, tzinfo=UTC), datetime(2024, 1, 2, 3)),
        (date(2024, 1, 2), datetime(2024, 1, 2)),
        (pd.NaT, None),
        ("?", None),
        ("2024-13-01", BAD),
        (5, BAD),
        (True, BAD),
        ("\udfff", BAD),
    ],
)
def test_dates(value: object, moment: object) -> None:
    read = cells.date_reader(("%m/%d/%Y",), TOKENS)(value)
    assert read is moment or read == moment
