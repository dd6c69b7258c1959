"""Whole columns to clean values: numbers through Arrow, all else once per distinct cell by the row's reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.inference.recipe import cells
from pipelines.inference.recipe.arrays import as_arrow, without_infinite
from pipelines.inference.recipe.date_columns import NONE, read_texts
from pipelines.inference.recipe.number_columns import read_written
from pipelines.inference.recipe.number_parsing import NUMBER, Change, NumberText, Written

Kind = Literal["number", "category", "date", "dropped"]
Mask = npt.NDArray[np.bool_]
FEW = 64
"""Texts that are tried before a whole column is cast."""
FEW_DISTINCT = 64
"""Up to this many distinct texts are read one by one; each call of Arrow costs as much as ten of them."""


def read_column(
    values: Any,
    kind: Kind,
    read: cells.Reader,
    tokens: frozenset[bytes],
    *,
    formats: Sequence[str] = (),
    written: Written | None = None,
    change: Change | None = None,
    plain: bool = True,
) -> tuple[Any, Mask]:
    """Read one column of raw cells.

    Parameters
    ----------
    values
        Series or chunked array of text, of one type, or of mixed cells.
    read
        The reader of one cell, from :mod:`pipelines.inference.recipe.cells`.
    tokens
        Lowered missing tokens.
    formats
        Of a date column; ``read`` tries them too.
    written, change
        A number column: how its texts are written, and what is done to its numbers; ``read`` does both too.
    plain
        A category column whose texts ``read`` changes no further.

    Returns
    -------
    clean : float64, ``str`` or datetime64[us] values, shape (n,); null where missing or unreadable
    bad : (n,) bool, True where unreadable
    """
    array = as_arrow(values)
    if kind == "number" and array is not None and _is_numeric(array):
        return changed(*read_numbers(array, tokens), change)
    if array is None or not _has_distinct(array):
        cells_read = [
            None if _is_null(item) else read(item) for item in (values if array is None else array.to_pylist())
        ]
        return _typed(kind, _array(kind, cells_read)), np.array([cell is cells.BAD for cell in cells_read], dtype=bool)
    if kind == "number" and _is_text(array) and isinstance(written, NumberText) and not written.keeps_plain:
        return changed(*_number_texts_as(array, written, tokens), change)
    if kind == "number" and _is_text(array):
        values, bad = read_numbers(array, tokens)
        values, bad = changed(values, bad, change)
        return (values, bad) if written is None or not bad.any() else _read_again(array, values, bad, read)
    if kind == "date" and (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
        return _moments(_calendar(array)), np.zeros(len(array), dtype=bool)
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    as_is = tokens if kind == "date" or (kind == "category" and plain) else None
    distinct, unreadable = _read_distinct(encoded.dictionary, kind, read, as_is, formats)
    if unreadable is None:
        bad = np.zeros(len(array), dtype=bool)
    else:
        bad = unreadable.take(encoded.indices).fill_null(False).to_numpy(zero_copy_only=False)
    return _typed(kind, distinct.take(encoded.indices)), bad


def changed(values: npt.NDArray[np.float64], bad: Mask, change: Change | None) -> tuple[npt.NDArray[np.float64], Mask]:
    """Return changed numbers (n,), NaN where missing, and which cells are unreadable, those beyond all floats too."""
    if not change:
        return values, bad
    changed = change.column(values)
    beyond = ~np.isfinite(changed) & ~np.isnan(values)
    return np.where(beyond, np.nan, changed), bad | beyond


def _number_texts_as(
    array: pa.Array, written: NumberText, tokens: frozenset[bytes]
) -> tuple[npt.NDArray[np.float64], Mask]:
    """Read texts that are all written in one way, other than as plain numbers."""
    text = pc.utf8_trim(array, characters=cells.WHITESPACE)
    given = pc.if_else(_among(text, tokens), pa.scalar(None, text.type), text)
    values, bad = read_written(given, written)
    marks = cells.number_tokens(tokens)
    return (np.where(np.isin(values, list(marks)), np.nan, values) if marks else values), bad


def _read_again(
    array: pa.Array, values: npt.NDArray[np.float64], bad: Mask, read: cells.Reader
) -> tuple[npt.NDArray[np.float64], Mask]:
    """Read the cells that are no plain numbers, once per distinct text."""
    encoded = array.filter(pa.array(bad)).dictionary_encode()
    clean, unreadable = _read_distinct(encoded.dictionary, "number", read)
    values, still = values.copy(), bad.copy()
    values[bad] = clean.take(encoded.indices).to_numpy(zero_copy_only=False)
    still[bad] = False if unreadable is None else unreadable.take(encoded.indices).to_numpy(zero_copy_only=False)
    return values, still


def _read_distinct(
    distinct: pa.Array,
    kind: Kind,
    read: cells.Reader,
    plain: frozenset[bytes] | None = None,
    formats: Sequence[str] = (),
) -> tuple[pa.Array, pa.Array | None]:
    """Read each distinct cell, and tell which cannot be read; None: all can.

    With the missing tokens ``plain``, those are read as columns that can be, if they are many.
    """
    known = None
    if kind == "date" and pa.types.is_integer(distinct.type):
        distinct = distinct.cast(pa.large_string())
    if _is_text(distinct) and plain is not None and len(distinct) > FEW_DISTINCT:
        known = _plain_categories(distinct, plain) if kind == "category" else _plain_moments(distinct, plain, formats)
    rest = distinct if known is None else pc.if_else(known.is_null(), distinct, pa.scalar(None, distinct.type))
    cells_read = [None if _is_null(item) else read(item) for item in rest.to_pylist()]
    clean = _array(kind, cells_read)
    marks = [cell is cells.BAD for cell in cells_read]
    unreadable = pa.array(marks, pa.bool_()) if any(marks) else None
    return clean if known is None else pc.coalesce(known, clean), unreadable


def _plain_categories(texts: pa.Array, tokens: frozenset[bytes]) -> pa.Array:
    """Strip the texts that are one category's own text, neither missing nor odd; null for the others."""
    text = pc.utf8_trim(texts, characters=cells.WHITESPACE).cast(pa.large_string())
    odd = pc.or_(pc.match_substring_regex(text, cells.ODD_TEXT), _among(text, tokens))
    odd = pc.or_(odd, pc.greater(pc.utf8_length(text), cells.MAX_TEXT))
    odd = pc.or_(odd, pc.invert(pc.string_is_ascii(text)))
    return pc.if_else(odd, pa.scalar(None, text.type), text)


