"""Few columns instead of many: principal components and truncated singular value decomposition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from pipelines.inference.operations.base import Numbers, Operation, Row, RowFunction, register
from pipelines.inference.operations.numeric import finite

BLOCK = 4_096
"""Rows at one time: their numbers stay in the processor's cache."""


@register
@dataclass(frozen=True)
class Project(Operation):
    """Weighted sums of numbers: ``((value or fill) - centre) / scale`` times the weights, added up in input order.

    NaN where that is not finite.

    Parameters
    ----------
    fill, centre, scale
        By input: what stands for a missing number, what is taken off, and what the rest is divided by.
    weights
        One row per input, in order, and one float64 column ``value0``, ``value1`` … per output.
    """

    fill: tuple[float, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    weights: pa.Table

    kind: ClassVar[str] = "project"

    def _matrix(self) -> Numbers:
        columns = [self.weights[f"value{index}"].to_numpy() for index in range(len(self.outputs))]
        return np.column_stack(columns)

    def apply(self, columns: Mapping[str, Any], rows: int) -> list[Any]:
        """Return one number per output; sums run in input order, as those of one row do, so that both are equal."""
        matrix, made = self._matrix(), np.zeros((len(self.outputs), rows))
        terms = [np.ascontiguousarray(columns[name], dtype=np.float64) for name in self.inputs]
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, rows, BLOCK):
                block = made[:, start : start + BLOCK]
                for index, values in enumerate(terms):
                    some = values[start : start + BLOCK]
                    some = (np.where(np.isnan(some), self.fill[index], some) - self.centre[index]) / self.scale[index]
                    block += matrix[index][:, None] * some
        return list(finite(made))

    def row(self) -> RowFunction:
        """Return the function of one row."""
        matrix, inputs = self._matrix(), self.inputs
        fill, centre, scale = (np.array(values) for values in (self.fill, self.centre, self.scale))

        def one(row: Row) -> Sequence[float]:
            values = np.array([row[name] for name in inputs], dtype=np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                values = (np.where(np.isnan(values), fill, values) - centre) / scale
                sums: list[float] = finite(np.add.accumulate(matrix * values[:, None], axis=0)[-1] + 0.0).tolist()
            return sums

        return one
