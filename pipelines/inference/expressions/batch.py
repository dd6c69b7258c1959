"""An expression's tree over whole columns; the same cells as :mod:`pipelines.inference.expressions.row` gives.

Numbers are float64 with NaN for null, moments datetime64[us] with NaT, texts and truths Arrow arrays. Constants stay
single values until the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import DataError
from pipelines.inference.expressions.row import DAY_US, HOUR_US, READERS, SCALAR, TEXT_TOKENS, VALUE_TOKENS, truth
from pipelines.inference.expressions.tree import ExpressionNode, Kind
from pipelines.inference.recipe.arrays import as_arrow
from pipelines.inference.recipe.columns import Kind as ReadKind
from pipelines.inference.recipe.columns import read_column

TYPES: dict[Kind, pa.DataType] = {
    "number": pa.float64(), "text": pa.large_string(), "bool": pa.bool_(), "moment": pa.timestamp("us")
}  # fmt: skip
_READ_AS: dict[Kind, ReadKind] = {"number": "number", "text": "category", "bool": "category", "moment": "date"}
_COMPARE_TEXT = {
    "<": pc.less, "<=": pc.less_equal, "==": pc.equal, "!=": pc.not_equal, ">=": pc.greater_equal, ">": pc.greater
}  # fmt: skip
_COMPARE = {
    "<": np.less, "<=": np.less_equal, "==": np.equal, "!=": np.not_equal, ">=": np.greater_equal, ">": np.greater
}  # fmt: skip
_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "//": np.floor_divide, "%": np.mod,
    "**": np.power, "neg": np.negative, "abs": np.abs, "floor": np.floor, "ceil": np.ceil, "sqrt": np.sqrt,
    "log": np.log, "exp": np.exp,
}  # fmt: skip
_DIVISIONS = ("/", "//", "%")
Array = npt.NDArray[Any]


def evaluate(node: ExpressionNode, columns: Mapping[str, Any], rows: int) -> pa.Array:
    """Evaluate a tree over raw columns of ``rows`` cells each.

    Returns
    -------
    Array
        float64, large_string, bool or timestamp[us]; null where the value is not known.
    """
    with np.errstate(all="ignore"):
        value = _Batch(columns).value(node)
    kind = node.kind or "text"
    if kind == "number":
        numbers = np.ascontiguousarray(np.broadcast_to(value, (rows,)), dtype=np.float64)
        return pa.array(numbers, mask=np.isnan(numbers))
    if kind == "moment":
        return pa.array(np.ascontiguousarray(np.broadcast_to(value, (rows,))), TYPES["moment"])
    if isinstance(value, pa.Scalar):
        return pa.repeat(value, rows)
    return value.combine_chunks() if isinstance(value, pa.ChunkedArray) else value


class _Batch:
    def __init__(self, columns: Mapping[str, Any]) -> None:
        self.columns = columns
        self.read: dict[tuple[str, Kind], Any] = {}

    def value(self, node: ExpressionNode) -> Any:
        if node.op == "column":
            key = (node.value, node.kind or "text")
            if key not in self.read:
                self.read[key] = self.column(*key)
            return self.read[key]
        if node.op == "constant":
            return _constant(node)
        if node.op == "missing" and node.args[0].op == "column" and (node.args[0].kind or "text") == "text":
            nothing = self.nothing(node.args[0].value)
            if nothing is not None:
                return nothing
        args = [self.value(arg) for arg in node.args]
        return _operation(node, args)

    def nothing(self, name: str) -> pa.Array | None:
        """Tell the missing cells of a column of numbers without reading them as texts; None for any other column."""
        values = self.columns.get(name)
        array = as_arrow(values) if isinstance(values, pd.Series | pa.ChunkedArray) else None
        if array is None or not (pa.types.is_floating(array.type) or pa.types.is_integer(array.type)):
            return None
        if pa.types.is_integer(array.type):
            return array.is_null()
        return pc.invert(pc.fill_null(pc.is_finite(array), False))

    def column(self, name: str, kind: Kind) -> Any:
        if name not in self.columns:
            raise DataError(
                f"column {name!r} of an expression is missing",
                where=repr(name),
                seen=", ".join(map(str, self.columns))[:500],
                cure="read the column, or correct the expression",
            )
        values = self.columns[name]
        if isinstance(values, pa.Array):
            values = pa.chunked_array([values])
        elif not isinstance(values, pd.Series | pa.ChunkedArray):
            values = pd.Series(values, dtype=object)
        tokens = VALUE_TOKENS if kind in ("number", "moment") else TEXT_TOKENS
        read = READERS["text" if kind == "bool" else kind]
        if isinstance(values, pa.ChunkedArray) or values.dtype != object:
            array = as_arrow(values)
            if kind == "number" and array is not None and pa.types.is_integer(array.type):
                return array.cast(TYPES["number"], safe=False).to_numpy(zero_copy_only=False)  # no token is a number
            if kind == "bool" and array is not None and pa.types.is_boolean(array.type):
                return array
        clean, _ = read_column(values, _READ_AS[kind], read, tokens)
        if kind in ("number", "moment"):
            return clean
        text = pa.array(clean, TYPES["text"], from_pandas=True)
        text = text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
        return text if kind == "text" else _by_distinct(text, truth, "bool")


def _constant(node: ExpressionNode) -> Any:
    if node.kind == "number":
        return np.float64(np.nan if node.value is None else node.value)
    if node.kind == "moment":
        return np.datetime64("NaT" if node.value is None else node.value, "us")
    return pa.scalar(node.value, TYPES[node.kind or "text"])


def _operation(node: ExpressionNode, args: list[Any]) -> Any:
    op, first = node.op, args[0]
    inner = node.args[0].kind or "text"
    if op in _ARITHMETIC:
        result = np.asarray(_ARITHMETIC[op](*args))
        keep = np.isfinite(result)
        if op in _DIVISIONS:
            keep &= np.not_equal(args[1], 0)
        elif op == "**":  # which takes 1 ** NaN and NaN ** 0 for 1
            keep &= ~(np.isnan(args[0]) | np.isnan(args[1]))
        return result if keep.all() else np.where(keep, result, np.nan)
    if op in _COMPARE:
        return _compared(op, inner, *args)
    if op in ("and", "or"):
        combine = pc.and_kleene if op == "and" else pc.or_kleene
        for other in args[1:]:
            first = combine(first, other)
        return first
    if op in ("min", "max"):
        choose = np.minimum if op == "min" else np.maximum
        for other in args[1:]:
            first = choose(first, other)
        return first
    if op in _TEXT:
        return _by_distinct(first, SCALAR[op], node.kind or "text")
    return _OTHERS[op](node, args)


def _compared(op: str, kind: Kind, left: Any, right: Any) -> Any:
    if kind in ("text", "bool"):
        return _COMPARE_TEXT[op](left, right)
    unknown = _nothing(left, kind) | _nothing(right, kind)
    return pa.array(_COMPARE[op](left, right), mask=unknown)


def _nothing(values: Any, kind: Kind) -> Array:
    return np.asarray(np.isnan(values) if kind == "number" else np.isnat(values))


def _by_distinct(values: pa.Array, function: Callable[[Any], Any], kind: Kind) -> Any:
    """Apply the row's function once per distinct value."""
    encoded = values.dictionary_encode()
    done = [None if item is None else function(item) for item in encoded.dictionary.to_pylist()]
    result = pa.array(done, TYPES[kind]).take(encoded.indices)
    return _plain(result, kind)


