"""One raw cell, whatever its type, to a clean number, category text or date; the rules that every path shares.

A *missing* cell reads as None, an *unreadable* one as :data:`BAD`. Text is stripped first. One category has one
text: 1, 1.0 and "1" are ``1``; True and "TRUE" are ``true``; composed and decomposed letters are one (Unicode's NFC).
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import numpy as np

from pipelines.inference.recipe import dates
from pipelines.inference.recipe.number_parsing import FALSE, NUMBER, TRUE

WHITESPACE: Final = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)
"""What is stripped; spelled out, because libraries differ."""
MAX_TEXT: Final = 4096
"""A longer category text is unreadable: it is a document or a broken quote, not a category."""
_NUMBER = re.compile(NUMBER)
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x7f]")
ODD_TEXT: Final = r"^(?:-?[0-9]+\.0+|-0|(?i:true|false))$|[\x00-\x08\x0e-\x1b\x7f]"
"""A stripped text that may not be its own category text; a pattern that Arrow and Python read alike."""
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))(?:\.0+)?")


class _Bad:
    def __repr__(self) -> str:
        return "BAD"


BAD: Final = _Bad()
Reader = Callable[[Any], Any]


def lowered(text: str) -> bytes:
    """Return the UTF-8 of a text with ASCII letters in lower case; tokens are compared in this form."""
    return text.encode().lower()


def canonical_text(text: str) -> str:
    """Strip a text and fold whole numbers and booleans to their one spelling; idempotent.

    >>> [canonical_text(text) for text in (" 1.00", "-0", "TRUE", "007", "1.50")]
    ['1', '0', 'true', '007', '1.50']
    """
    text = text.strip(WHITESPACE)
    whole = _WHOLE.fullmatch(text)
    if whole:
        return "0" if whole[1] == "-0" else whole[1]
    return text.lower() if len(text) in (4, 5) and text.lower() in ("true", "false") else text


def normal_text(text: str) -> str:
    """Return a text in Unicode's normal form C."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def decimal_text(value: Decimal) -> Any:
    """Return a decimal number digit for digit, without zeros at the end of its fraction; BAD for none."""
    if not value.is_finite():
        return None if value.is_nan() else BAD
    if abs(value.adjusted()) > MAX_TEXT:
        return BAD
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def cell_text(value: Any) -> Any:
    """Return the canonical text of any cell, None for null, BAD for what has no text.

    Spans and times of day are seconds.
    """
    if isinstance(value, str):
        return canonical_text(value)
    if value is None:
        return None
    if isinstance(value, np.datetime64 | np.timedelta64):
        value = value.astype(f"{value.dtype.kind}8[us]").item()  # of nanoseconds numpy makes a plain number
    elif isinstance(value, np.generic):
        value = value.item()
    if value is None:  # NaT
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return BAD
        return str(int(value)) if value.is_integer() and abs(value) < 2**63 else repr(value)
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 1024 else BAD
    if isinstance(value, datetime):
        return dates.utc(value).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta | time):
        return cell_text(span_seconds(value))
    if isinstance(value, UUID):
        return str(value)
    return BAD


def nested_text(value: Any) -> Any:
    """Return the JSON text, without blanks, of a list, an object or a text that is one; of other cells their text."""
    if isinstance(value, str) and value.strip(WHITESPACE)[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return canonical_text(value)
    if not isinstance(value, list | dict | tuple | np.ndarray):
        return cell_text(value)
    try:
        plain = value.tolist() if isinstance(value, np.ndarray) else value
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain_cell)
    except (TypeError, ValueError, RecursionError):
        return BAD


def _plain_cell(value: Any) -> Any:
    text = cell_text(value)
    if text is BAD:
        raise TypeError(type(value).__name__)
    return text


def span_seconds(value: timedelta | time) -> float:
    """Return a span of time, or a time of day since midnight, in seconds."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    return float(value.hour * 3600 + value.minute * 60 + value.second) + value.microsecond / 1e6


def truth_text(text: str, pair: tuple[str, str]) -> str:
    """Return the word of a truth value's pair (true, false) that a canonical text means; another text as it is."""
    word = text.lower()
    return pair[0] if word in TRUE else pair[1] if word in FALSE else text


