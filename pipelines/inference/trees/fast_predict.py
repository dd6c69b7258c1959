"""Fast walks through decision trees: one row by LightGBM's runtime without its wrapper, many rows by look-up.

A booster's ``predict`` in Python costs about 0.1 ms before the first tree is evaluated. Its single-row call, prepared
once and given the same buffer each time, costs a few microseconds. Many rows are looked up in tables (``masks``) where
the trees are small, which gives the very same sums in a quarter of the time.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.inference.trees.bitset_lookup import Masks

Array = NDArray[np.float64]
SMALL_ROWS = 256
MASK_ROWS = 12
"""Fewest rows at a time that the tables pay for."""
TABLE_ROWS = 5_000
"""Rows, asked so many at a time, after which the tables are made: they take as long as walking some thousand rows."""
NORMAL, RAW, LEAF = 0, 1, 2
"""What to return: predictions, sums of leaves, or each tree's leaf; numbers of LightGBM's C interface."""
_FLOAT64 = 1


class Walker:
    """Calls one booster for one kind of output.

    Parameters
    ----------
    booster
        ``lightgbm.Booster``.
    width
        Numbers in the output of one row.
    kind
        ``NORMAL``, ``RAW`` or ``LEAF``.
    """

    def __init__(self, booster: Any, width: int, kind: int = NORMAL) -> None:
        self.booster, self.width, self.kind = booster, width, kind
        self._local = threading.local()  # the prepared call is not to be used by two threads at once
        self._lock = threading.Lock()
        self._masks: Masks | None = None
        self._asked = 0
        self._read = kind != RAW  # whether it is settled what the tables are

    def walk(self, X: Array) -> Array:
        """Return the outputs (n, width) of the rows ``X`` (n, p); a row's output is the same alone and among others."""
        if len(X) == 1:
            call = getattr(self._local, "call", None)
            if call is None:
                call = self._local.call = _Call(self.booster, X.shape[1], self.width, self.kind)
            return call(X)
        if len(X) >= MASK_ROWS and (masks := self._tables(len(X))) is not None:
            return masks.sums(X)
        # Starting threads costs more than it saves for few rows.
        threads = 1 if len(X) <= SMALL_ROWS else 0
        out = self.booster.predict(X, num_threads=threads, raw_score=self.kind == RAW, pred_leaf=self.kind == LEAF)
        return np.asarray(out, dtype=np.float64).reshape(len(X), self.width)

    def _tables(self, rows: int) -> Masks | None:
        """Return the tables; made once so many rows have been asked that they would have paid."""
        if not self._read:
            with self._lock:
                self._asked += rows
                if not self._read and self._asked >= TABLE_ROWS:
                    self._masks = Masks.of(self.booster)
                    self._read = True
        return self._masks


class _Call:
    """LightGBM's prepared single-row call with its buffers."""

    def __init__(self, booster: Any, columns: int, width: int, kind: int) -> None:
        from lightgbm.basic import _LIB, _safe_call

        self._booster = booster  # lives at least as long as what was prepared from it
        self._row, self._out = np.empty(columns), np.empty(width)
        self._length = ctypes.c_int64()
        self._config = ctypes.c_void_p()
        _safe_call(
            _LIB.LGBM_BoosterPredictForMatSingleRowFastInit(
                booster._handle,
                ctypes.c_int(kind),
                ctypes.c_int(0),
                ctypes.c_int(-1),
                ctypes.c_int(_FLOAT64),
                ctypes.c_int32(columns),
                ctypes.c_char_p(b"num_threads=1"),
                ctypes.byref(self._config),
            )
        )
        self._arguments = (
            self._config,
            self._row.ctypes.data_as(ctypes.c_void_p),
            ctypes.byref(self._length),
            self._out.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
        )
        self._predict, self._check = _LIB.LGBM_BoosterPredictForMatSingleRowFast, _safe_call
        weakref.finalize(self, _LIB.LGBM_FastConfigFree, self._config)

    def __call__(self, X: Array) -> Array:
        self._row[:] = X[0]
        self._check(self._predict(*self._arguments))
        return self._out[None, :].copy()
