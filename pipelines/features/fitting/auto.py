"""Decides how to treat a column that no step names, from its training rows.

========================================= ==========================================================================
numbers                                   stay as they are, missing ones too: every family treats them itself
categories                                code of the most frequent texts
… with more than ``max_categories`` texts also their frequency, and the cross-fitted mean of the target
free text                                 hashed words: mostly distinct, 3 words or more
dates                                     ``date_parts`` that differ; no cycles, for the linear family bends numbers
constant, empty, identifiers              left out, with the reason
copies: the same number or code in every  left out, all but the first: boosted trees would share a split among them, and
row                                       draw such a feature more often than others
========================================= ==========================================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.compute as pc

from pipelines.features.fitting.data import TrainingData
from pipelines.features.fitting.statistics import most_frequent
from pipelines.features.spec import FeatureSpec, Frequency, HashedText, TargetEncode
from pipelines.features.summary import ColumnSummary
from pipelines.inference.operations.base import Operation, Output
from pipelines.inference.operations.categorical import Codes
from pipelines.inference.operations.dates_ops import DAY_US, DateParts, Part, calendar

TEXT_WORDS = 3.0
"""Free text has at least this many words on average."""
TEXT_SHARE = 0.5
"""Free text also has at least this share of distinct texts."""
TEXT_BUCKETS = (16, 64)
"""Fewest and most columns of hashed words; one per 64 values between."""


@dataclass(frozen=True)
class Treatment:
    """The treatment of one column: ``steps`` to fit, then ``operations`` to apply; or why it is left out.

    ``itself``: the column is a feature, as it is or as an operation of the same name makes it.
    """

    steps: tuple[Any, ...] = ()
    operations: tuple[Operation, ...] = ()
    how: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    itself: bool = False


def treat_number(name: str, facts: ColumnSummary) -> Treatment:
    """Keep a number as it is."""
    if facts.constant:
        return Treatment(left_out={name: f"constant: {facts.low:g} in every training row"})
    return Treatment(itself=True, how={name: "as it is"})


def treat_category(name: str, facts: ColumnSummary, spec: FeatureSpec) -> Treatment:
    """Encode the texts, most frequent first, then by text; add further steps if there are too many."""
    if facts.counts is None:
        raise TypeError("the summary of a category column has no counts")
    texts, distinct = facts.counts["text"], facts.counts.num_rows
    if facts.constant:
        return Treatment(left_out={name: f"constant: {texts[0].as_py()!r} in every training row"})
    unique = distinct > 1 and distinct >= spec.unique_share * facts.given
    if distinct > spec.max_categories or unique:
        words = 1.0 + float(pc.mean(pc.count_substring_regex(texts, r"\S\s+\S")).as_py())
        if words >= TEXT_WORDS and distinct >= TEXT_SHARE * facts.given and distinct > TEXT_BUCKETS[0]:
            buckets = min(max(1 << (facts.given // 64).bit_length(), TEXT_BUCKETS[0]), TEXT_BUCKETS[1])
            return Treatment(steps=(HashedText(columns=(name,), buckets=buckets),))
    if spec.drop_unique_text and unique:
        return Treatment(left_out={name: f"unique text: {distinct} distinct of {facts.given} values"})
    counts = np.asarray(facts.counts["count"].to_numpy())
    chosen = most_frequent(texts.to_pylist(), counts, spec.rare_count, spec.max_categories)
    if not chosen and not facts.missing:
        return Treatment(left_out={name: f"no category in at least {spec.rare_count} training rows (rare_count)"})
    steps: tuple[Any, ...] = ()
    if distinct > spec.max_categories:
        steps = (Frequency(columns=(name,)), TargetEncode(columns=(name,)))
    codes = Codes((name,), (Output(name, "code", len(chosen) + 1),), chosen)
    return Treatment(steps, (codes,), {name: f"code of {len(chosen)} texts, one for all others"}, itself=True)


def treat_date(name: str, facts: ColumnSummary, spec: FeatureSpec, taken: set[str]) -> Treatment:
    """Return the calendar parts that differ between training rows."""
    low, high = int(facts.low or 0), int(facts.high or 0)
    if facts.constant:
        return Treatment(left_out={name: "constant: one moment in every training row"})
    left_out, parts, outputs = {}, [], []
    for part in dict.fromkeys(spec.date_parts):
        label = f"{name}.{part}"
        if part == "hour" and not facts.has_hours:
            left_out[label] = "no training row has a time of day"
        elif part != "hour" and not facts.missing and _same(part, low, high):
            left_out[label] = "the same in every training row"
        else:
            while label in taken:
                label += "_"
            taken.add(label)
            parts.append(part)
            outputs.append(Output(label))
    operations = (DateParts((name,), tuple(outputs), tuple(parts), low - low % DAY_US),) if parts else ()
    how = {output.name: f"{part} of {name}" for output, part in zip(outputs, parts, strict=True)}
    return Treatment((), operations, how, left_out)


def copies(data: TrainingData, names: Sequence[str]) -> dict[str, str]:
    """Return the features among ``names`` that equal an earlier one in every training row, with the reason."""
    alike: dict[tuple[str, bytes], list[str]] = {}
    first = data.part(0, names)
    for name in names:
        if data.kinds[name] in ("number", "code"):
            values = np.ascontiguousarray(first[name])
            alike.setdefault((str(values.dtype), hashlib.sha256(values.tobytes()).digest()), []).append(name)
    found: dict[str, str] = {}
    for group in alike.values():
        kept: dict[str, Any] = {}
        for name in group if len(group) > 1 else ():
            column = data.column(name)
            other = next((one for one, values in kept.items() if np.array_equal(values, column, equal_nan=True)), None)
            if other is None:
                kept[name] = column
            else:
                found[name] = f"the same as {other!r} in every training row"
    return found


def _same(part: Part, low: int, high: int) -> bool:
    """Tell whether all moments between two share a calendar part."""
    if high - low > 8 * DAY_US and part not in ("year", "month"):
        return False
    ends = np.array([low, high]).astype("datetime64[us]")
    years = calendar(ends, "year", 0)
    if part == "year" or years[0] != years[1]:
        return bool(years[0] == years[1])
    if part == "month":
        months = calendar(ends, "month", 0)
        return bool(months[0] == months[1])
    return bool(low // DAY_US == high // DAY_US) and part != "elapsed_days"
