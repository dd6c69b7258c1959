"""The numbers that rows are chosen by: hashes of texts, and logarithms of exponential clocks as integers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.row_hash import key_hash

Numbers = npt.NDArray[np.float64]


def log_clocks(hashes: npt.NDArray[np.uint64]) -> Numbers:
    """Return ln(-ln(1 - u)) of u = (the hash's first 52 bits + 1/2) / 2^52, growing with the hash."""
    return np.asarray(np.log(-np.log1p(-((hashes >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)))


def ordered(values: Numbers) -> npt.NDArray[np.uint64]:
    """Return integers in the same order as the floats: their bits, inverted for negative values."""
    bits = np.ascontiguousarray(values, np.float64).view(np.uint64)
    top = np.uint64(1 << 63)
    return np.asarray(np.where(bits & top, ~bits, bits | top))


def unordered(numbers: npt.NDArray[np.uint64]) -> Numbers:
    """Undo ``ordered``."""
    top = np.uint64(1 << 63)
    return np.asarray(np.where(numbers & top, numbers ^ top, ~numbers).view(np.float64))


def row_hash(columns: Sequence[pa.Array], seed: int) -> npt.NDArray[np.uint64]:
    """Hash the texts of several columns together, shape (n,)."""
    whole = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        kind = column.type
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            column = pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())
        elif not pa.types.is_dictionary(kind):
            column = pc.cast(column, pa.large_string())
        whole *= np.uint64(0x9E3779B185EBCA87)
        whole ^= key_hash(column, seed)
    return whole
