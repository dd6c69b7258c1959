"""Whole columns of numbers as people write them, with the same result as cell by cell, and how a column is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.inference.recipe.number_parsing import MONEY_PATTERN, NUMBER, PERCENT, SPAN_UNITS, NumberText, SpanText

Mask = npt.NDArray[np.bool_]
MARKS: Final = ((".", ""), (".", ","), (",", ""), (",", "."), (",", " "), (".", " "), (".", "'"), (",", "'"))
"""Decimal mark and mark between thousands, in the order of preference."""
MOST_SHAPES: Final = 5_000
_UNIT = r"^[+-]?[0-9][0-9.,' ]*?\s*([A-Za-zµμ°]{1,8}(?:/[A-Za-zµμ°]{1,8})?[23²³]?)$"
_LEADING_ZERO = "^[+-]?0[0-9]+$"


def read_written(texts: pa.Array, written: NumberText) -> tuple[npt.NDArray[np.float64], Mask]:
    """Read stripped texts that are written in one way.

    Returns
    -------
    values : (n,) float64, NaN where the text is null or no number
    bad : (n,) bool, True where it is no number
    """
    values = np.full(len(texts), np.nan)
    bad = texts.is_valid().to_numpy(zero_copy_only=False).copy()
    groups = pc.extract_regex(texts.cast(pa.large_string()), _anchored(written.pattern))
    fits = np.flatnonzero(groups.is_valid().to_numpy(zero_copy_only=False))
    if not len(fits):
        return values, bad
    groups = groups.take(pa.array(fits))
    part = dict(zip((field.name for field in groups.type), groups.flatten(), strict=True))
    given = {name: pc.not_equal(part[name], "").to_numpy(zero_copy_only=False) for name in part}
    zero, dot, between = (pa.scalar(text, pa.large_string()) for text in ("0", ".", ""))
    whole = pc.replace_substring_regex(part["whole"], "[^0-9]", "")
    plain = pc.binary_join_element_wise(zero, whole, dot, part["part"], part["only"], zero, part["power"], between)
    found = plain.cast(pa.float64()).to_numpy(zero_copy_only=False)
    minus = given["trail"] | given["open"]
    for name in ("sign", "inner"):
        minus |= given[name] & pc.not_equal(part[name], "+").to_numpy(zero_copy_only=False)
    found = np.where(minus, -found, found)
    if "unit" in part:
        factors = {name.lower(): factor for name, factor in written.suffixes}
        coded = part["unit"].dictionary_encode()
        scale = np.array([factors.get(unit.lower(), 1.0) for unit in coded.dictionary.to_pylist()])
        found = np.where(given["unit"], found * scale[coded.indices.to_numpy(zero_copy_only=False)], found)
    signs = sum(given[name].astype(np.int8) for name in ("sign", "inner", "trail", "open"))
    odd = (given["open"] != given["close"]) | (signs > 1) | ~np.isfinite(found)
    values[fits] = np.where(odd, np.nan, found)
    bad[fits] = odd
    return values, bad


@lru_cache(maxsize=256)
def _anchored(pattern: str) -> str:
    return f"^(?:{pattern})$"


def shapes_of(texts: pa.Array) -> pa.Array:
    """Return the shape of each text: every digit a 9, but for a first 0 that another digit or a mark follows.

    A column of numbers, however long, has few shapes, so that all of its rows decide how it is written.
    """
    marked = pc.replace_substring_regex(texts, r"^([^0-9]*)0([0-9.,' ])", r"\1_\2")
    return pc.replace_substring(pc.replace_substring_regex(marked, "[0-9]", "9"), "_", "0", max_replacements=1)


@dataclass(frozen=True)
class Writing:
    """How the numbers of a text column are written.

    Parameters
    ----------
    written
        None: as ``1234.5``.
    numbers
        Cells that read as numbers so.
    rivals
        Other ways that read as many cells, but as other numbers.
    codes
        Cells of digits with leading zeros.
    """

    written: NumberText | SpanText | None
    numbers: int
    rivals: tuple[NumberText, ...] = ()
    codes: int = 0


def learn(shapes: Mapping[str, int]) -> Writing:
    """Learn how numbers are written from the shapes of a column's texts and their counts; no missing tokens among them.

    Of the ways that read most cells the plainest is taken. Groups of exactly three digits behind every comma are
    thousands, and behind every dot decimals; beside a currency sign those are thousands too.
    """
    counts = dict(sorted(shapes.items(), key=lambda item: (-item[1], item[0]))[:MOST_SHAPES])
    texts = [text.replace("9", "1") for text in counts]
    weights = np.fromiter(counts.values(), dtype=np.int64, count=len(counts))
    array = pa.array(texts, pa.large_string())
    codes = int(weights[_matches(array, _LEADING_ZERO)].sum())
    plain = _matches(array, f"^(?:{NUMBER})$")
    if plain.all():
        return Writing(None, int(weights.sum()), codes=codes)
    best = _marks(array, weights, plain, ())
    if best.numbers < weights.sum() and (unit := _unit(array, weights, plain)) is not None:
        best = max(_marks(array, weights, plain, ((unit, 1.0),)), best, key=lambda found: found.numbers)
    span = SpanText()
    spans = np.array([span.read(text) is not None for text in texts], dtype=bool)
    named = isinstance(best.written, NumberText) and set(dict(best.written.suffixes)) & SPAN_UNITS
    if weights[spans].sum() > best.numbers or (named and weights[spans].sum() == best.numbers):
        return Writing(span, int(weights[spans].sum()), codes=codes)
    return replace(best, codes=codes)


def _marks(
    texts: pa.Array, weights: npt.NDArray[np.int64], plain: Mask, units: tuple[tuple[str, float], ...]
) -> Writing:
    """Choose the marks of the decimals and of the thousands."""
    money = bool(_matches(texts, MONEY_PATTERN).any())
    percent = bool(_matches(texts, "%").any())
    suffixes = (*units, *((PERCENT,) if percent else ()))
    ways = [NumberText(decimal, thousands, money, suffixes) for decimal, thousands in MARKS]
    read = [_values(texts, way) for way in ways]
    scores = [int(weights[~np.isnan(values)].sum()) for values in read]
    most = max(scores)
    if most == weights[plain].sum():
        return Writing(None, most)
    tied = [index for index, score in enumerate(scores) if score == most]
    chosen = tied[0]
    grouped = ways[chosen].thousands == "" and _matches(texts, r"[0-9][.,]").any()
    only_threes = grouped and not _matches(texts, r"[0-9][.,][0-9]{0,2}(?:[^0-9]|$)|[0-9][.,][0-9]{4}").any()
    if only_threes:  # such as 1,234 or 1.234 and nothing finer
        other = "." if ways[chosen].decimal == "," else ","
        wanted = replace(ways[chosen], decimal=other, thousands=ways[chosen].decimal)
        thousands = next((index for index in tied if ways[index] == wanted), None)
        if thousands is not None and (ways[chosen].decimal == "," or money):
            chosen = thousands
    way = ways[chosen]
    if money and not way.thousands:  # amounts below a thousand so far
        way = replace(way, thousands="," if way.decimal == "." else ".")
    rivals = tuple(ways[index] for index in tied if not np.array_equal(read[index], read[chosen], equal_nan=True))
    differing: list[NumberText] = []
    for rival in rivals:
        if not any(np.array_equal(_values(texts, rival), _values(texts, known), equal_nan=True) for known in differing):
            differing.append(rival)
    return Writing(way, most, tuple(differing))


def _values(texts: pa.Array, way: NumberText) -> npt.NDArray[np.float64]:
    values, _ = read_written(texts, way)
    if way.thousands:  # no group of thousands begins with a zero
        mark = {" ": "[ \u00a0\u2009\u202f]", "'": "['\u2019]"}.get(way.thousands, f"[{way.thousands}]")
        values = np.where(_matches(texts, f"(?:^|[^0-9.,])0{mark}[0-9]{{3}}"), np.nan, values)
    return values


def _unit(texts: pa.Array, weights: npt.NDArray[np.int64], plain: Mask) -> str | None:
    """Return the one unit that stands behind most numbers, such as ``kg``."""
    found = pc.extract_regex(texts, _UNIT.replace("(", "(?P<unit>", 1)).field(0) if len(texts) else texts
    counts: dict[str, int] = {}
    for unit, weight in zip(found.to_pylist(), weights.tolist(), strict=True):
        if unit and not unit.lower().startswith("e"):
            counts[unit.lower()] = counts.get(unit.lower(), 0) + weight
    if not counts:
        return None
    unit, count = max(counts.items(), key=lambda item: item[1])
    return unit if count >= 0.9 * weights[~plain].sum() else None


def _matches(texts: pa.Array, pattern: str) -> Mask:
    return np.asarray(
        pc.fill_null(pc.match_substring_regex(texts, pattern), False).to_numpy(zero_copy_only=False), dtype=bool
    )
