"""Fast walks through decision trees by LightGBM's runtime: one row without its wrapper, many rows with it.

A booster's ``predict`` in Python costs about 0.1 ms before the first tree is looked at. Its single-row call, prepared
once and given the same buffer each time, costs a few microseconds.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SMALL_ROWS = 256
NORMAL, LEAF = 0, 2
"""What to give: answers, or the number of the leaf in each tree; numbers of LightGBM's C interface."""
_FLOAT64 = 1


class Walker:
    """Asks one booster for one kind of answer.

    Parameters
    ----------
    booster
        ``lightgbm.Booster``.
    width
        Numbers that one row's answer has.
    kind
        ``NORMAL`` or ``LEAF``.
    """

    def __init__(self, booster: Any, width: int, kind: int = NORMAL) -> None:
        self.booster, self.width, self.kind = booster, width, kind
        self._local = threading.local()  # the prepared call is not to be used by two threads at once

    def walk(self, X: Array) -> Array:
        """Give (n, width) answers of the rows ``X`` (n, p); a row's answer is the same alone and among others."""
        if len(X) == 1:
            call = getattr(self._local, "call", None)
            if call is None:
                call = self._local.call = _Call(self.booster, X.shape[1], self.width, self.kind)
            return call(X)
        # Starting threads costs more than it saves for few rows.
        threads = 1 if len(X) <= SMALL_ROWS else 0
        out = self.booster.predict(X, num_threads=threads, pred_leaf=self.kind == LEAF)
        return np.asarray(out, dtype=np.float64).reshape(len(X), self.width)


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
                booster._handle, ctypes.c_int(kind), ctypes.c_int(0), ctypes.c_int(-1), ctypes.c_int(_FLOAT64),
                ctypes.c_int32(columns), ctypes.c_char_p(b"num_threads=1"), ctypes.byref(self._config),
            )
        )  # fmt: skip
        self._arguments = (
            self._config, self._row.ctypes.data_as(ctypes.c_void_p), ctypes.byref(self._length),
            self._out.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
        )  # fmt: skip
        self._predict, self._check = _LIB.LGBM_BoosterPredictForMatSingleRowFast, _safe_call
        weakref.finalize(self, _LIB.LGBM_FastConfigFree, self._config)

    def __call__(self, X: Array) -> Array:
        self._row[:] = X[0]
        self._check(self._predict(*self._arguments))
        return self._out[None, :].copy()
