"""One cell as a JSON value, whatever library it comes from; none of them is imported."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

PLAIN = frozenset({str, int, bool, type(None)})
GAPS = frozenset({"NAType", "NaTType"})
"""Types of pandas' missing cells."""
MOST_DIGITS = 4096


def json_cell(value: Any) -> Any:
    """Return a cell as a JSON value that the service reads as the same cell.

    Missing cells of every kind, NaN and infinities are None, moments ISO 8601 texts, spans and times of day seconds,
    a decimal number a number where it keeps all its digits and else a text, lists and objects JSON texts.

    Raises
    ------
    TypeError
        If there is no such value.

    Examples
    --------
    >>> [json_cell(value) for value in (float("nan"), datetime(2026, 3, 1, 2), Decimal("1.50"), [1, None])]
    [None, '2026-03-01T02:00:00', 1.5, '[1,null]']
    >>> json_cell(Decimal("0.1234567890123456789"))
    '0.1234567890123456789'
    """
    if type(value) in PLAIN:
        return value
    if type(value).__name__ in GAPS:
        return None
    if hasattr(value, "dtype"):
        value = _of_array(value)
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _of_decimal(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, time):
        return float(value.hour * 3600 + value.minute * 60 + value.second) + value.microsecond / 1e6
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping | list | tuple):
        return _nested(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _of_array(value: Any) -> Any:
    """Return a NumPy scalar, or an array, as Python has it."""
    if value.dtype.kind in "mM":
        value = value.astype(f"{value.dtype.kind}8[us]")  # of nanoseconds NumPy makes a plain number
    return value.tolist()


def _of_decimal(value: Decimal) -> int | float | str | None:
    if not value.is_finite():
        return None
    if abs(value.adjusted()) > MOST_DIGITS:
        raise TypeError(f"a decimal number of {abs(value.adjusted())} digits is no JSON value")
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    if text.lstrip("-").isdigit():
        return int(text)
    number = float(text)
    return number if repr(number) == text else text


def _nested(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_inner)
    except (ValueError, RecursionError) as error:
        raise TypeError(f"{type(value).__name__} is no JSON value: {error}") from None


def _inner(value: Any) -> Any:
    """Return what stands inside of a list or an object and is no JSON value by itself; leaves are texts."""
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "dtype"):
        return _of_array(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    found = json_cell(value)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    return found if found is None else str(found)
