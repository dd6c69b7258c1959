"""Several columns to one: ratios and differences of numbers, crosses of categories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, nan
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.inference.operations.base import Operation, RowFunction, encoded, register
from pipelines.inference.operations.numeric import finite

BETWEEN = " | "
"""Stands between the texts of a cross."""


@register
@dataclass(frozen=True)
class Ratio(Operation):
    """The first input divided by the second; NaN where one is missing, the second is 0, or the result is not finite."""

    kind: ClassVar[str] = "ratio"

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        above, below = (columns[name] for name in self.inputs)
        with np.errstate(all="ignore"):
            return [finite(np.divide(above, below))]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        first, second = self.inputs

        def one(row: Mapping[str, Any]) -> tuple[float]:
            below = row[second]
            value = row[first] / below if below else nan
            return (value if -inf < value < inf else nan,)

        return one


@register
@dataclass(frozen=True)
class Difference(Operation):
    """The first input less the second; NaN where one is missing or the result is not finite."""

    kind: ClassVar[str] = "difference"

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        left, right = (columns[name] for name in self.inputs)
        with np.errstate(over="ignore", invalid="ignore"):
            return [finite(np.subtract(left, right))]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        first, second = self.inputs

        def one(row: Mapping[str, Any]) -> tuple[float]:
            value = row[first] - row[second]
            return (value if -inf < value < inf else nan,)

        return one


@register
@dataclass(frozen=True)
class Cross(Operation):
    """The texts of the inputs with ``" | "`` between them; missing where one is missing."""

    kind: ClassVar[str] = "cross"

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:  # noqa: D102 - as the base class says
        crossed = encoded(columns[self.inputs[0]])
        for name in self.inputs[1:]:
            crossed = _cross(crossed, encoded(columns[name]))
        return [crossed]

    def row(self) -> RowFunction:  # noqa: D102 - as the base class says
        names = self.inputs

        def one(row: Mapping[str, Any]) -> tuple[str | None]:
            texts = [row[name] for name in names]
            return (None if None in texts else BETWEEN.join(texts),)

        return one


def _cross(left: pa.DictionaryArray, right: pa.DictionaryArray) -> pa.DictionaryArray:
    """Cross two encoded columns; only texts that stand in one row are joined."""
    width = max(1, len(right.dictionary))
    pairs = pc.add(
        pc.multiply(left.indices.cast(pa.int64()), width), right.indices.cast(pa.int64())
    ).dictionary_encode()
    firsts, seconds = pc.divide(pairs.dictionary, width), pairs.dictionary.to_numpy(zero_copy_only=False) % width
    texts = pc.binary_join_element_wise(
        left.dictionary.take(firsts), right.dictionary.take(pa.array(seconds)), pa.scalar(BETWEEN, pa.large_string())
    )
    distinct = texts.dictionary_encode()
    return pa.DictionaryArray.from_arrays(distinct.indices.take(pairs.indices), distinct.dictionary)
