"""What callers sent, from the texts of the log to raw columns: each is read once; one type is one Arrow array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pandas as pd
import pyarrow as pa

from pipelines.private_columns import HASHED, is_hashed

Cells = tuple[Any, ...]
UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)
_decode = msgspec.json.Decoder().decode


def object_of(text: str | None) -> dict[str, Any] | None:
    """Return the object that a text of the log holds; None: it holds none.

    What is hashed in the log is missing here: a hash is no value of its column.
    """
    if text is None:
        return None
    try:
        found = _decode(text)
    except UNREADABLE:
        return None
    if not isinstance(found, dict):
        return None
    if HASHED in text:
        return {name: None if is_hashed(cell) else cell for name, cell in found.items()}
    return found


def cell_reader(names: Sequence[str]) -> Callable[[str | None], Cells | None]:
    """Return what reads a text of the log as the cells of these columns, without the others; None: it is no object.

    What was not sent, and what is hashed, is None.
    """
    fields = [f"c{number}" for number in range(len(names))]
    try:
        row = msgspec.defstruct(
            "Row", [(field, Any, None) for field in fields], rename=dict(zip(fields, names, strict=True)), gc=False
        )
    except ValueError:  # a name that JSON escapes
        return lambda text: _cells_of(text, names)
    decode, cells = msgspec.json.Decoder(row).decode, msgspec.structs.astuple

    def read(text: str | None) -> Cells | None:
        if text is None or HASHED in text:
            return _cells_of(text, names)
        try:
            return cells(decode(text))
        except UNREADABLE:
            return None

    return read


def frame_of(rows: Sequence[Cells], names: Sequence[str], *, typed: bool) -> pd.DataFrame:
    """Return rows of cells as raw columns.

    Parameters
    ----------
    typed
        A column whose cells are of one type is an Arrow array, for readers that take one; else all are of objects.
    """
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    made = {name: _column(cells, typed) for name, cells in zip(names, columns, strict=True)}
    return pd.DataFrame(made, columns=list(names))


def _cells_of(text: str | None, names: Sequence[str]) -> Cells | None:
    found = object_of(text)
    return None if found is None else tuple(map(found.get, names))


def _column(cells: Cells, typed: bool) -> pd.Series:
    array = _array(cells) if typed else None
    return pd.Series(cells, dtype=object) if array is None else pd.Series(pd.arrays.ArrowExtensionArray(array))


def _array(cells: Cells) -> pa.Array | None:
    """Return cells of one type as an array; None: they are mixed, nested, or too large."""
    try:
        array = pa.array(cells)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return None
    if pa.types.is_floating(array.type) and not {*map(type, cells)} <= {float, type(None)}:
        return None  # Arrow reads 1 and 1.0 as one, a category does not
    return None if pa.types.is_nested(array.type) else array