def _among(texts: pa.Array, tokens: frozenset[bytes]) -> pa.Array:
    """Tell which texts are missing tokens."""
    words = pa.array(sorted(token.decode() for token in tokens), type=texts.type)
    return pc.is_in(pc.ascii_lower(texts), value_set=words)


def _plain_moments(texts: pa.Array, tokens: frozenset[bytes], formats: Sequence[str]) -> pa.Array:
    """Read the texts that a format reads, null for the others."""
    text = pc.utf8_trim(texts, characters=cells.WHITESPACE)
    given = pc.if_else(_among(text, tokens), pa.scalar(None, text.type), text)
    moments = read_texts(given, formats)
    return pa.array(moments, mask=moments == NONE).cast(pa.timestamp("us"))


def _calendar(array: pa.Array) -> pa.Array:
    """Return dates and moments as moments, null where they lie beyond the calendar."""
    array, _ = without_infinite(array)
    return array.cast(pa.timestamp("us")) if pa.types.is_date(array.type) else array


def read_numbers(array: pa.Array, tokens: frozenset[bytes]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Read an Arrow array of text, integers, floats, decimals, booleans, spans or times of day as finite numbers.

    Returns
    -------
    values : (n,) float64, NaN where missing or unreadable
    bad : (n,) bool, True where unreadable
    """
    nothing = array.is_null()
    if _is_text(array):
        array, nothing = _number_texts(array, nothing, tokens)
    elif pa.types.is_decimal(array.type):
        array = array.cast(pa.string())
    elif pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    elif pa.types.is_duration(array.type) or pa.types.is_time(array.type):
        units = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[array.type.unit]
        counts = array.cast(pa.int32() if pa.types.is_time32(array.type) else pa.int64())
        array = pc.divide(counts.cast(pa.float64()), float(units))
    numbers = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    missing = nothing.to_numpy(zero_copy_only=False)
    if pa.types.is_floating(array.type):
        missing = missing | np.isnan(numbers)
    marks = cells.number_tokens(tokens)
    if marks:
        missing = missing | np.isin(numbers, list(marks))
    finite = np.isfinite(numbers)
    return np.where(finite & ~missing, numbers, np.nan), ~finite & ~missing


def _number_texts(array: pa.Array, nothing: pa.Array, tokens: frozenset[bytes]) -> tuple[pa.Array, pa.Array]:
    """Return the texts that are numbers, as numbers where all are, null for the others; and which cells are missing."""
    numbers = all_finite(array)
    if numbers is not None:
        return numbers, nothing
    text = pc.utf8_trim(array, characters=cells.WHITESPACE)
    nothing = pc.or_(nothing, _among(text, tokens))
    given = pc.if_else(nothing, pa.scalar(None, text.type), text)
    numbers = all_finite(given)
    if numbers is not None:
        return numbers, nothing
    readable = pc.fill_null(pc.match_substring_regex(given, f"^(?:{NUMBER})$"), False)
    return pc.if_else(readable, given, pa.scalar(None, text.type)), nothing


def all_finite(texts: pa.Array) -> pa.Array | None:
    """Return the texts as numbers if Arrow reads each one as a finite number, which are some of those we read."""
    try:
        texts.slice(0, FEW).cast(pa.float64())  # a cast that fails everywhere is slow
        numbers = texts.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    return numbers if pc.all(pc.is_finite(numbers), min_count=0).as_py() else None


def _is_text(array: pa.Array) -> bool:
    return bool(pa.types.is_string(array.type) or pa.types.is_large_string(array.type))


def _is_numeric(array: pa.Array) -> bool:
    tests = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_boolean,
        pa.types.is_decimal,
        pa.types.is_duration,
        pa.types.is_time,
    )
    return any(test(array.type) for test in tests)


def _has_distinct(array: pa.Array) -> bool:
    kind = array.type
    return not (pa.types.is_nested(kind) or pa.types.is_null(kind) or pa.types.is_duration(kind))


def _is_null(item: Any) -> bool:
    return item is None or item is pd.NA or (isinstance(item, float | np.floating) and item != item) or item is pd.NaT


def _array(kind: Kind, cells_read: list[Any]) -> pa.Array:
    types = {"number": pa.float64(), "category": pa.large_string(), "date": pa.timestamp("us")}
    return pa.array([None if cell is cells.BAD else cell for cell in cells_read], types[kind])


def _typed(kind: Kind, array: pa.Array) -> Any:
    if kind == "number":
        return array.to_numpy(zero_copy_only=False)
    return pd.array(array, dtype="str") if kind == "category" else _moments(array)


def _moments(array: pa.Array) -> Any:
    """Return timestamps as naive UTC datetime64[us]; a zone only says how the same instant is shown."""
    return (
        array.cast(pa.timestamp("us", array.type.tz), safe=False)
        .cast(pa.int64())
        .cast(pa.timestamp("us"))
        .to_numpy(zero_copy_only=False)
    )
