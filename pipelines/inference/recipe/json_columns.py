"""Columns of JSON cells of one plain type to clean values: numbers at once, texts once per distinct one.

The results are those of the readers of single cells, and of :func:`pipelines.inference.recipe.columns.read_column`, bit
by bit; there is no frame and no guess at types in between. Columns of other cells are left to those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.inference.recipe import cells
from pipelines.inference.recipe.columns import Kind, changed
from pipelines.inference.recipe.number_parsing import Change

Mask = npt.NDArray[np.bool_]
FEW_DISTINCT = 64
"""More distinct texts than these are quicker read as numbers or dates by Arrow, as a column."""
MISSING, UNREADABLE = -1, -2
_NUMBERS = frozenset({int, float, NoneType})
_TEXTS = frozenset({str, NoneType})


@dataclass(frozen=True)
class JsonColumn:
    """A clean column of n rows.

    Attributes
    ----------
    values
        In the form that a feature plan takes: float64, datetime64[us], or a dictionary-encoded Arrow array of
        large_string, whose dictionary holds the clean texts in the order of their first cells.
    missing, bad
        (n,) which cells are null, and which of these are unreadable; None: no cell.
    """

    values: Any
    missing: Mask | None
    bad: Mask | None


class JsonReader:
    """Reads the cells of one column.

    Parameters
    ----------
    read
        The reader of one cell.
    tokens
        Lowered missing tokens.
    change
        What is done to a number; ``read`` does it, too.
    """

    def __init__(self, kind: Kind, read: cells.Reader, tokens: frozenset[bytes], change: Change) -> None:
        self._kind, self._read, self._change = kind, read, change
        self._marks = list(cells.number_tokens(tokens))

    def column(self, column: Sequence[Any]) -> JsonColumn | None:
        """Return the clean column; None for cells of several types, and for too many texts of numbers or dates."""
        if self._kind == "number":
            kinds = set(map(type, column))
            if kinds <= _NUMBERS:
                return self._numbers(column)
            if not kinds <= _TEXTS:
                return None
        try:
            distinct = dict.fromkeys(column)
        except TypeError:  # a list or an object
            return None
        distinct.pop(None, None)
        if not {str}.issuperset(map(type, distinct)) or (self._kind != "category" and len(distinct) > FEW_DISTINCT):
            return None
        return self._texts(column, list(distinct))

    def cells(self, column: Sequence[Any]) -> JsonColumn:
        """Return the clean column of any cells, read one by one."""
        return self._coded([self._read(cell) for cell in column], None)

    def _numbers(self, column: Sequence[Any]) -> JsonColumn | None:
        try:
            values = np.array(column, dtype=np.float64)
        except OverflowError:  # a whole number beyond all floats
            return None
        if not self._change and not self._marks and np.isfinite(values).all():
            return JsonColumn(values, None, None)
        missing = np.isnan(values)
        if np.count_nonzero(missing) != column.count(None):
            return None  # NaN itself is a cell, which is no JSON
        if self._marks:
            missing |= np.isin(values, self._marks)
        bad = ~np.isfinite(values) & ~missing
        values, bad = changed(np.where(missing | bad, np.nan, values), bad, self._change)
        return JsonColumn(values, missing | bad, bad)

    def _texts(self, column: Sequence[Any], distinct: list[str]) -> JsonColumn:
        index = dict(zip(distinct, range(len(distinct)), strict=True))
        index[None] = MISSING  # type: ignore[index]  # the cells are texts and None
        codes = np.fromiter(map(index.__getitem__, column), np.intp, len(column))
        return self._coded([self._read(text) for text in distinct], codes)

    def _coded(self, clean: list[Any], codes: npt.NDArray[np.intp] | None) -> JsonColumn:
        """Return the column of these clean cells, or of those that ``codes`` are the indices of."""
        known: dict[Any, int] = {}
        if self._kind == "category":
            marks = [
                MISSING if cell is None else UNREADABLE if cell is cells.BAD else known.setdefault(cell, len(known))
                for cell in clean
            ]
        else:
            marks = [
                MISSING if cell is None else UNREADABLE if cell is cells.BAD else number
                for number, cell in enumerate(clean)
            ]
        indices = np.array([*marks, MISSING], dtype=np.intp)  # the last one is for MISSING itself
        found = indices[:-1] if codes is None else indices[codes]
        missing = found < 0
        bad = found == UNREADABLE if UNREADABLE in marks else None
        return JsonColumn(self._form(clean, found, missing, list(known)), missing if missing.any() else None, bad)

    def _form(self, clean: list[Any], found: npt.NDArray[np.intp], missing: Mask, texts: list[str]) -> Any:
        if self._kind == "category":
            indices = pa.array(found.astype(np.int32), mask=missing)
            return pa.DictionaryArray.from_arrays(indices, pa.array(texts, pa.large_string()))
        plain = [None if cell is cells.BAD else cell for cell in clean]
        return np.array([*plain, None], dtype=np.float64 if self._kind == "number" else "datetime64[us]")[
            np.maximum(found, MISSING)
        ]
