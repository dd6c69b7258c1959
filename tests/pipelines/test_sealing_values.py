"""The text of a key's value: one for all spellings of a number, another for each other one; codes stay codes."""

from __future__ import annotations

import unicodedata
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.holdout import canonical_value

WHOLE = st.integers(-(10**38) + 1, 10**38 - 1)


def spellings(number: int) -> list[object]:
    """Return the ways in which files, databases and programs hold a whole number."""
    found: list[object] = [
        number,
        str(number),
        f" {number} ",
        f"{number}.0",
        f"{number}.",
        f"{number}.000",
        Decimal(number),
        Decimal(f"{number}.00"),
        f"{number}\n",
        f"\t{number}",
    ]
    if number >= 0:
        found.append(f"+{number}")
    if abs(number) <= 2**53:
        found += [float(number), np.float64(number)]
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
        ends = np.iinfo(name)
        if ends.min <= number <= ends.max:
            found.append(np.dtype(name).type(number))
    return found


@given(
    WHOLE
    | st.integers(-300, 300)
    | st.sampled_from([2**bits + one for bits in (7, 8, 31, 32, 53, 63, 64, 126) for one in (-1, 0, 1)])
)
def test_a_whole_number_has_one_text_its_digits(number: int) -> None:
    assert {canonical_value(value) for value in spellings(number)} == {str(number)}


@given(WHOLE, st.integers(1, 9))
def test_neighbours_of_any_length_stay_different(number: int, step: int) -> None:
    left, right = number, number + step
    for spell in (int, str, Decimal, lambda whole: f"{whole}.0"):
        assert canonical_value(spell(left)) != canonical_value(spell(right))


@given(st.integers(-(10**20), 10**20), st.integers(0, 18))
def test_decimals_of_any_scale_are_one(number: int, scale: int) -> None:
    value = Decimal(f"{number}E-{scale}")
    wider = Decimal(f"{number}000E-{scale + 3}")
    texts = {canonical_value(one) for one in (value, wider, format(value, "f"), format(wider, "f"), f" {value:f} ")}
    assert len(texts) == 1
    assert Decimal(texts.pop()) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1e22)
@example(-1e-7)
@example(2.0**64)
def test_a_float_is_the_number_that_its_text_is(number: float) -> None:
    text = canonical_value(number)
    assert float(text) == number
    if 1e-30 < abs(number) < 1e30:
        assert "e" not in text
        assert canonical_value(text) == text
        assert canonical_value(Decimal(repr(number))) == text


@given(
    st.from_regex(
        r"[0-9]{1,6}[eE][0-9]{1,4}|0[0-9]{1,20}|[0-9]{1,5}(?:_[0-9]{1,5}){1,3}|[0-9]+[a-df-z][0-9]*", fullmatch=True
    )
)
@example("12e3")
@example("1e5")
@example("007")
@example("2024_01")
@example("1_000")
def test_codes_are_texts_as_they_stand(code: str) -> None:
    assert canonical_value(code) == canonical_value(f" {code} ") == code


def test_codes_that_look_like_one_number_are_different_keys() -> None:
    codes = ["123", "12_3", "1_23", "0123", "00123", "123e0", "12e1", "1e2"]
    assert len({canonical_value(code) for code in codes}) == len(codes)


@given(st.text(st.characters(codec="utf-8"), max_size=8))
def test_unicode_forms_are_one(text: str) -> None:
    forms = {canonical_value(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")}
    assert len(forms) == 1
    assert canonical_value(forms.pop()) == canonical_value(unicodedata.normalize("NFC", text))


@given(
    st.text(max_size=8)
    | WHOLE
    | st.floats()
    | st.booleans()
    | st.none()
    | st.decimals(allow_nan=False, allow_infinity=False, places=3)
)
def test_the_text_of_a_text_is_itself(value: object) -> None:
    text = canonical_value(value)
    assert canonical_value(text) == text or text == "\0"


@pytest.mark.parametrize("value", [None, float("nan"), np.float64("nan")])
def test_nothing_is_one_value(value: object) -> None:
    assert canonical_value(value) == canonical_value(None)


def test_bytes_and_moments_have_texts_of_their_own() -> None:
    values = [b"a", b"b", pd.Timestamp("2026-01-02"), pd.Timestamp("2026-01-02T00:00:01"), "a"]
    assert len({canonical_value(value) for value in values}) == len(values)
