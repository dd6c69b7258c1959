"""An expression's tree to a function of one raw row: null in, null out; what is no number is null."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from pipelines.inference.expressions.tree import ExpressionNode, Kind
from pipelines.inference.recipe import cells
from pipelines.inference.recipe.row_recipe import MISSING, MISSING_VALUES

TEXT_TOKENS: Final = frozenset(cells.lowered(word) for word in MISSING)
VALUE_TOKENS: Final = frozenset(cells.lowered(word) for word in (*MISSING, *MISSING_VALUES))
DAY_US: Final = 86_400_000_000.0
HOUR_US: Final = 3_600_000_000.0
Cell = Callable[[Mapping[str, Any]], Any]
_US = timedelta(microseconds=1)


def truth(text: str | None) -> bool | None:
    """Read a canonical text as true or false: the words, or a number that is not or is 0."""
    if text in ("true", "false"):
        return text == "true"
    number = READERS["number"](text)
    return None if number is None or number is cells.BAD else number != 0


READERS: Final[dict[Kind, cells.Reader]] = {
    "number": cells.number_reader(VALUE_TOKENS),
    "text": cells.category_reader(TEXT_TOKENS),
    "moment": cells.date_reader((), VALUE_TOKENS),
}
"""How a raw cell is read where a number, a text or a moment is wanted; a truth is read from the text."""


def compile_row(node: ExpressionNode) -> Cell:
    """Return the function that evaluates the tree for one row."""
    if node.op == "column":
        return _column(node)
    if node.op == "constant":
        value = node.value
        return lambda row: value
    args = [compile_row(arg) for arg in node.args]
    match node.op:
        case "and" | "or":
            return _kleene(args, decided=node.op == "or")
        case "if":
            test, yes, no = args
            return lambda row: None if (is_true := test(row)) is None else yes(row) if is_true else no(row)
        case "coalesce":
            return lambda row: next((found for arg in args if (found := arg(row)) is not None), None)
        case "missing":
            return lambda row: args[0](row) is None
        case "in":
            among = frozenset(node.value)
            return _strict(lambda value: value in among, args)
    return _strict(SCALAR[node.op], args)


def _column(node: ExpressionNode) -> Cell:
    name, bad = node.value, cells.BAD
    if node.kind == "bool":
        text = READERS["text"]

        def read_truth(row: Mapping[str, Any]) -> Any:
            found = text(row.get(name))
            return None if found is None or found is bad else truth(found)

        return read_truth
    read = READERS[node.kind or "text"]
    if node.kind == "moment":

        def read_moment(row: Mapping[str, Any]) -> Any:
            found = read(row.get(name))
            return None if found is bad else found.replace(nanosecond=0) if hasattr(found, "nanosecond") else found

        return read_moment

    def read_cell(row: Mapping[str, Any]) -> Any:
        found = read(row.get(name))
        return None if found is bad else found

    return read_cell


def _strict(function: Callable[..., Any], args: list[Cell]) -> Cell:
    """Null in any argument is null."""
    if len(args) == 1:
        one = args[0]
        return lambda row: None if (value := one(row)) is None else function(value)
    if len(args) == 2:
        left, right = args

        def both(row: Mapping[str, Any]) -> Any:
            if (first := left(row)) is None or (second := right(row)) is None:
                return None
            return function(first, second)

        return both

    def every(row: Mapping[str, Any]) -> Any:
        values = [arg(row) for arg in args]
        return None if any(value is None for value in values) else function(*values)

    return every


def _kleene(args: list[Cell], decided: bool) -> Cell:
    """Return SQL's `and` (decided by False) or `or` (decided by True)."""

    def combine(row: Mapping[str, Any]) -> bool | None:
        values = [arg(row) for arg in args]
        return decided if decided in values else None if None in values else not decided

    return combine


def _finite(function: Callable[..., float]) -> Callable[..., float | None]:
    def compute(*values: float) -> float | None:
        result = function(*values)
        return result if math.isfinite(result) else None

    return compute


def _divided(function: Callable[[float, float], float]) -> Callable[[float, float], float | None]:
    def compute(left: float, right: float) -> float | None:
        if right == 0:
            return None
        result = function(left, right)
        return result if math.isfinite(result) else None

    return compute


def _array_math(function: np.ufunc) -> Callable[..., float | None]:
    """Return numpy's function, because the mathematical library of Python may round its last digit otherwise."""

    def compute(*values: float) -> float | None:
        with np.errstate(all="ignore"):
            result = float(function(*values))
        return result if math.isfinite(result) else None

    return compute


def round_to(value: float, digits: float = 0.0) -> float | None:
    """Round half to even at a digit: rint(value × 10^digits) / 10^digits."""
    scale = 10.0**digits
    scaled = value * scale
    return round(scaled) / scale if math.isfinite(scaled) else None


def moment(
    year: float, month: float, day: float, hour: float = 0.0, minute: float = 0.0, second: float = 0.0
) -> datetime | None:
    """Return a moment of the calendar, or None; hour 24 is the next day's 0."""
    whole = all(part.is_integer() for part in (year, month, day, hour, minute))
    if not (whole and 0 <= hour <= 24 and 0 <= minute < 60 and 0 <= second < 60):
        return None
    try:
        start = datetime(int(year), int(month), int(day))  # noqa: DTZ001 - naive UTC is what is meant
        return start + timedelta(hours=hour, minutes=minute, microseconds=round(second * 1e6))
    except (ValueError, OverflowError):
        return None


def _between(unit: float) -> Callable[[datetime, datetime], float]:
    return lambda first, last: float((last - first) // _US) / unit


SCALAR: Final[dict[str, Callable[..., Any]]] = {
    "+": _finite(operator.add),
    "-": _finite(operator.sub),
    "*": _finite(operator.mul),
    "/": _divided(operator.truediv),
    "//": _divided(operator.floordiv),
    "%": _divided(operator.mod),
    "**": _array_math(np.power),
    "neg": operator.neg,
    "not": operator.not_,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
    "number_of": float,
    "truth_of": lambda number: number != 0,
    "text_of": cells.cell_text,
    "abs": abs,
    "floor": lambda number: float(math.floor(number)),
    "ceil": lambda number: float(math.ceil(number)),
    "round": round_to,
    "sqrt": lambda number: math.sqrt(number) if number >= 0 else None,
    "log": _array_math(np.log),
    "exp": _array_math(np.exp),
    "min": min,
    "max": max,
    "lower": str.lower,
    "upper": str.upper,
    "strip": lambda text: text.strip(cells.WHITESPACE),
    "length": lambda text: float(len(text)),
    "concat": lambda *texts: "".join(texts),
    "moment": moment,
    "year": lambda when: float(when.year),
    "month": lambda when: float(when.month),
    "day": lambda when: float(when.day),
    "weekday": lambda when: float(when.weekday()),
    "hour": lambda when: float(when.hour),
    "minute": lambda when: float(when.minute),
    "days_between": _between(DAY_US),
    "hours_between": _between(HOUR_US),
}
"""What each operation does with values that are not null."""
