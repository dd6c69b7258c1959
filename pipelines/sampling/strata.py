"""Numbers the combinations of values in some columns; the same texts get the same number in every batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import SpecError

MAX_STRATA = 100_000
DENSE = 1 << 22
"""Combinations within one batch up to which a dense table is used instead of sorting."""
MISSING = "(missing)"
Codes = npt.NDArray[np.uint32]


class Strata:
    """Assigns to every row the number of its stratum, from 1; 0 is for sealed rows.

    Values are compared as stripped text; nulls are one value.
    """

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.columns = columns
        self._texts: list[dict[str, int]] = [{} for _ in columns]
        self._numbers: dict[tuple[int, ...], int] = {}

    def names(self) -> list[str]:
        """Return the texts of every stratum; the first, that of sealed rows, is ``sealed``."""
        texts = [list(values) for values in self._texts]
        found = [" | ".join(texts[index][code] for index, code in enumerate(codes)) for codes in self._numbers]
        return ["sealed", *found]

    def numbers(self, arrays: list[pa.Array], rows: int) -> Codes:
        """Return the stratum of every row, shape (rows,); ``arrays`` are the columns, in order."""
        combined, spans, global_codes = np.zeros(rows, np.int64), [], []
        for index, array in enumerate(arrays):
            codes, values = self._coded(array, index)
            combined *= len(values)
            combined += codes
            spans.append(len(values))
            global_codes.append(values)
        size = int(np.prod(spans, dtype=np.float64)) if spans else 1
        if size <= DENSE:
            present = np.flatnonzero(np.bincount(combined, minlength=1)) if rows else np.empty(0, np.int64)
            table = np.zeros(size, np.uint32)
            table[present] = self._known(present, spans, global_codes)
            return np.asarray(table[combined])
        present, inverse = np.unique(combined, return_inverse=True)
        return np.asarray(self._known(present, spans, global_codes)[inverse])

    def _coded(self, array: pa.Array, index: int) -> tuple[npt.NDArray[np.int64], list[int]]:
        """Return codes within the batch, and the global code of each."""
        kind = array.type
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            raise SpecError(
                "rows cannot be put into strata by a column that holds no single values",
                where="SampleSpec.by",
                seen=f"{self.columns[index]!r} of type {kind}",
                expected="a column of texts, numbers, dates or truth values",
                cure="leave the column out of 'by'",
            )
        encoded = array if pa.types.is_dictionary(kind) else array.dictionary_encode()
        values = encoded.dictionary
        texts = values if pa.types.is_string(values.type) else values.cast(pa.string())
        known = self._texts[index]
        found = [known.setdefault(text, len(known)) for text in _named(texts)]
        codes = encoded.indices
        if codes.null_count:
            codes = codes.fill_null(len(found)) if len(found) < 127 else codes.cast(pa.int64()).fill_null(len(found))
            found.append(known.setdefault(MISSING, len(known)))
        return codes.to_numpy(zero_copy_only=False).astype(np.int64), found

    def _known(self, present: npt.NDArray[np.int64], spans: list[int], codes: list[list[int]]) -> Codes:
        numbers = np.empty(len(present), np.uint32)
        for row, code in enumerate(present.tolist()):
            parts: list[int] = []
            for span, values in zip(reversed(spans), reversed(codes), strict=True):
                parts.append(values[code % span])
                code //= span
            numbers[row] = self._numbers.setdefault(tuple(reversed(parts)), len(self._numbers) + 1)
        if len(self._numbers) > MAX_STRATA:
            raise SpecError(
                "too many strata",
                where="SampleSpec.by",
                seen=f"more than {MAX_STRATA:,} combinations of {', '.join(map(repr, self.columns))}",
                expected="columns with few values",
                cure="leave columns of ids and numbers out of 'by', or give them to 'by_volume'",
            )
        return numbers


def _named(texts: Any) -> list[str]:
    trimmed: list[str | None] = pc.utf8_trim(texts, " ").to_pylist()
    return [MISSING if text is None else text for text in trimmed]
