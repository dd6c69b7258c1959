"""Dates from text by declared formats, each compiled once to a regular expression; naive times are UTC.

A format that names a day alone also reads a time of day and a zone behind it, so that one format reads a column whose
cells have seconds, fractions of any length or zones here and there. ``epoch s``, ``epoch ms``, ``epoch us`` and
``epoch ns`` count from 1970-01-01T00:00Z. What is read cell by cell here is read in whole columns, with the same
result, by :mod:`pipelines.inference.recipe.date_columns`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

from pipelines.errors import SpecError

ISO = "iso"
"""Name of the format that is always tried last: YYYY-MM-DD, optionally a time and a zone."""
EPOCHS: Final = {"epoch s": 1, "epoch ms": 1_000, "epoch us": 1_000_000, "epoch ns": 1_000_000_000}
"""Names of the formats that count from 1970, and how many of their units are a second."""
EPOCH_DIGITS: Final = {1: 6, 1_000: 3, 1_000_000: 0, 1_000_000_000: -3}
"""How many further digits make microseconds of these units; what is finer is cut off."""
INFINITE: Final = ("infinity", "-infinity", "+infinity")
"""Moments beyond all others, as PostgreSQL and DuckDB write them; they read as missing."""
_NAMES = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
MONTHS: Final = {name[:length]: number for number, name in enumerate(_NAMES, start=1) for length in (3, len(name))} | {
    "sept": 9
}
_ZONE = "(?P<z>[Zz]|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)"
_PARTS = {
    "Y": "(?P<Y>[0-9]{4})",
    "y": "(?P<y>[0-9]{2})",
    "m": "(?P<m>[0-9]{1,2})",
    "d": "(?P<d>[0-9]{1,2})",
    "b": "(?P<b>[A-Za-z]{3,9})",
    "B": "(?P<b>[A-Za-z]{3,9})",
    "H": "(?P<H>[0-9]{1,2})",
    "I": "(?P<I>[0-9]{1,2})",
    "M": "(?P<M>[0-9]{1,2})",
    "S": "(?P<S>[0-9]{1,2})",
    "f": "(?P<f>[0-9]+)",
    "p": "(?P<p>[AaPp][Mm])",
    "z": _ZONE,
    "j": "(?P<j>[0-9]{1,3})",
    "s": "(?P<s>-?[0-9]{1,11})",
    "%": "%",
    "a": "[A-Za-z]{3,9}",
    "A": "[A-Za-z]{3,9}",
}
_TWO = {name: pattern.replace("{1,2}", "{2}") for name, pattern in _PARTS.items()}
_CLOCK = "(?P<H>[0-9]{1,2}):(?P<M>[0-9]{2})(?::(?P<S>[0-9]{2})(?:[.,](?P<f>[0-9]+))?)?(?: ?(?P<p>[AaPp][Mm]))?"
_TAIL = f"(?:(?:[T:]|,? +){_CLOCK})?(?: ?{_ZONE})?"
CLOCK_TAIL: Final = f"(?:[T:]|,? +){_CLOCK}(?: ?{_ZONE})?$"
"""A time of day, and perhaps a zone, behind a day."""
_ISO = (
    "(?P<Y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})"
    r"(?:[T ](?P<H>[0-9]{2}):(?P<M>[0-9]{2})(?::(?P<S>[0-9]{2})(?:[.,](?P<f>[0-9]+))?)?)?"
    f" ?{_ZONE}?"
)
_EPOCH = r"(?P<s>-?[0-9]{1,20})(?:\.(?P<f>[0-9]*))?"
_LEAST = (("Y", 0), ("m", 1), ("d", 1), ("H", 0), ("M", 0), ("S", 0))
_PLAIN = set("YmdHMSf")
_START = datetime(1970, 1, 1, tzinfo=UTC)


def pattern_of(text: str) -> str:
    """Return the regular expression of a format, without anchors; Python and RE2 read it alike.

    Raises
    ------
    SpecError
        The format holds an unknown directive, one twice, or no year and month.
    """
    if text == ISO:
        return _ISO
    if text in EPOCHS:
        return _EPOCH
    pattern, directives = "", []
    pieces = re.findall(r"([^%]+)|%-?(.?)", text)
    digits = [index for index, (_, directive) in enumerate(pieces) if directive and directive in "YymdHIMSj"]
    for index, (literal, directive) in enumerate(pieces):
        if literal:
            pattern += re.escape(literal)
        elif directive in _PARTS:
            # without a mark between two numbers each has all of its digits
            beside = index - 1 in digits or index + 1 in digits
            pattern += (_TWO if beside else _PARTS)[directive]
            directives.append(directive)
        else:
            raise _wrong(text, f"directive %{directive} is not known")
    if not set(directives) & set("HIMSfpzs") and set(directives) & set("dj") and text.endswith(f"%{directives[-1]}"):
        pattern += _TAIL
    elif set(directives) & set("HI") and not set(directives) & set("zs"):
        pattern += f"(?: ?{_ZONE})?"
    try:
        groups = set(re.compile(pattern).groupindex)
    except re.error:
        raise _wrong(text, "a directive stands twice") from None
    if "s" not in groups and not ({"Y", "y"} & groups and {"j", "m", "b"} & groups):
        raise _wrong(text, "neither year and month, nor year and day of year, nor %s")
    return pattern


@lru_cache(maxsize=256)
def compile_format(text: str) -> re.Pattern[str]:
    """Return the compiled regular expression of a format; see :func:`pattern_of`."""
    return re.compile(pattern_of(text))


def _wrong(text: str, why: str) -> SpecError:
    return SpecError(
        "cannot use a date format",
        where="clean.dates",
        seen=f"{text!r}: {why}",
        expected=f"'{ISO}', {', '.join(map(repr, EPOCHS))}, or a strptime format of the directives "
        f"%{' %'.join(_PARTS)}",
        cure="correct the format at the top of the DAG file",
    )


def reader(formats: Iterable[str]) -> Callable[[str], datetime | None]:
    """Return a function from stripped text to a naive UTC ``datetime``, or None where no format reads it."""
    known = tuple((compile_format(text), EPOCHS.get(text, 1)) for text in dict.fromkeys((*formats, ISO)))

    def read(text: str) -> datetime | None:
        for pattern, units in known:
            match = pattern.fullmatch(text)
            if match is not None and (moment := _moment(match.groupdict(), units)) is not None:
                return moment
        return None

    return read


def utc(moment: datetime) -> datetime:
    """Return a moment as naive UTC."""
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _moment(part: dict[str, str | None], units: int) -> datetime | None:
    try:
        hour = int(part.get("H") or part.get("I") or 0)
        if hour < 24 and not part.get("z") and not part.get("p") and part.keys() - {"z", "p"} <= _PLAIN:
            year, month, day, hour, minute, second = (int(part.get(name) or least) for name, least in _LEAST)
            if second < 60:
                micro = int((part.get("f") or "0").ljust(6, "0")[:6])
                return datetime(year, month, day, hour, minute, second, micro)  # noqa: DTZ001 - naive UTC is what is meant
        if count := part.get("s"):
            whole, digits = count.lstrip("-"), EPOCH_DIGITS[units]
            whole += (part.get("f") or "").ljust(max(digits, 0), "0")[: max(digits, 0)]
            micros = int(whole[: max(len(whole) + min(digits, 0), 0)] or 0)
            return utc(_START + timedelta(microseconds=-micros if count[0] == "-" else micros))
        month, day = int(part.get("m") or 1), int(part.get("d") or 1)
        if part.get("b"):
            month = MONTHS[str(part["b"]).lower()]
        if part.get("I") or part.get("p"):
            if not 1 <= hour <= 12:
                return None
            hour = hour % 12 + (12 if str(part.get("p")).lower() == "pm" else 0)
        minute, second, zone = int(part.get("M") or 0), int(part.get("S") or 0), _zone(part.get("z") or "Z")
        if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute or second)):
            return None
        micro = int(str(part.get("f") or "0").ljust(6, "0")[:6])
        moment = datetime(_year(part), month, day, tzinfo=zone)
        if part.get("j"):
            moment += timedelta(days=int(part["j"] or 0) - 1)
            if moment.year != _year(part):
                return None
        return utc(moment + timedelta(hours=hour, minutes=minute, seconds=second, microseconds=micro))
    except (ValueError, OverflowError, KeyError):
        return None


def _year(part: dict[str, str | None]) -> int:
    if part.get("Y"):
        return int(part["Y"] or 0)
    short = int(part.get("y") or 0)
    return short + (1900 if short >= 69 else 2000)


def _zone(text: str) -> timezone:
    if text[0] not in "+-":
        return UTC
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[3:].lstrip(":") or 0)))