def _plain(values: pa.Array, kind: Kind) -> Any:
    return values.to_numpy(zero_copy_only=False) if kind in ("number", "moment") else values


_TEXT = ("lower", "upper", "strip", "length")


def _is_in(node: ExpressionNode, args: list[Any]) -> Any:
    kind = node.args[0].kind or "text"
    if kind in ("text", "bool"):
        known = pc.is_in(args[0], value_set=pa.array(node.value, TYPES[kind]))
        return pc.if_else(args[0].is_valid(), known, pa.scalar(None, pa.bool_()))
    among = np.array(node.value, dtype=np.float64 if kind == "number" else "datetime64[us]")
    return pa.array(np.isin(args[0], among), mask=_nothing(args[0], kind))


def _missing(node: ExpressionNode, args: list[Any]) -> Any:
    kind = node.args[0].kind or "text"
    return args[0].is_null() if kind in ("text", "bool") else pa.array(_nothing(args[0], kind))


def _coalesce(node: ExpressionNode, args: list[Any]) -> Any:
    kind = node.kind or "text"
    if kind in ("text", "bool"):
        return pc.coalesce(*args)
    result = args[0]
    for other in args[1:]:
        result = np.where(_nothing(result, kind), other, result)
    return result


def _chosen(node: ExpressionNode, args: list[Any]) -> Any:
    test, yes, no = args
    kind = node.kind or "text"
    if kind in ("text", "bool"):
        return pc.if_else(test, yes, no)
    unknown = test.is_null().to_numpy(zero_copy_only=False)
    chosen = np.where(test.fill_null(False).to_numpy(zero_copy_only=False), yes, no)
    chosen[unknown] = np.nan if kind == "number" else np.datetime64("NaT", "us")
    return chosen


