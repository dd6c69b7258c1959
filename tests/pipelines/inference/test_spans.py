"""Spans of time and times of day are one number of seconds in every spelling, and in every type."""

from __future__ import annotations

from datetime import time, timedelta

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.inference.recipe.number_parsing import NumberText, SpanText
from pipelines.inference.recipe.row_recipe import Column, RowRecipe

SPANS = st.timedeltas(timedelta(days=-9_999), timedelta(days=9_999))
RECIPE = RowRecipe((Column("x", "number", written=SpanText()),))


def clock_of(span: timedelta, *, hours: int = 0) -> str:
    """Write the part of a day, or with so many further hours."""
    fraction = f".{span.microseconds:06d}" if span.microseconds else ""
    return f"{span.seconds // 3600 + hours:02d}:{span.seconds // 60 % 60:02d}:{span.seconds % 60:02d}{fraction}"


def postgres_text(span: timedelta) -> str:
    """Write as PostgreSQL and DuckDB do: days and clock have signs of their own."""
    size = abs(span)
    sign = "-" if span < timedelta() else ""
    days = f"{sign}{size.days} day{'s' if size.days != 1 else ''} " if size.days else ""
    return f"{days}{sign}{clock_of(size)}"


def iso_text(span: timedelta) -> str:
    """Write in ISO 8601 with one sign in front."""
    size = abs(span)
    seconds = f"{size.seconds % 60}.{size.microseconds:06d}".rstrip("0").rstrip(".")
    return (
        f"{'-' if span < timedelta() else ''}P{size.days}DT{size.seconds // 3600}H{size.seconds // 60 % 60}M{seconds}S"
    )


def spellings(span: timedelta) -> list[str]:
    size, sign = abs(span), "-" if span < timedelta() else ""
    return [
        str(span),
        str(pd.Timedelta(span)),
        pd.Timedelta(span).isoformat(),
        iso_text(span),
        postgres_text(span),
        f"{sign}{clock_of(size, hours=24 * size.days)}",
        f"{sign}PT{size // timedelta(microseconds=1) / 1e6!r}S".replace("e-0", "0E-")
        if "e" not in repr(size.total_seconds())
        else str(span),
        repr(span.total_seconds()),
        f"{postgres_text(-span)} ago" if size.days == 0 and span else str(span),
    ]


@given(SPANS)
@example(timedelta())
@example(timedelta(microseconds=-1))
@example(timedelta(days=-1, microseconds=1))
@example(timedelta(days=1))
@example(timedelta(days=400, hours=23, minutes=59, seconds=59, microseconds=999_999))
def test_every_spelling_is_the_same_number_of_seconds(span: timedelta) -> None:
    for text in spellings(span):
        assert SpanText().read(text) == pytest.approx(span.total_seconds(), abs=1e-6, rel=1e-15), text


@given(st.lists(SPANS, min_size=1, max_size=5))
def test_texts_of_duckdb(spans: list[timedelta]) -> None:
    with duckdb.connect() as connection:
        connection.register("t", pa.table({"x": pa.array(spans, pa.duration("us"))}))
        found = connection.execute("SELECT CAST(to_microseconds(epoch_us(x)) AS VARCHAR), epoch(x) FROM t").fetchall()
    for text, seconds in found:
        assert SpanText().read(text) == pytest.approx(seconds, abs=1e-6)


@given(st.lists(st.none() | SPANS, min_size=1, max_size=6), st.integers(0, 8))
def test_texts_types_and_rows_are_one(spans: list[timedelta | None], kind: int) -> None:
    texts = [None if span is None else spellings(span)[kind] for span in spans]
    expected, _ = RECIPE.apply(pa.table({"x": pa.array(spans, pa.duration("us"))}))
    forms = [
        pa.table({"x": pa.array(texts, pa.string())}),
        pd.DataFrame({"x": pd.Series(texts, dtype=object)}),
        pd.DataFrame({"x": pd.Series(spans, dtype="timedelta64[us]")}),
        pd.DataFrame({"x": pd.Series(spans, dtype=object)}),
    ]
    for form in forms:
        values, bad = RECIPE.apply(form)
        assert not bad.to_numpy().any()
        np.testing.assert_allclose(values["x"], expected["x"], atol=1e-6, rtol=1e-15)
    for text, span, value in zip(texts, spans, expected["x"], strict=True):
        for cell in (text, span, None if span is None else np.timedelta64(span)):
            read = RECIPE.apply_row({"x": cell})["x"]
            assert read == pytest.approx(value, abs=1e-6) if read is not None else np.isnan(value)


@given(st.times())
def test_a_time_of_day_is_its_seconds(clock: time) -> None:
    seconds = clock.hour * 3600 + clock.minute * 60 + clock.second + clock.microsecond / 1e6
    for text in (clock.isoformat(), f"{clock}Z", f"{clock}+00", f"{clock}+00:00", f"{clock} UTC"):
        assert SpanText().read(text) == pytest.approx(seconds, abs=1e-6)
    half = f"{(clock.hour - 1) % 12 + 1}:{clock.minute:02d}:{clock.second:02d} {'PM' if clock.hour >= 12 else 'AM'}"
    assert SpanText().read(half) == pytest.approx(int(seconds))
    for form in (pa.time64("us"), pa.time64("ns")):
        values, _ = RECIPE.apply(pa.table({"x": pa.array([clock], form)}))
        assert values["x"][0] == pytest.approx(seconds, abs=1e-6)
    assert RECIPE.apply_row({"x": clock})["x"] == pytest.approx(seconds, abs=1e-6)


@given(st.text("0123456789:.,-+ PTDHMSYWdaysmonthragopm", max_size=14))
@example("P1.1.1D")
@example("PT")
@example("-P")
@example("P1DT")
@example("1 day 1 day")
@example("99999999999:00")
def test_no_text_is_too_odd(text: str) -> None:
    read = SpanText().read(text)
    assert read is None or isinstance(read, float)
    values, bad = RECIPE.apply(pa.table({"x": pa.array([text])}))
    row, unreadable = RECIPE.read_row({"x": text})
    assert bool(bad["x"][0]) == (unreadable == ["x"])
    assert (row["x"] is None and np.isnan(values["x"][0])) or row["x"] == values["x"][0]


@pytest.mark.parametrize(
    "text", ["1:60", "24:00:61", "1 blue", "P", "PT", "P1H", "T1H", "13:00 PM", "0:30 am", "1..5 h", "", "12 h ago ago"]
)
def test_what_is_no_span(text: str) -> None:
    assert SpanText().read(text) is None


def test_units_of_parquet_are_one() -> None:
    spans = [timedelta(seconds=90), timedelta(days=-1), None]
    read = [
        RECIPE.apply(pa.table({"x": pa.array(spans, pa.duration(unit))}))[0]["x"].tolist()
        for unit in ("s", "ms", "us", "ns")
    ]
    assert [values[:2] for values in read] == [[90.0, -86_400.0]] * 4
    plain = RowRecipe((Column("x", "number", written=NumberText()),))
    assert plain.apply(pa.table({"x": pa.array(spans, pa.duration("ns"))}))[0]["x"].tolist()[:2] == [90.0, -86_400.0]
