"""Numbers as people write them, and what is done to a number that was read: units, slips of the decimal point, clip."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

NUMBER: Final = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
"""A plain number."""
_PLAIN = re.compile(NUMBER)
SIGNS: Final = "$€£¥₹₽₩₺฿¢₪₫₱₦₴₸"
"""Currency signs that are left out of a number."""
MONEY: Final = (
    "US$", "CA$", "AU$", "HK$", "NZ$", "A$", "C$", "R$", "S$", "USD", "EUR", "GBP", "JPY", "CNY", "RMB", "CHF", "SEK",
    "NOK", "DKK", "PLN", "CZK", "HUF", "RON", "BGN", "TRY", "RUB", "UAH", "INR", "IDR", "THB", "KRW", "SGD", "HKD",
    "AUD", "NZD",
    "CAD", "MXN", "BRL", "ZAR", "ILS", "AED", "SAR", "Rs.", "Rs", "Fr.", "SFr.", "kr.", "kr", "zł", "Kč", "Ft", "lei",
)  # fmt: skip
"""Codes and words of currencies, left out likewise."""
PERCENT: Final = ("%", 0.01)
_SPACES = "[ \u00a0\u2009\u202f]"
_THOUSANDS = {" ": _SPACES, "'": "['\u2019]"}


def _caseless(text: str) -> str:
    """Return the pattern of a text in any case: Python and RE2 fold letters beyond ASCII in ways of their own."""

    def one(sign: str) -> str:
        forms = (form for form in (sign, sign.lower(), sign.upper()) if form.lower() == sign.lower() and len(form) == 1)
        either = "".join(dict.fromkeys(forms))
        return f"[{either}]" if len(either) > 1 else re.escape(sign)

    return "".join(map(one, text))


MONEY_PATTERN: Final = f"(?:{'|'.join(map(_caseless, sorted(MONEY, key=len, reverse=True)))}|[{SIGNS}])"


@dataclass(frozen=True)
class NumberText:
    """How numbers are written in one column; a number in parentheses or with a minus behind it is negative.

    Parameters
    ----------
    decimal, thousands
        The marks; thousands stand in groups of three (in India of two, but for the last) or not at all. A blank means
        any kind of blank.
    currency
        A currency sign, code or word may stand in front or behind.
    suffixes
        Trailing units, compared without case, and the factor of each: ``(("kg", 1.0), ("g", 0.001), ("%", 0.01))``.
    """

    decimal: str = "."
    thousands: str = ""
    currency: bool = False
    suffixes: tuple[tuple[str, float], ...] = ()
    pattern: str = field(init=False, repr=False, compare=False)
    """Regular expression of a whole text, without anchors; Python and RE2 read it alike."""
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _factors: dict[str, float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        mark = re.escape(self.decimal)
        groups = ""
        if self.thousands:
            between = _THOUSANDS.get(self.thousands, re.escape(self.thousands))
            groups = f"[0-9]{{1,3}}(?:{between}[0-9]{{3}})+|[0-9]{{1,2}}(?:{between}[0-9]{{2}})+{between}[0-9]{{3}}|"
        ends = map(_caseless, sorted((name for name, _ in self.suffixes), key=len, reverse=True))
        money = f"(?:{MONEY_PATTERN}{_SPACES}*)?" if self.currency else ""
        units = f"(?:{_SPACES}*(?P<unit>{'|'.join(ends)}))?" if self.suffixes else ""
        behind = f"(?:{_SPACES}*{MONEY_PATTERN})?" if self.currency else ""
        pattern = (
            f"(?P<sign>[+\u2212-]?){_SPACES}*{money}(?P<open>\\(?){_SPACES}*{money}(?P<inner>[+\u2212-]?)"
            f"(?:(?P<whole>{groups}[0-9]+)(?:{mark}(?P<part>[0-9]*))?|{mark}(?P<only>[0-9]+))"
            f"(?P<power>[eE][+-]?[0-9]+)?{units}{behind}{_SPACES}*(?P<close>\\)?)(?P<trail>[\u2212-]?){behind}"
        )
        object.__setattr__(self, "pattern", pattern)
        object.__setattr__(self, "_compiled", re.compile(pattern))
        object.__setattr__(self, "_factors", {name.lower(): factor for name, factor in self.suffixes})

    @property
    def keeps_plain(self) -> bool:
        """Whether a plain number such as ``-1234.5`` reads as it stands."""
        return self.decimal == "."

    def read(self, text: str) -> float | None:
        """Return the number of a stripped text, or None.

        >>> price = NumberText(decimal=",", thousands=".", currency=True, suffixes=(("%", 0.01),))
        >>> [price.read(text) for text in ("1.234,5", "€ -2", "50 %", "(3,5)", "1.23", "1,2x")]
        [1234.5, -2.0, 0.5, -3.5, None, None]
        """
        match = self._compiled.fullmatch(text)
        if match is None or (match["open"] == "(") != (match["close"] == ")"):
            return None
        signs = [mark for mark in (match["sign"], match["inner"], match["trail"], match["open"]) if mark]
        if len(signs) > 1:
            return None
        whole = "".join(mark for mark in match["whole"] or "0" if "0" <= mark <= "9")
        number = float(f"{whole}.{match['part'] or match['only'] or '0'}{match['power'] or ''}")
        if signs and signs[0] != "+":
            number = -number
        unit = match["unit"] if self.suffixes else None
        return number if unit is None else number * self._factors[unit.lower()]

    def to_json(self) -> dict[str, Any]:
        """Return the plain content."""
        data = {"decimal": self.decimal, "thousands": self.thousands, "currency": self.currency}
        return {**data, "suffixes": [list(pair) for pair in self.suffixes]}


@dataclass(frozen=True)
class SpanText:
    """Times of day and spans of time as seconds: ``07:45``, ``1 day 02:03:04.5``, ``PT1H30M``, ``2 h 30 min``.

    A year has 365.25 days and a month 30, as in PostgreSQL's ``extract(epoch …)``. A time of day with a zone is that of
    UTC. A plain number is a number of seconds.
    """

    keeps_plain: ClassVar[bool] = True

    def read(self, text: str) -> float | None:
        """Return the seconds of a stripped text, or None.

        >>> [SpanText().read(text) for text in ("07:45", "-1 days +02:00:00", "P1DT2H", "90 min", "9.5", "red")]
        [27900.0, -79200.0, 93600.0, 5400.0, 9.5, None]
        """
        plain = _PLAIN.fullmatch(text)
        if plain is not None:
            return float(text)
        iso = _ISO_SPAN.fullmatch(text)
        if iso is not None and text[-1] not in "PT":
            total = sum(float(iso[name].replace(",", ".")) * size for name, size in _ISO_SIZES.items() if iso[name])
            return -total if iso["sign"] == "-" else total
        return _worded(text)

    def to_json(self) -> dict[str, Any]:
        """Return the plain content."""
        return {"span": True}


@dataclass(frozen=True)
class TruthText:
    """Truth values in a column of 1 and 0: ``true``, ``yes``, ``t`` and their like are 1, the opposites 0."""

    keeps_plain: ClassVar[bool] = True

    def read(self, text: str) -> float | None:
        """Return 1.0, 0.0, a plain number, or None."""
        word = text.lower()
        if word in TRUE or word in FALSE:
            return float(word in TRUE)
        return float(text) if _PLAIN.fullmatch(text) is not None else None

    def to_json(self) -> dict[str, Any]:
        """Return the plain content."""
        return {"truth": True}


Written = NumberText | SpanText | TruthText
TRUE: Final = frozenset({"true", "t", "yes", "y", "on", "1", "1.0"})
FALSE: Final = frozenset({"false", "f", "no", "n", "off", "0", "0.0"})
"""Spellings of truth values, in lower case."""


def written_from_json(data: dict[str, Any]) -> Written:
    """Read what the ``to_json`` of a way of writing returned."""
    if data.get("span"):
        return SpanText()
    if data.get("truth"):
        return TruthText()
    pairs = tuple((str(name), float(factor)) for name, factor in data["suffixes"])
    return NumberText(data["decimal"], data["thousands"], data["currency"], pairs)


_AMOUNT = "[+-]?[0-9]+(?:[.,][0-9]+)?"
_ISO_SPAN = re.compile(
    rf"(?P<sign>[+-]?)P(?:(?P<y>{_AMOUNT})Y)?(?:(?P<mo>{_AMOUNT})M)?(?:(?P<w>{_AMOUNT})W)?(?:(?P<d>{_AMOUNT})D)?"
    rf"(?:T(?:(?P<h>{_AMOUNT})H)?(?:(?P<m>{_AMOUNT})M)?(?:(?P<s>{_AMOUNT})S)?)?"
)
_ISO_SIZES = {"y": 31_557_600, "mo": 2_592_000, "w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_SIZES = {
    31_557_600.0: ("year", "years"), 2_592_000.0: ("month", "months", "mon", "mons"), 604_800.0: ("week", "weeks"),
    86_400.0: ("day", "days", "d"), 3_600.0: ("hour", "hours", "hr", "hrs", "h"),
    60.0: ("minute", "minutes", "min", "mins"), 1.0: ("second", "seconds", "sec", "secs", "s"),
    0.001: ("ms", "msec", "milliseconds"),
}  # fmt: skip
_WORDS = {word: size for size, words in _SIZES.items() for word in words}
SPAN_UNITS: Final = frozenset(_WORDS)
"""Words for units of time."""
_PIECE = re.compile(r"(?P<number>[+-]?[0-9]+(?:\.[0-9]+)?) ?(?P<unit>[a-z]+),? *")
_CLOCK = re.compile(
    r"(?P<sign>[+-]?)(?P<h>[0-9]{1,9}):(?P<m>[0-5]?[0-9])(?::(?P<s>[0-5]?[0-9](?:[.,][0-9]*)?))?"
    r"(?: ?(?P<p>[ap])\.?m\.?)?"
    r"(?: ?(?:(?P<utc>z|utc|gmt)|(?P<zh>[+-][0-9]{2}):?(?P<zm>[0-9]{2})?))?"
)


def _worded(text: str) -> float | None:
    """Read pieces such as ``1 day`` and a clock behind them."""
    rest, total, any_piece = text.lower().removesuffix(" ago"), 0.0, False
    while (piece := _PIECE.match(rest)) is not None and piece["unit"] in _WORDS:
        total += float(piece["number"]) * _WORDS[piece["unit"]]
        rest, any_piece = rest[piece.end() :], True
    if rest:
        clock = _CLOCK.fullmatch(rest)
        seconds = None if clock is None else _clock_seconds(clock)
        if seconds is None:
            return None
        total += seconds
    elif not any_piece:
        return None
    return -total if text.lower().endswith(" ago") else total


def _clock_seconds(clock: re.Match[str]) -> float | None:
    hours = int(clock["h"])
    if clock["p"]:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + (12 if clock["p"] == "p" else 0)
    seconds = hours * 3600 + int(clock["m"]) * 60 + float((clock["s"] or "0").replace(",", "."))
    if clock["zh"]:
        minutes = int(clock["zh"]) * 60 + int(clock["zh"][0] + (clock["zm"] or "0"))
        seconds = (seconds - minutes * 60) % 86_400
    return -seconds if clock["sign"] == "-" else seconds


@dataclass(frozen=True)
class Change:
    """What happens to a number after it was read, in this order; the same for a column and for one cell.

    Parameters
    ----------
    unit
        ``(factor, offset)``: the number becomes ``number * factor + offset``.
    slip
        ``(ratio, low, high)``: a number outside low … high that lies inside once divided (else multiplied) by the
        ratio is repaired so: the decimal point had slipped.
    clip
        ``(low, high)``; None is no bound.
    """

    unit: tuple[float, float] | None = None
    slip: tuple[float, float, float] | None = None
    clip: tuple[float | None, float | None] | None = None

    def __bool__(self) -> bool:
        return bool(self.unit or self.slip or self.clip)

    def column(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Change a column, shape (n,), NaN where missing."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.unit is not None:
                values = values * self.unit[0] + self.unit[1]
            if self.slip is not None:
                ratio, low, high = self.slip
                outside = (values < low) | (values > high)
                less, more = values / ratio, values * ratio
                values = np.where(
                    outside & (less >= low) & (less <= high),
                    less,
                    np.where(outside & (more >= low) & (more <= high), more, values),
                )
            if self.clip is not None:
                low_bound, high_bound = self.clip
                if low_bound is not None:
                    values = np.where(values < low_bound, low_bound, values)
                if high_bound is not None:
                    values = np.where(values > high_bound, high_bound, values)
        return values

    def cell(self) -> Callable[[float], float]:
        """Return the function that changes one finite number as :meth:`column` does."""
        unit, slip = self.unit, self.slip
        low_bound, high_bound = self.clip or (None, None)

        def change(value: float) -> float:
            if unit is not None:
                value = value * unit[0] + unit[1]
            if slip is not None:
                ratio, low, high = slip
                if value < low or value > high:
                    if low <= value / ratio <= high:
                        value /= ratio
                    elif low <= value * ratio <= high:
                        value *= ratio
            if low_bound is not None and value < low_bound:
                return low_bound
            return high_bound if high_bound is not None and value > high_bound else value

        return change
