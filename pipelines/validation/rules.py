"""Derives rules on single columns from the facts of a model's nights, with limits wide enough for the next night."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import beta

from pipelines.validation.facts import ColumnFacts, TableFacts, moment_text

SPREAD = 3.0
"""Night-to-night standard deviations by which a limit is widened."""
MADS = 6.0
"""Robust standard deviations (1.4826 MAD) around the median that are always allowed."""
SURE = 0.999
"""Confidence of the upper bound of a share."""
LEAST_NIGHTS = 3
"""Fewest nights for rules that depend on how a column varies from night to night."""
OF_TYPE = {"number": "float64", "text": "str", "moment": "datetime64"}


@dataclass(frozen=True)
class Rule:
    """One rule on the table or on a column.

    ``structural`` rules say that the table is of use at all: they are hard unless all is soft. ``tag`` tells rules of
    one type on one column apart.
    """

    kind: str
    kwargs: dict[str, Any]
    structural: bool = False
    tag: str = ""


def column_rules(nights: Sequence[TableFacts], *, unique_key: bool, guarded: bool) -> Iterator[Rule]:
    """Yield the rules on the table and its columns, in the newest night's order of columns.

    Parameters
    ----------
    nights
        Oldest first; the newest one has the columns that are judged.
    guarded
        Structural rules are hard: a label outside the known ones is not forgiven a share of rows.
    """
    newest = nights[-1]
    yield from _table_rules(nights, guarded)
    yield Rule("expect_column_values_to_not_be_null", {"column": "_key"}, structural=True)
    if unique_key:
        yield Rule("expect_column_values_to_be_unique", {"column": "_key"}, structural=True)
    for name, facts in newest.columns.items():
        known = [night.columns[name] for night in nights if name in night.columns]
        known = [night for night in known if night.given and night.kind == facts.kind]
        yield Rule("expect_column_to_exist", {"column": name}, structural=True)
        if not known:
            continue
        yield from _null_rule(name, known)
        yield Rule(
            "expect_column_values_to_be_of_type", {"column": name, "type_": OF_TYPE[facts.kind]}, structural=True
        )
        if facts.kind == "number":
            yield from _number_rules(name, known)
        elif facts.kind == "moment":
            yield from _moment_rules(name, known)
        else:
            yield from _text_rules(name, known, label=name == "_y", guarded=guarded)


def _table_rules(nights: Sequence[TableFacts], guarded: bool) -> Iterator[Rule]:
    rows = [night.rows for night in nights]
    if guarded:
        yield Rule("expect_table_row_count_to_be_between", {"min_value": 1}, structural=True)
    limits: dict[str, Any] = {"min_value": max(1, _down(0.5 * min(rows)))}
    if len(rows) >= LEAST_NIGHTS:
        limits["max_value"] = _up(2 * max(rows) + SPREAD * statistics.stdev(rows))
    yield Rule("expect_table_row_count_to_be_between", limits, tag="usual")


def _null_rule(name: str, nights: Sequence[ColumnFacts]) -> Iterator[Rule]:
    """Yield the rule on nulls, which allows 1.5 times the upper bound of their share and a margin."""
    bound = max(upper(night.missing, night.rows) for night in nights)
    mostly = _share(1 - 1.5 * bound - 0.005 - SPREAD * _stdev([night.missing / night.rows for night in nights]))
    if mostly > 0:
        yield Rule("expect_column_values_to_not_be_null", {"column": name, "mostly": mostly})


def _number_rules(name: str, nights: Sequence[ColumnFacts]) -> Iterator[Rule]:
    fences = [_fence(night) for night in nights]
    low = min(fence[0] for fence in fences) - SPREAD * _stdev([fence[0] for fence in fences])
    high = max(fence[1] for fence in fences) + SPREAD * _stdev([fence[1] for fence in fences])
    step = _step(high - low)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    if all(night.low is not None and night.low >= 0 for night in nights):
        low = max(low, 0.0)  # what was never negative shall not be
    # at most 1 % of the values lie outside the quantiles that the fence is built on
    outside = max(upper(0.01 * night.given, night.given) for night in nights)
    inside = all(night.low >= low and night.high <= high for night in nights)
    mostly = _share(1 - max(upper(0, night.given) for night in nights) - 0.005) if inside else _share(1 - outside)
    limits = {"min_value": _short(low), "max_value": _short(high), "mostly": min(mostly, 0.995)}
    yield Rule("expect_column_values_to_be_between", {"column": name, **limits})
    medians = [night.median for night in nights if night.median is not None]
    if len(medians) >= LEAST_NIGHTS:
        slack = SPREAD * _stdev(medians) + max(0.5 * max(night.mad or 0.0 for night in nights), 1e-9)
        span = _step(2 * slack)
        bottom, top = math.floor((min(medians) - slack) / span) * span, math.ceil((max(medians) + slack) / span) * span
        yield Rule(
            "expect_column_median_to_be_between",
            {"column": name, "min_value": _short(bottom), "max_value": _short(top)},
        )


def _fence(facts: ColumnFacts) -> tuple[float, float]:
    """Return the limits of one night: outer quantiles plus a quarter of their distance, or median ± MADs if wider."""
    below, above = facts.ends or (0.0, 0.0)
    median, reach = facts.median or 0.0, MADS * 1.4826 * (facts.mad or 0.0)
    slack = 0.25 * (above - below)
    if not slack and not reach:
        slack = max(1.0, 0.1 * abs(median))
    return min(below - slack, median - reach), max(above + slack, median + reach)


def _moment_rules(name: str, nights: Sequence[ColumnFacts]) -> Iterator[Rule]:
    first = min(night.low for night in nights)
    yield Rule("expect_column_values_to_be_between", {"column": name, "min_value": moment_text(first), "mostly": 0.99})
    arcs = {night.hours for night in nights}
    arc = arcs.pop() if len(arcs) == 1 else _joined([night.hours for night in nights])
    if arc:
        yield Rule(
            "expect_column_times_of_day_to_be_between",
            {"column": name, "min_value": _clock(arc[0]), "max_value": _clock(arc[1]), "mostly": 0.99},
        )


def _joined(arcs: Sequence[tuple[int, int] | None]) -> tuple[int, int] | None:
    """Return the interval from the earliest start to the latest end of intervals that do not cross midnight."""
    given = [arc for arc in arcs if arc is not None and arc[0] <= arc[1]]
    if len(given) < len(arcs):
        return None
    joined = min(arc[0] for arc in given), max(arc[1] for arc in given)
    return joined if joined[1] - joined[0] <= 20 * 3600 else None


def _text_rules(name: str, nights: Sequence[ColumnFacts], *, label: bool, guarded: bool) -> Iterator[Rule]:
    counts = [night.texts for night in nights]
    newest = nights[-1]
    if all(texts is not None for texts in counts):
        known = sorted(set().union(*[texts or {} for texts in counts]))
        strict = label and guarded
        share = {} if strict else {"mostly": _share(1 - _unseen(nights) - 0.005)}
        yield Rule("expect_column_values_to_be_in_set", {"column": name, "value_set": known, **share}, structural=label)
        return
    if newest.lengths:
        short = min(night.lengths[0] for night in nights if night.lengths)
        long = max(night.lengths[1] for night in nights if night.lengths)
        reach = max(1, (long - short) // 4)
        limits = {"min_value": max(1, short - reach), "max_value": long + reach, "mostly": 0.99}
        yield Rule("expect_column_value_lengths_to_be_between", {"column": name, **limits})
    if all(night.distinct == night.given >= 1000 for night in nights):
        yield Rule("expect_column_values_to_be_unique", {"column": name})


def _unseen(nights: Sequence[ColumnFacts]) -> float:
    """Return the share of values that may be new: as from night to night, else by the texts seen once (Good 1953)."""
    bounds = []
    seen: set[str] = set(nights[0].texts or {})
    for night in nights[1:]:
        texts = night.texts or {}
        fresh = sum(count for text, count in texts.items() if text not in seen)
        seen |= set(texts)
        bounds.append(upper(fresh, night.given))
    if not bounds:
        once = sum(count == 1 for count in (nights[0].texts or {}).values())
        bounds.append(upper(once, nights[0].given))
    return max(bounds)


def upper(count: float, of: int) -> float:
    """Return the upper bound of a share by Clopper and Pearson (1934), one-sided, of ``count`` among ``of``."""
    return 1.0 if count >= of else float(beta.ppf(SURE, count + 1, of - count))


def _share(value: float) -> float:
    """Return a share rounded down to half per cents, so that a relearned suite differs only where it matters."""
    return round(max(0.0, math.floor(200 * value + 1e-9) / 200), 3)


def _stdev(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _step(width: float) -> float:
    """Return the step limits are rounded to: a power of ten, a tenth to a hundredth of the width."""
    return float(10.0 ** (math.floor(math.log10(width)) - 1)) if 0 < width < math.inf else 1.0


def _short(number: float) -> float:
    """Return a number rounded to six digits, so that it is easy to review."""
    return float(f"{number:.6g}")


def _down(rows: float) -> int:
    """Return a count of rows rounded down to two digits."""
    step: int = 10 ** max(0, len(str(int(rows))) - 2)
    return int(rows) // step * step


def _up(rows: float) -> int:
    step: int = 10 ** max(0, len(str(int(rows))) - 2)
    return _down(rows) + step


def _clock(second: int) -> str:
    return f"{second // 3600:02}:{second % 3600 // 60:02}:{second % 60:02}"
