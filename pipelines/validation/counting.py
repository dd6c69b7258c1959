"""Rules on the cells of one column, counted for a whole table in one pass by Arrow, without a frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.storage import ROW_GROUP, dataset, encoded

Check = Callable[[pa.Array], pa.Array]
"""Marks the values that break a rule; null where there is no value."""
NULLS = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null")
_LIMITS = frozenset({"column", "mostly", "min_value", "max_value", "strict_min", "strict_max"})
_SET = frozenset({"column", "mostly", "value_set"})


@dataclass
class Count:
    """Cells of a column, those without a value, those that break the rule, and the first of these."""

    elements: int = 0
    missing: int = 0
    unexpected: int = 0
    examples: list[Any] = field(default_factory=list)


_NULL: Check = pc.is_null
_VALID: Check = pc.is_valid


def check_of(kind: str, kwargs: Mapping[str, Any], type_: pa.DataType) -> Check | None:
    """Return the check of a rule on a column of this type, or None if it is not known here.

    The result is that of Great Expectations on the column in pandas, where NaN is no value.
    """
    given = {key for key, value in kwargs.items() if value is not None}
    number, text = pa.types.is_float64(type_), pa.types.is_string(type_) or pa.types.is_large_string(type_)
    if kind in NULLS and given <= {"column", "mostly"}:
        if kind == NULLS[0]:
            return _NULL if number or text or pa.types.is_timestamp(type_) else None
        return _VALID if number or text else None
    if kind == "expect_column_values_to_be_in_set" and given <= _SET and text:
        values = kwargs.get("value_set")
        if isinstance(values, list | tuple) and values and all(isinstance(value, str) for value in values):
            known = pa.array(values, pa.large_string())
            return lambda cells: pc.and_not(
                pc.is_valid(cells), pc.is_in(cells.cast(pa.large_string()), value_set=known)
            )
    if kind == "expect_column_values_to_be_between" and given <= _LIMITS and number:
        return _outside(kwargs)
    if kind == "expect_column_value_lengths_to_be_between" and given <= _LIMITS and text:
        outside = _outside(kwargs)
        return None if outside is None else lambda cells: outside(pc.utf8_length(cells).cast(pa.float64()))
    return None


def _outside(kwargs: Mapping[str, Any]) -> Check | None:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    limits = [limit for limit in (low, high) if limit is not None]
    plain = all(isinstance(limit, int | float) and not isinstance(limit, bool) for limit in limits)
    if not limits or not plain or (low is not None and high is not None and low > high):
        return None
    below = pc.less_equal if kwargs.get("strict_min") else pc.less
    above = pc.greater_equal if kwargs.get("strict_max") else pc.greater

    def check(cells: pa.Array) -> pa.Array:
        marks = [below(cells, pa.scalar(float(low)))] if low is not None else []
        marks += [above(cells, pa.scalar(float(high)))] if high is not None else []
        return marks[0] if len(marks) == 1 else pc.or_(*marks)

    return check


def count(folder: Path, checks: Mapping[str, tuple[str, Check]], shown: int) -> dict[str, Count]:
    """Count the cells that break each rule, over all rows of a folder of Parquet in their order.

    Parameters
    ----------
    checks
        By the rule's id, its column and its check.
    shown
        Most examples of a rule.
    """
    counts = {rule_id: Count() for rule_id in checks}
    by_column: dict[str, list[tuple[Count, Check]]] = {}
    for rule_id, (name, check) in checks.items():
        by_column.setdefault(name, []).append((counts[rule_id], check))
    table = encoded(dataset(folder))
    scanner = table.scanner(columns=list(by_column), batch_size=ROW_GROUP, batch_readahead=2, fragment_readahead=1)
    for batch in scanner.to_batches() if by_column else ():
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            _add(column, by_column[name], shown)
    return counts


def _add(column: pa.Array, checks: list[tuple[Count, Check]], shown: int) -> None:
    """Count one batch of a column; of a dictionary-coded column only the distinct values are checked."""
    coded = pa.types.is_dictionary(column.type)
    if pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py():
        column = pc.if_else(pc.is_nan(column), None, column)
    for count, check in checks:
        by_value = coded and check not in (_NULL, _VALID)
        marks = check(column) if not by_value else check(column.dictionary).take(column.indices)
        found = pc.sum(marks).as_py() or 0
        count.elements += len(column)
        count.missing += column.null_count
        count.unexpected += found
        if found and len(count.examples) < shown:
            some = column.filter(marks).slice(0, shown - len(count.examples))
            count.examples += [_nothing(column.type)] * len(some) if check is _NULL else some.to_pylist()


def _nothing(type_: pa.DataType) -> Any:
    return pd.NaT if pa.types.is_timestamp(type_) else math.nan