def category_reader(
    missing: Iterable[bytes],
    repair: Callable[[str], str] | None = None,
    *,
    refuse_controls: bool = False,
    normal_form: bool = False,
    truth: tuple[str, str] | None = None,
    nested: bool = False,
) -> Reader:
    """Return the function that reads a category.

    Parameters
    ----------
    missing
        Lowered tokens, looked for before the repair and after it.
    repair
        What is done to the canonical text; see :mod:`pipelines.inference.recipe.category_repair`.
    refuse_controls
        A text that holds control characters is unreadable.
    normal_form
        Texts are compared in Unicode's normal form C.
    truth
        The column's words for true and false: every spelling of a truth value reads as one of them.
    nested
        Lists and objects are values, compared as JSON; else they are unreadable.
    """
    tokens = frozenset(missing)

    text_of = nested_text if nested else cell_text

    def read(value: Any) -> Any:
        text = text_of(value)
        if text is None or text is BAD:
            return text
        try:
            if lowered(text) in tokens:
                return None
        except UnicodeEncodeError:
            return BAD
        if len(text) > MAX_TEXT or (refuse_controls and _CONTROLS.search(text) is not None):
            return BAD
        if normal_form:
            text = normal_text(text)
        if truth is not None:
            return truth_text(text, truth)
        if repair is None:
            return text
        text = repair(text)
        return None if lowered(text) in tokens else text

    return read


def number_reader(
    missing: Iterable[bytes],
    parse: Callable[[str], float | None] | None = None,
    change: Callable[[float], float] | None = None,
) -> Reader:
    """Return the function that reads a finite float; True is 1, but the word is no number; a span is its seconds.

    Parameters
    ----------
    missing
        Lowered tokens; those that are numbers are compared as numbers, before the change.
    parse
        Reads stripped text where numbers are written in a way of their own; None where it is no number.
    change
        What is done to a number that was read; see :class:`pipelines.inference.recipe.number_parsing.Change`.
    """
    tokens = frozenset(missing)
    numbers = number_tokens(tokens)

    def read(value: Any) -> Any:
        number: float | None
        try:
            if type(value) in (float, int):
                number = float(value)
            elif isinstance(value, str):
                text = value.strip(WHITESPACE)
                if lowered(text) in tokens:
                    return None
                if parse is not None:
                    number = parse(text)
                    if number is None:
                        return BAD
                elif _NUMBER.fullmatch(text) is None:
                    return BAD
                else:
                    number = float(text)
            elif value is None:
                return None
            elif isinstance(value, timedelta | time | np.timedelta64):  # the last one is a number for numpy, too
                if value != value:  # NaT
                    return None
                number = value / np.timedelta64(1, "s") if isinstance(value, np.timedelta64) else span_seconds(value)
            elif isinstance(value, bool | int | float | Decimal | np.number | np.bool_):
                number = float(value)
            else:
                return BAD
        except (OverflowError, UnicodeEncodeError, ValueError):
            return BAD
        if number in numbers:
            return None
        if change is not None and math.isfinite(number):
            number = change(number)
        return number if math.isfinite(number) else BAD

    return read


def number_tokens(tokens: Iterable[bytes]) -> frozenset[float]:
    """Return the numbers among the missing tokens, so that 999, 999.0 and "9.99e2" are missing together."""
    texts = (token.decode() for token in tokens)
    return frozenset(float(text) for text in texts if _NUMBER.fullmatch(text))


def date_reader(formats: Iterable[str], missing: Iterable[bytes]) -> Reader:
    """Return the function that reads a naive UTC datetime by the formats, then ISO 8601."""
    tokens = frozenset(missing)
    parse = dates.reader(formats)

    def read(value: Any) -> Any:
        if isinstance(value, datetime):
            return dates.utc(value) if value == value else None  # NaT is a datetime that differs from itself
        if isinstance(value, date):
            return datetime.combine(value, time())
        if isinstance(value, bool):
            return BAD
        text = cell_text(value)
        if text is None or text is BAD:
            return text
        try:
            if lowered(text) in tokens:
                return None
        except UnicodeEncodeError:
            return BAD
        moment = parse(text)
        return BAD if moment is None else moment

    return read
