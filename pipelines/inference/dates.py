"""Dates from text by declared formats, each compiled once to a regular expression; naive times are UTC."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from pipelines.errors import SpecError

ISO = "iso"
"""Name of the format that is always tried last: YYYY-MM-DD, optionally a time and a zone."""
GUESSES = (
    ISO, "%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S",
    "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M %p", "%m/%d/%Y %I:%M:%S %p", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S",
    "%d-%m-%Y", "%m-%d-%Y", "%m/%d/%y", "%d/%m/%y", "%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y",
)  # fmt: skip
_NAMES = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_MONTHS = {name[:length]: number for number, name in enumerate(_NAMES, start=1) for length in (3, len(name))}
_PARTS = {
    "Y": "(?P<Y>[0-9]{4})", "y": "(?P<y>[0-9]{2})", "m": "(?P<m>[0-9]{1,2})", "d": "(?P<d>[0-9]{1,2})",
    "b": "(?P<b>[A-Za-z]{3})", "B": "(?P<b>[A-Za-z]{3,9})", "H": "(?P<H>[0-9]{1,2})", "I": "(?P<I>[0-9]{1,2})",
    "M": "(?P<M>[0-9]{1,2})", "S": "(?P<S>[0-9]{1,2})", "f": "(?P<f>[0-9]{1,9})", "p": "(?P<p>[AaPp][Mm])",
    "z": "(?P<z>Z|[+-][0-9]{2}:?[0-9]{2})", "j": "(?P<j>[0-9]{1,3})", "s": "(?P<s>-?[0-9]{1,11})", "%": "%",
}  # fmt: skip
_ISO = re.compile(
    "(?P<Y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})"
    r"(?:[T ](?P<H>[0-9]{2}):(?P<M>[0-9]{2})(?::(?P<S>[0-9]{2})(?:\.(?P<f>[0-9]{1,9}))?)?)?"
    " ?(?P<z>Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_ISO_LIKE = re.compile("%Y-%m-%d(?:[T ]%H:%M(?::%S(?:[.]%f)?)?)?")
_PLAIN = set("YmdHMSfz")
_LEAST = (("Y", 0), ("m", 1), ("d", 1), ("H", 0), ("M", 0), ("S", 0))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=256)
def compile_format(text: str) -> re.Pattern[str]:
    """Give the regular expression of a ``strptime`` format.

    Raises
    ------
    SpecError
        The format holds an unknown directive, one twice, or no year and month.
    """
    if text == ISO:
        return _ISO
    pattern = ""
    for literal, directive in re.findall(r"([^%]+)|%-?(.?)", text):
        if literal:
            pattern += re.escape(literal)
        elif directive in _PARTS:
            pattern += _PARTS[directive]
        else:
            raise _wrong(text, f"directive %{directive} is not known")
    try:
        compiled = re.compile(pattern)
    except re.error:
        raise _wrong(text, "a directive stands twice") from None
    groups = set(compiled.groupindex)
    if "s" not in groups and not ({"Y", "y"} & groups and {"j", "m", "b"} & groups):
        raise _wrong(text, "neither year and month, nor year and day of year, nor %s")
    return compiled


def iso_like(text: str) -> bool:
    """Tell whether every ISO text that the format reads is the same moment read by ISO.

    >>> iso_like("%Y-%m-%d %H:%M"), iso_like("%Y-%d-%m")
    (True, False)
    """
    return text == ISO or _ISO_LIKE.fullmatch(text) is not None


def _wrong(text: str, why: str) -> SpecError:
    return SpecError(
        "cannot use a date format",
        where="clean.dates",
        seen=f"{text!r}: {why}",
        expected=f"'{ISO}', or a strptime format of the directives %{' %'.join(_PARTS)}",
        cure="correct the format at the top of the DAG file",
    )


def reader(formats: Iterable[str]) -> Callable[[str], datetime | None]:
    """Give a function from stripped text to a naive UTC ``datetime``, or None where no format reads it."""
    patterns = tuple(compile_format(text) for text in (*formats, ISO))

    def read(text: str) -> datetime | None:
        for pattern in patterns:
            match = pattern.fullmatch(text)
            if match is not None and (moment := _moment(match.groupdict())) is not None:
                return moment
        return None

    return read


def guess(texts: Iterable[str] | Mapping[str, int], share: float = 1.0) -> list[str]:
    """Give the formats that read most texts, if they read at least one and ``share`` of all; else ``[]``.

    Several mean ambiguity. Pass every distinct value, with its count if ``share`` is to be one of rows: day and month
    can only be told apart by a value above 12.
    """
    counts = Counter({text.strip(): 0 for text in texts})
    for text, count in texts.items() if isinstance(texts, Mapping) else Counter(texts).items():
        counts[text.strip()] += count
    total = counts.total()
    alive = {name: compile_format(name) for name in GUESSES}
    missed = dict.fromkeys(alive, 0)
    for text, count in counts.items():
        for name, pattern in list(alive.items()):
            match = pattern.fullmatch(text)
            if match is None or _moment(match.groupdict()) is None:
                missed[name] += count
                if missed[name] > (1 - share) * total or missed[name] == total:
                    del alive[name]
        if not alive:
            return []
    least = min(missed[name] for name in alive)
    return [name for name in alive if total and missed[name] == least]


def utc(moment: datetime) -> datetime:
    """Give a moment as naive UTC."""
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _moment(part: dict[str, str | None]) -> datetime | None:
    try:
        if part.keys() <= _PLAIN and not part.get("z"):
            year, month, day, hour, minute, second = (int(part.get(name) or least) for name, least in _LEAST)
            micro = int((part.get("f") or "0").ljust(6, "0")[:6])
            return datetime(year, month, day, hour, minute, second, micro)  # noqa: DTZ001 - naive UTC is what is meant
        if part.get("s"):
            return utc(_EPOCH + timedelta(seconds=int(part["s"] or 0)))
        month, day = int(part.get("m") or 1), int(part.get("d") or 1)
        if part.get("b"):
            month = _MONTHS[str(part["b"]).lower()]
        hour = int(part.get("H") or 0)
        if part.get("I"):
            if not 1 <= int(part["I"] or 0) <= 12:
                return None
            hour = int(part["I"] or 0) % 12 + (12 if str(part.get("p")).lower() == "pm" else 0)
        micro = int(str(part.get("f") or "0").ljust(6, "0")[:6])
        minute, second, zone = int(part.get("M") or 0), int(part.get("S") or 0), _zone(part.get("z") or "Z")
        moment = datetime(_year(part), month, day, hour, minute, second, micro, tzinfo=zone)
        if part.get("j"):
            moment += timedelta(days=int(part["j"] or 0) - 1)
            if moment.year != _year(part):
                return None
        return utc(moment)
    except (ValueError, OverflowError, KeyError):
        return None


def _year(part: dict[str, str | None]) -> int:
    if part.get("Y"):
        return int(part["Y"] or 0)
    short = int(part.get("y") or 0)
    return short + (1900 if short >= 69 else 2000)


def _zone(text: str) -> timezone:
    if text == "Z":
        return UTC
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))
