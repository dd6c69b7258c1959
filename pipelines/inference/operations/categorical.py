"""Categories to codes and numbers, and to fewer categories."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.inference.operations.base import MISSING_CODE, Operation, RowFunction, by_text, encoded, register

FEW_TEXTS = 64
"""Up to this many distinct texts are looked up one by one; Arrow's calls cost as much."""


@dataclass(frozen=True)
class Listed(Operation):
    """An operation that knows texts by their index in ``categories``."""

    categories: tuple[str, ...]

    @cached_property
    def _index(self) -> dict[str, int]:
        return {text: index for index, text in enumerate(self.categories)}

    def indices(self, values: pa.DictionaryArray) -> npt.NDArray[np.int64]:
        """Return the index of each dictionary entry, (d,); ``len(categories)`` for an unknown one."""
        count = len(self.categories)
        if len(values.dictionary) <= FEW_TEXTS:
            index = self._index
            return np.array([index.get(text, count) for text in values.dictionary.to_pylist()], dtype=np.int64)
        known = pa.array(self.categories, pa.large_string())
        found = pc.index_in(values.dictionary, value_set=known).fill_null(count)
        return np.array(found.to_numpy(zero_copy_only=False), dtype=np.int64)


@register
@dataclass(frozen=True)
class Codes(Listed):
    """The index of a text in ``categories``; ``len(categories)`` for every other text, -1 for missing."""

    kind: ClassVar[str] = "codes"

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        values = encoded(columns[self.inputs[0]])
        return [by_text(values, self.indices(values), MISSING_CODE)]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        return _look_up(self.inputs[0], self.categories, range(len(self.categories)), len(self.categories), -1.0)


@register
@dataclass(frozen=True)
class OneHot(Listed):
    """1 in the output of a text's index in ``categories``, else 0; then, where there are outputs left, other, missing.

    Parameters
    ----------
    other, missing
        Whether there is an output for texts outside ``categories``, and one for missing cells, in this order.
    """

    kind: ClassVar[str] = "one_hot"
    other: bool
    missing: bool

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        values, count = encoded(columns[self.inputs[0]]), len(self.categories)
        codes = by_text(values, self.indices(values), MISSING_CODE).astype(np.int32)
        wanted = [*range(count), *([count] if self.other else []), *([-1] if self.missing else [])]
        return [(codes == code).astype(np.float64) for code in wanted]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        name, count, width = self.inputs[0], len(self.categories), len(self.outputs)
        known = {text: index for index, text in enumerate(self.categories)}
        of_other = count if self.other else None
        of_missing = width - 1 if self.missing else None

        def one(row: Mapping[str, Any]) -> list[float]:
            made, text = [0.0] * width, row[name]
            index = of_missing if text is None else known.get(text, of_other)
            if index is not None:
                made[index] = 1.0
            return made

        return one


@register
@dataclass(frozen=True)
class Numbered(Listed):
    """The number of a text: of ``categories`` that in ``numbers``, of any other text ``other``, of missing ``missing``.

    None stands for NaN. Ranks in a declared order and frequencies are such numbers.
    """

    kind: ClassVar[str] = "numbered"
    numbers: tuple[float, ...]
    other: float | None
    missing: float | None

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        values = encoded(columns[self.inputs[0]])
        table = np.append(np.asarray(self.numbers, dtype=np.float64), _number(self.other))
        return [by_text(values, table[self.indices(values)], _number(self.missing))]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        return _look_up(self.inputs[0], self.categories, self.numbers, _number(self.other), _number(self.missing))


@register
@dataclass(frozen=True)
class Hashed(Operation):
    """The hash of a text as a code below ``buckets``; -1 for missing.

    The hash is the first 8 bytes, big-endian, of BLAKE2b (digest of 64 bytes, ``seed`` as 8 bytes big-endian for its
    key) over the UTF-8 of the text, modulo ``buckets``.
    """

    kind: ClassVar[str] = "hashed"
    buckets: int
    seed: int

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        values = encoded(columns[self.inputs[0]])
        codes = np.array([self._code(text) for text in values.dictionary.to_pylist()], dtype=np.float64)
        return [by_text(values, codes, MISSING_CODE)]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        name, code = self.inputs[0], self._code

        def one(row: Mapping[str, Any]) -> tuple[float]:
            text = row[name]
            return (MISSING_CODE if text is None else code(text),)

        return one

    def _code(self, text: str) -> float:
        key = self.seed.to_bytes(8, "big", signed=True)
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=key).digest()
        return float(int.from_bytes(digest[:8], "big") % self.buckets)


@register
@dataclass(frozen=True)
class Group(Listed):
    """Keep the texts in ``categories``, replace others by ``word`` and missing cells by ``missing`` or not at all."""

    kind: ClassVar[str] = "group"
    word: str
    missing: str | None

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        values = encoded(columns[self.inputs[0]])
        words = list(
            dict.fromkeys([*self.categories, self.word, *([self.missing] if self.missing is not None else [])])
        )
        other = words.index(self.word)
        of_text = self.indices(values)
        of_text[of_text == len(self.categories)] = other
        indices = pa.array(of_text.astype(np.int32), pa.int32()).take(values.indices)
        if self.missing is not None:
            indices = indices.fill_null(words.index(self.missing))
        return [pa.DictionaryArray.from_arrays(indices, pa.array(words, pa.large_string()))]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        name, known, word, missing = self.inputs[0], frozenset(self.categories), self.word, self.missing

        def one(row: Mapping[str, Any]) -> tuple[str | None]:
            text = row[name]
            return (missing if text is None else text if text in known else word,)

        return one


def _number(value: float | None) -> float:
    return nan if value is None else float(value)


def _look_up(
    name: str, categories: Sequence[str], numbers: Sequence[float], other: float, missing: float
) -> RowFunction:
    known = {text: (float(number),) for text, number in zip(categories, numbers, strict=True)}
    of_other, of_missing = (float(other),), (float(missing),)

    def one(row: Mapping[str, Any]) -> tuple[float]:
        text = row[name]
        return of_missing if text is None else known.get(text, of_other)

    return one
