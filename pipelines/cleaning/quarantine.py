"""The rows of one part that are held back, each with all its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SHOWN = 80
"""Characters of a value that a reason shows."""


class Held:
    """Collects the held rows of a raw part, with their reasons."""

    def __init__(self, raw: pa.Table) -> None:
        self.raw = raw
        self.mask: npt.NDArray[np.bool_] = np.zeros(raw.num_rows, dtype=bool)
        self.counts: dict[str, int] = {}
        self._texts: list[tuple[npt.NDArray[np.intp], list[str]]] = []

    def hold(self, rows: npt.NDArray[np.bool_], reason: str, columns: Sequence[str]) -> None:
        """Hold the marked rows; the reason shows their raw values in ``columns``."""
        if not rows.any():
            return
        indices = np.flatnonzero(rows)
        self.counts[reason] = self.counts.get(reason, 0) + len(indices)
        self.mask |= rows
        seen = {name: _shown(self.raw[name].take(pa.array(indices))) for name in columns}
        if len(columns) == 1:
            texts = [f"{reason}: {value!r:.{SHOWN}}" for value in seen[columns[0]]]
        elif columns:
            cells = zip(*seen.values(), strict=True)
            names = list(seen)
            texts = [
                f"{reason}: " + ", ".join(f"{name} {value!r:.{SHOWN}}" for name, value in zip(names, row, strict=True))
                for row in cells
            ]
        else:
            texts = [reason] * len(indices)
        self._texts.append((indices, texts))

    def table(self) -> pa.Table:
        """Return the held rows as they were received, with ``_reason``: all reasons of a row, in a fixed order."""
        reasons = np.full(self.raw.num_rows, None, dtype=object)
        for indices, texts in self._texts:
            for index, text in zip(indices.tolist(), texts, strict=True):  # held rows only
                reasons[index] = text if reasons[index] is None else f"{reasons[index]}; {text}"
        held = self.raw.filter(pa.array(self.mask))
        return held.append_column("_reason", pa.array(reasons[self.mask], pa.string()))

    def examples(self) -> list[str]:
        """Return up to five reasons in full."""
        return [text for _, texts in self._texts for text in texts[:2]][:5]


def _shown(cells: pa.ChunkedArray) -> list[Any]:
    """Return cells for a reason; moments as texts, because Python has none beyond the year 9999."""
    return list((cells.cast(pa.string()) if pa.types.is_timestamp(cells.type) else cells).to_pylist())
