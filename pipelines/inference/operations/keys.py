"""Keys of one or more columns, texts or numbers, and what is known of each: looked up in bulk, or for one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.inference.operations.base import Numbers, Operation, Row, RowFunction, by_text, encoded

Indices = npt.NDArray[np.intp]


class Keys:
    """The known keys, in order; each part of a key is a text, a number or missing.

    Parameters
    ----------
    parts
        One array of large_string or float64 per part, all of the same length; no key occurs twice.
    """

    def __init__(self, parts: Sequence[pa.Array]) -> None:
        self.parts = list(parts)
        self._vocabularies = [_vocabulary(_form(part)) for part in self.parts]
        self._known: list[Indices] = []
        index = self._combine([_form(part) for part in self.parts], learn=True)
        self._row_of = np.empty(len(index) + 1, dtype=np.intp)
        self._row_of[index] = np.arange(len(index))
        self._row_of[-1] = -1

    def indices(self, columns: Sequence[Any]) -> Indices:
        """Return the index of every row's key, (n,), -1 where it is unknown; columns are in their table form."""
        return self._row_of[self._combine([_form(column) for column in columns], learn=False)]

    def _combine(self, columns: Sequence[Any], *, learn: bool) -> Indices:
        """Return a number for each key, part by part so that no product of sizes can overflow; -1 is not known."""
        index = _codes(columns[0], self._vocabularies[0])
        for number, column in enumerate(columns):
            if number:
                code = _codes(column, self._vocabularies[number])
                wide = index * (len(self._vocabularies[number]) + 1) + code
                index = np.where((index < 0) | (code < 0), -1, wide)
            if learn:
                self._known.append(np.unique(index))
            known = self._known[number]
            found = np.searchsorted(known, index)
            found[found == len(known)] = 0
            index = np.where(known[found] == index, found, -1) if len(known) else np.full(len(index), -1)
        return index

    def row(self) -> Callable[[Sequence[Any]], int]:
        """Return the function from the cells of one row, in their row form, to the index of its key or -1."""
        lists = [part.to_pylist() for part in self.parts]
        if len(lists) == 1:
            single = {cell: index for index, cell in enumerate(lists[0])}
            return lambda cells: single.get(_cell(cells[0]), -1)
        known = {key: index for index, key in enumerate(zip(*lists, strict=True))}
        return lambda cells: known.get(tuple(map(_cell, cells)), -1)


def learn_keys(columns: Sequence[Any]) -> tuple[list[pa.Array], Indices]:
    """Return the distinct keys of a table, sorted with missing last, and the (n,) index of every row's key."""
    forms = [_form(column) for column in columns]
    vocabularies = [_vocabulary(form) for form in forms]
    codes = [_codes(form, vocabulary) for form, vocabulary in zip(forms, vocabularies, strict=True)]
    index = codes[0]
    for code, vocabulary in zip(codes[1:], vocabularies[1:], strict=True):
        index = np.unique(index, return_inverse=True)[1] * (len(vocabulary) + 1) + code
    _, first, index = np.unique(index, return_index=True, return_inverse=True)
    parts = []
    for code, vocabulary in zip(codes, vocabularies, strict=True):
        chosen = code[first]
        known = pa.array(vocabulary) if isinstance(vocabulary, np.ndarray) else vocabulary
        parts.append(known.take(pa.array(chosen, pa.int64(), mask=chosen == len(vocabulary))))
    return parts, index


def _form(column: Any) -> Any:
    """Return numbers as float64, NaN where missing, and all else dictionary-encoded."""
    if isinstance(column, np.ndarray):
        return column.astype(np.float64, copy=False)
    if isinstance(column, pa.Array) and pa.types.is_floating(column.type):
        return column.to_numpy(zero_copy_only=False)
    return encoded(column)


def _vocabulary(column: Any) -> Any:
    if isinstance(column, np.ndarray):
        return np.unique(column[~np.isnan(column)])
    texts = pc.unique(column.dictionary.take(pc.unique(column.indices.drop_null())))
    return texts.take(pc.sort_indices(texts))


def _codes(column: Any, vocabulary: Any) -> Indices:
    """Return the indices in a vocabulary; its length for missing, -1 for what it does not hold."""
    if isinstance(column, np.ndarray):
        if not len(vocabulary):
            return np.where(np.isnan(column), 0, -1)
        index = np.minimum(np.searchsorted(vocabulary, column), len(vocabulary) - 1)
        return np.where(np.isnan(column), len(vocabulary), np.where(vocabulary[index] == column, index, -1))
    of_text = pc.index_in(column.dictionary, value_set=vocabulary).fill_null(-1).to_numpy(zero_copy_only=False)
    return by_text(column, of_text, float(len(vocabulary))).astype(np.intp)


def _cell(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value


@dataclass(frozen=True)
class Keyed(Operation):
    """Looks up the values of a row's key in a table.

    Parameters
    ----------
    table
        ``key0``, ``key1`` … (large_string or float64) by input, ``value0``, ``value1`` … (float64) by output.
    unknown
        By output: the value of keys that the table does not hold; None is missing.
    """

    table: pa.Table
    unknown: tuple[float | None, ...]

    @cached_property
    def _keys(self) -> Keys:
        return Keys([self.table[f"key{index}"].combine_chunks() for index in range(len(self.inputs))])

    @cached_property
    def _values(self) -> list[Numbers]:
        """By output: the values in table order, that of unknown keys last."""
        last = [np.nan if value is None else value for value in self.unknown]
        columns = [self.table[f"value{index}"].to_numpy() for index in range(len(self.outputs))]
        return [np.append(column, value) for column, value in zip(columns, last, strict=True)]

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:
        """Return one number per output."""
        indices = self._keys.indices([columns[name] for name in self.inputs])
        return [values[indices] for values in self._values]

    def row(self) -> RowFunction:
        """Return the function of one row."""
        index_of, inputs = self._keys.row(), self.inputs
        rows = np.column_stack(self._values).tolist() if self._values else []

        def one(row: Row) -> Sequence[float]:
            found: list[float] = rows[index_of([row[name] for name in inputs])]
            return found

        return one


def keyed_table(parts: Sequence[pa.Array], values: Sequence[Numbers], keep: npt.NDArray[np.bool_]) -> pa.Table:
    """Return the table of a :class:`Keyed` operation from parallel arrays, of the rows to ``keep``."""
    columns = {f"key{index}": part for index, part in enumerate(parts)}
    columns |= {f"value{index}": pa.array(column) for index, column in enumerate(values)}
    return pa.table(columns).filter(pa.array(keep))
