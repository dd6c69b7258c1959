"""Whole columns of date texts by formats, with the same result as cell by cell, and which formats a column needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.inference.recipe import dates

Moments = npt.NDArray[np.int64]
NONE: Final = np.iinfo(np.int64).min
"""Stands for a text that no format reads."""
_DAY = 86_400_000_000
FIRST, LAST = (int(np.datetime64(day, "us").astype(np.int64)) for day in ("0001-01-01", "9999-12-31T23:59:59.999999"))
_ORDERS = tuple(
    mark.join(parts)
    for parts in (
        ("%Y", "%m", "%d"),
        ("%m", "%d", "%Y"),
        ("%d", "%m", "%Y"),
        ("%m", "%d", "%y"),
        ("%d", "%m", "%y"),
        ("%y", "%m", "%d"),
    )
    for mark in "/.-"
)
_NAMED = (
    "%d-%b-%Y",
    "%d-%b-%y",
    "%d %b %Y",
    "%d %b %y",
    "%d%b%Y",
    "%d%b%y",
    "%d/%b/%Y",
    "%d/%b/%y",
    "%d. %b %Y",
    "%b %d, %Y",
    "%b %d %Y",
    "%b-%d-%Y",
    "%Y-%b-%d",
    "%Y %b %d",
    "%a, %d %b %Y",
    "%a %d %b %Y",
    "%a, %b %d, %Y",
    "%a %b %d %H:%M:%S %Y",
)
GUESSES: Final = (dates.ISO, *(order for order in _ORDERS if order != "%Y-%m-%d"), *_NAMED, "%Y%m%dT%H%M%S", "%Y-%m")
"""What the dates of a column may be written in; each with a time of day and a zone where it ends in a day."""
DIGITS: Final = ("%Y%m%d", "%Y%m%d%H%M%S", "%Y%m%d%H%M", *dates.EPOCHS)
"""Formats that read bare numbers: only for a column that is known to hold moments."""
YEARS: Final = (1971, 2100)
"""Bare numbers are dates only within these."""
MOST = 4


def read_texts(texts: pa.Array, formats: Sequence[str]) -> Moments:
    """Read stripped texts by the formats in order, then as ISO 8601.

    Returns
    -------
    ndarray of int64, shape (n,)
        Microseconds since 1970 in UTC; ``NONE`` for null and for what no format reads.
    """
    found = np.full(len(texts), NONE, dtype=np.int64)
    rest = np.arange(len(texts))
    texts = texts.cast(pa.large_string())
    for name in dict.fromkeys((*formats, dates.ISO)):
        if not len(rest):
            break
        read = _read(texts if len(rest) == len(texts) else texts.take(pa.array(rest)), name)
        known = read != NONE
        found[rest[known]] = read[known]
        rest = rest[~known]
    return found


@lru_cache(maxsize=256)
def _anchored(name: str) -> str:
    return f"^(?:{dates.pattern_of(name)})$"


def _read(texts: pa.Array, name: str) -> Moments:
    groups = pc.extract_regex(texts, _anchored(name))
    found = np.full(len(texts), NONE, dtype=np.int64)
    fits = np.flatnonzero(groups.is_valid().to_numpy(zero_copy_only=False))
    if not len(fits):
        return found
    if len(fits) < len(texts):
        groups = groups.take(pa.array(fits))
    part = dict(zip((field.name for field in groups.type), groups.flatten(), strict=True))
    found[fits] = _epoch(part, dates.EPOCHS.get(name, 1)) if "s" in part else _calendar(part)
    return found


def _calendar(part: Mapping[str, pa.Array]) -> Moments:
    if "Y" in part:
        year = _whole(part["Y"], 0)
    else:
        year = _whole(part["y"], 0)
        year = year + np.where(year >= 69, 1900, 2000)
    bad = (year < 1) | (year > 9999)
    month, day = _whole(part.get("m"), 1, len(year)), _whole(part.get("d"), 1, len(year))
    if "b" in part:
        names = pa.array(list(dates.MONTHS), pa.large_string())
        index = pc.index_in(pc.ascii_lower(part["b"]), value_set=names).fill_null(-1).to_numpy()
        bad |= index < 0
        month = np.array([*dates.MONTHS.values(), 1])[index]
    bad |= (month < 1) | (month > 12) | (day < 1)
    year, month = np.where(bad, 1970, year), np.where(bad, 1, month)
    months = (year - 1970) * 12 + month - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    bad |= day > (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) - first
    days = first + day - 1
    if "j" in part:
        within = _whole(part["j"], 1) - 1
        length = ((year - 1969) * 12).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) - first
        bad |= (within < 0) | (within >= length)
        days = days + within
    hour = _whole(part["H"] if "H" in part else part.get("I"), 0, len(year))
    if "p" in part or "I" in part:
        marks = pc.ascii_lower(part["p"]) if "p" in part else pa.array([""] * len(year), pa.large_string())
        given = pc.not_equal(marks, "").to_numpy(zero_copy_only=False) | ("I" in part)
        bad |= given & ((hour < 1) | (hour > 12))
        afternoon = pc.equal(marks, "pm").to_numpy(zero_copy_only=False)
        hour = np.where(given, hour % 12 + 12 * afternoon, hour)
    minute, second = _whole(part.get("M"), 0, len(year)), _whole(part.get("S"), 0, len(year))
    bad |= (hour > 24) | (minute > 59) | (second > 60) | ((hour == 24) & ((minute > 0) | (second > 0)))
    moments = days * _DAY + ((hour * 60 + minute) * 60 + second) * 1_000_000 + _fraction(part.get("f"), len(year))
    if "z" in part:
        offset, wrong = _offsets(part["z"])
        moments, bad = moments - offset, bad | wrong
    bad |= (moments < FIRST) | (moments > LAST)
    return np.where(bad, NONE, moments)


def _epoch(part: Mapping[str, pa.Array], units: int) -> Moments:
    digits = dates.EPOCH_DIGITS[units]
    minus = pc.starts_with(part["s"], "-").to_numpy(zero_copy_only=False)
    whole = pc.utf8_ltrim(pc.utf8_ltrim(part["s"], "-"), "0")
    if digits < 0:
        whole = pc.utf8_slice_codeunits(pc.utf8_lpad(whole, 20, "0"), 0, 20 + digits)
    beyond = pc.greater(pc.utf8_length(pc.utf8_ltrim(whole, "0")), 18).to_numpy(zero_copy_only=False)
    number = _whole(pc.if_else(pa.array(beyond), pa.scalar("0", whole.type), whole), 0)
    scale = 10 ** max(digits, 0)
    beyond |= number > LAST // scale + 1
    number = np.where(beyond, 0, number) * scale
    if digits > 0:
        number = number + _fraction(part.get("f"), len(number), digits)
    moments = np.where(minus, -number, number)
    return np.where(beyond | (moments < FIRST) | (moments > LAST), NONE, moments)


def _whole(texts: pa.Array | None, least: int, rows: int = 0) -> Moments:
    """Return the whole numbers of one group, ``least`` where it is not there."""
    if texts is None:
        return np.full(rows, least, dtype=np.int64)
    given = pc.if_else(pc.equal(texts, ""), pa.scalar(str(least), texts.type), texts)
    return np.asarray(given.cast(pa.int64()).to_numpy(zero_copy_only=False))


def _fraction(texts: pa.Array | None, rows: int, digits: int = 6) -> Moments:
    if texts is None or not digits:
        return np.zeros(rows, dtype=np.int64)
    return _whole(pc.utf8_slice_codeunits(pc.utf8_rpad(texts, digits, "0"), 0, digits), 0)


def _offsets(zones: pa.Array) -> tuple[Moments, npt.NDArray[np.bool_]]:
    """Return the microseconds that clocks of the zones are ahead of UTC, and which zones cannot be."""
    coded = zones.dictionary_encode()
    texts = coded.dictionary.to_pylist()
    seconds, wrong = [], []
    for text in texts:
        hours, minutes = (int(text[1:3]), int(text[3:].lstrip(":") or 0)) if text[:1] in ("+", "-") else (0, 0)
        seconds.append((hours * 3600 + minutes * 60) * (-1 if text[:1] == "-" else 1))
        wrong.append(hours * 60 + minutes >= 24 * 60)
    index = coded.indices.to_numpy(zero_copy_only=False)
    return np.array(seconds, dtype=np.int64)[index] * 1_000_000, np.array(wrong, dtype=bool)[index]


@dataclass(frozen=True)
class Written:
    """How the dates of a column are written.

    Parameters
    ----------
    formats
        In the order to be tried; empty if the texts are no dates.
    rivals
        Formats that read the first ones' texts as well, but as other days; empty if there is no doubt.
    """

    formats: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()


def learn(counts: Mapping[str, int], share: float = 0.95, *, declared: bool = False) -> Written:
    """Learn from distinct stripped texts and their counts which formats read a column.

    The format that reads most cells comes first; further ones are added for the texts that it leaves, as long as each
    reads 0.1 % of all. Of formats that read equally much, the one whose years lie closest together is taken; where
    day and month may be swapped in all texts, the other way is a rival.

    Parameters
    ----------
    counts
        No missing tokens. Pass every distinct value, at least of the days: day and month can only be distinguished by a
        value above 12.
    share
        Least share of the cells that must be readable.
    declared
        The column is known to hold moments: bare digits may be dates.
    """
    texts = pa.array(list(counts), pa.large_string())
    weights = np.fromiter(counts.values(), dtype=np.int64, count=len(counts))
    if not len(texts) or not pc.any(pc.match_substring_regex(texts, "[0-9]")).as_py():
        return Written()
    readings = {name: _read(texts, name) for name in GUESSES}
    readings["%Y-%m"] = _sensible(readings["%Y-%m"])
    if declared:
        readings |= {name: _sensible(_read(texts, name)) for name in DIGITS}
    total = int(weights.sum())
    chosen: list[str] = []
    rivals: tuple[str, ...] = ()
    left = np.ones(len(texts), dtype=bool)
    while len(chosen) < MOST:
        scores = {
            name: int(weights[left & (read != NONE)].sum())
            for name, read in readings.items()
            if not any(_clash(name, other) for other in chosen)
        }
        most = max(scores.values(), default=0)
        if not most or (chosen and most < 0.001 * total):
            break
        tied = [name for name, score in scores.items() if score == most]
        best = min(tied, key=lambda name: (_spread(readings[name][left]), tied.index(name)))
        if not chosen:
            rivals = tuple(
                name
                for name in tied
                if _clash(name, best)
                and _spread(readings[name][left]) == _spread(readings[best][left])
                and not np.array_equal(readings[name], readings[best])
            )
        chosen.append(best)
        left &= readings[best] == NONE
    if weights[~left].sum() < share * total:
        return Written()
    return Written(tuple(chosen), rivals)


def _sensible(moments: Moments) -> Moments:
    """Return moments of bare numbers, those of improbable years as none."""
    low, high = (int(np.datetime64(f"{year}", "us").astype(np.int64)) for year in YEARS)
    return np.where((moments < low) | (moments > high), NONE, moments)


def _spread(moments: Moments) -> int:
    """Return over how many years moments lie."""
    given = moments[moments != NONE]
    years = given.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64)
    return int(years.max() - years.min()) if len(years) else 0


def _clash(name: str, other: str) -> bool:
    """Tell whether two formats put day and month, or a year of two digits, into another order."""
    one, two = _order(name), _order(other)
    if not one or not two:
        return False
    return one != two if "ymd" in (one, two) else one[:2] != two[:2]


def _order(name: str) -> str:
    """Return the order of day and month, and of a year of two digits; nothing where it cannot be mistaken."""
    if "%m" not in name or "%d" not in name or ("%Y" in name and name.index("%Y") < name.index("%d")):
        return ""
    parts = "mdy" if "%y" in name else "md"
    return "".join(sorted(parts, key=lambda part: name.index(f"%{part}")))
