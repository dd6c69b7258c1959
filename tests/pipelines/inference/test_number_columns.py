"""Columns of numbers as people write them: read alike as a column and cell by cell, and learned from their shapes."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from pipelines.cleaning import scan
from pipelines.cleaning.reading import read_text_column
from pipelines.cleaning.spec import CleanSpec
from pipelines.inference.recipe import cells
from pipelines.inference.recipe.number_columns import MARKS, learn, read_written, shapes_of
from pipelines.inference.recipe.number_parsing import MONEY, SIGNS, NumberText, SpanText, written_from_json

UNITS: tuple[tuple[tuple[str, float], ...], ...] = (
    (),
    (("%", 0.01),),
    (("kg", 1.0), ("g", 0.001)),
    (("µm", 1e-6), ("m²", 1.0), ("°C", 1.0)),
)
WAYS = [
    NumberText(decimal, thousands, currency, suffixes)
    for (decimal, thousands), currency, suffixes in itertools.product(MARKS, (False, True), UNITS)
]
PIECES = st.sampled_from(
    [
        *"0123456789.,' +-()eE%$€£₹\u2212\u00a0\u2009\u202f\u2019",
        "kg",
        "G",
        "µM",
        "ΜM",
        "m²",
        "°c",
        "USD ",
        "Kč",
        "KČ",
        "\u212ac",
        "kr.",
        "ſek",
        "zŁ",
        "12",
        "000",
        "1.234",
        "1,234",
        "\n",
        "٣",
    ]
)


@st.composite
def written_numbers(draw: st.DrawFn, way: NumberText) -> str:
    """Write a number nearly as it should be."""
    number = draw(st.integers(0, 10**9) | st.floats(0, 1e9).map(lambda value: round(value, 4)))
    digits = draw(st.integers(0, 4))
    text = f"{number:,.{digits}f}".replace(",", "\0").replace(".", way.decimal).replace("\0", way.thousands)
    front = draw(st.sampled_from(["", "-", "+", "(", "$", "€ ", "USD ", "\u2212", "- $"]))
    behind = draw(st.sampled_from(["", ")", "%", " kg", "-", " €", "e3", "E+05", " m²", " Kč", " KČ", "e999"]))
    text = front + text + behind
    if draw(st.booleans()):
        index = draw(st.integers(0, len(text)))
        text = text[:index] + draw(PIECES) + text[index + draw(st.integers(0, 1)) :]
    return text.strip(cells.WHITESPACE)


@settings(max_examples=300)
@given(way=st.sampled_from(WAYS), data=st.data())
def test_a_column_reads_like_its_cells(way: NumberText, data: st.DataObject) -> None:
    texts = data.draw(
        st.lists(written_numbers(way) | st.lists(PIECES, max_size=6).map("".join), min_size=1, max_size=12)
    )
    values, bad = read_written(pa.array(texts, pa.string()), way)
    for text, value, unreadable in zip(texts, values, bad, strict=True):
        one = way.read(text)
        if one is None or not math.isfinite(one):
            assert unreadable, text
            assert math.isnan(value)
        else:
            assert (value, unreadable) == (one, False), text
    again = written_from_json(way.to_json())
    assert isinstance(again, NumberText)
    assert again == way
    assert again.pattern == way.pattern


def test_gaps_are_gaps() -> None:
    values, bad = read_written(pa.array(["1,5", None, "x"]), NumberText(","))
    assert (values[0], bad.tolist()) == (1.5, [False, False, True])
    assert np.isnan(values[1:]).all()
    assert read_written(pa.array([], pa.string()), NumberText(",", ".", True, (("%", 0.01),)))[0].shape == (0,)


def test_every_currency_in_any_case() -> None:
    way = NumberText(currency=True)
    forms = [form for money in (*MONEY, *SIGNS) for form in (money, money.lower(), money.upper())]
    texts = [text for form in forms for text in (f"{form}5", f"{form} 5", f"5{form}", f"5 {form}")]
    assert [way.read(text) for text in texts] == [5.0] * len(texts)
    assert read_written(pa.array(texts), way)[0].tolist() == [5.0] * len(texts)


def learned(texts: list[str]) -> Any:
    counts: dict[str, int] = {}
    for shape in shapes_of(pa.array(texts, pa.large_string())).to_pylist():
        counts[shape] = counts.get(shape, 0) + 1
    return learn(counts)


NUMBERS = st.lists(st.integers(-(10**8), 10**8), min_size=8, max_size=30)


@settings(max_examples=200)
@given(marks=st.sampled_from(MARKS), behind=st.sampled_from(["", " €", "%", " kg"]), numbers=NUMBERS)
def test_the_way_that_wrote_a_column_is_found(marks: tuple[str, str], behind: str, numbers: list[int]) -> None:
    decimal, thousands = marks
    assume(any(abs(number) >= 100_000 for number in numbers))  # else there is nothing to group
    amounts = [number / 100 for number in numbers]
    texts = [
        f"{amount:,.2f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands) + behind
        for amount in amounts
    ]
    found = learned(texts)
    assert found.numbers == len(texts)
    factor = 0.01 if behind == "%" else 1.0
    read = [float(text) for text in texts] if found.written is None else [found.written.read(text) for text in texts]
    assert read == pytest.approx([amount * factor for amount in amounts], rel=1e-12)
    assert not found.rivals
    assert (found.written is None) == ((decimal, thousands, behind) == (".", "", ""))


@given(st.lists(st.integers(0, 999_999), min_size=5, max_size=20))
def test_groups_that_could_be_decimals_are_asked_about(numbers: list[int]) -> None:
    assume(any(number >= 1_000 for number in numbers))
    found = learned([f"{number:,}" for number in numbers])
    assert found.written == NumberText(thousands=",")
    assert NumberText(",") in found.rivals or any(text.startswith("0,") for text in map("{:,}".format, numbers))


@given(st.lists(st.text("0123456789.,:-+ PTDHMSpmdayse€%/'eE()", max_size=12), min_size=1, max_size=40))
@example(["P1.1.1D", "P", "PT", "1:2:3:4", "--1", "1e", "e", ".", ",", "'", "()", "(1", "1)", "1 day 2"])
@example(["PT1H", "P1.2.3Y"])
def test_no_column_of_texts_is_too_odd_to_be_looked_at(texts: list[str]) -> None:
    found = scan.look(pa.array(texts, pa.large_string()), scan.Look(frozenset()))
    reading = read_text_column("x", found, CleanSpec(), moments=False, time=False)
    assert reading.column.kind in ("number", "category", "date", "dropped")
    if reading.column.kind == "number":
        way = reading.column.written
        read = [way.read(text) if way else cells.number_reader(())(text) for text in texts]
        assert any(isinstance(value, float) for value in read)


@given(
    st.lists(
        st.sampled_from(["12", "-7", "0.5", "1e5", "1E+05", "00", "07", "1,5", "1:30", "x1", "é9"]),
        min_size=1,
        max_size=9,
    )
)
def test_shapes_keep_what_matters(texts: list[str]) -> None:
    for text, shape in zip(texts, shapes_of(pa.array(texts, pa.large_string())).to_pylist(), strict=True):
        assert len(shape) == len(text)
        assert all(left == right or (left.isdigit() and right in "90") for left, right in zip(text, shape, strict=True))
        assert (shape[:1] == "0") == (text[:1] == "0" and text[1:2] in tuple("0123456789.,' ") and len(text) > 1)


def test_spans_beat_units() -> None:
    assert isinstance(learned(["3 h", "4 h 30 min", "12 min"]).written, SpanText)
    assert learned(["3 kg", "4 kg"]).written == NumberText(suffixes=(("kg", 1.0),))