def _rounded(node: ExpressionNode, args: list[Any]) -> Any:
    scale = 10.0 ** (float(args[1]) if len(args) > 1 else 0.0)
    result = np.rint(args[0] * scale) / scale
    return np.where(np.isfinite(result), result, np.nan)


def _text_of(node: ExpressionNode, args: list[Any]) -> Any:
    kind = node.args[0].kind or "text"
    values = args[0]
    if kind == "number":
        values = pa.array(values, mask=np.isnan(values))
    elif kind == "moment":
        values = pa.array(values, TYPES["moment"])
    return _by_distinct(values, SCALAR["text_of"], "text")


def _moment(node: ExpressionNode, args: list[Any]) -> Any:
    year, month, day, hour, minute, second = np.broadcast_arrays(*args, *[np.float64(0)] * (6 - len(args)))
    good = (second >= 0) & (second < 60)
    for part, least, most in ((year, 1, 9999), (month, 1, 12), (day, 1, 31), (hour, 0, 24), (minute, 0, 59)):
        good &= (part >= least) & (part <= most) & (part == np.floor(part))

    def whole(part: Array, other: int = 1) -> Array:
        return np.where(good, part, other).astype(np.int64)

    first = ((whole(year) - 1970) * 12 + whole(month) - 1).astype("datetime64[M]")
    date = first.astype("datetime64[D]") + (whole(day) - 1)
    good &= date.astype("datetime64[M]") == first
    gone = (whole(hour) * 3600 + whole(minute) * 60) * 1_000_000 + np.rint(np.where(good, second, 0) * 1e6).astype(int)
    result = date.astype("datetime64[us]") + gone
    good &= result < np.datetime64("10000-01-01", "us")
    return np.where(good, result, np.datetime64("NaT", "us"))


def _part(node: ExpressionNode, args: list[Any]) -> Any:
    moments = args[0]
    day, month, year = (moments.astype(f"datetime64[{unit}]") for unit in "DMY")
    whole = {
        "year": lambda: year.astype(np.int64) + 1970,
        "month": lambda: month.astype(np.int64) % 12 + 1,
        "day": lambda: (day - month.astype("datetime64[D]")).astype(np.int64) + 1,
        "weekday": lambda: (day.astype(np.int64) + 3) % 7,
        "hour": lambda: (moments - day).astype(np.int64) // 3_600_000_000,
        "minute": lambda: (moments - day).astype(np.int64) // 60_000_000 % 60,
    }[node.op]()
    return np.where(np.isnat(moments), np.nan, whole.astype(np.float64))


def _between(node: ExpressionNode, args: list[Any]) -> Any:
    gone = np.asarray(args[1] - args[0])
    unit = DAY_US if node.op == "days_between" else HOUR_US
    return np.where(np.isnat(gone), np.nan, gone.astype("timedelta64[us]").astype(np.int64).astype(np.float64) / unit)


_OTHERS: dict[str, Callable[[ExpressionNode, list[Any]], Any]] = {
    "in": _is_in,
    "missing": _missing,
    "coalesce": _coalesce,
    "if": _chosen,
    "round": _rounded,
    "text_of": _text_of,
    "moment": _moment,
    "days_between": _between,
    "hours_between": _between,
    **dict.fromkeys(("year", "month", "day", "weekday", "hour", "minute"), _part),
    "not": lambda node, args: pc.invert(args[0]),
    "number_of": lambda node, args: args[0].cast(pa.float64()).to_numpy(zero_copy_only=False),
    "truth_of": lambda node, args: pa.array(np.not_equal(args[0], 0), mask=np.isnan(args[0])),
    "concat": lambda node, args: pc.binary_join_element_wise(*args, pa.scalar("", pa.large_string())),
}
