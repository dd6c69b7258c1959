"""CatBoost's models in their own format, asked without its slow ways of reading rows."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SMALL_ROWS = 2_000
"""Rows up to which threads cost more than they save: they are still awake when the next member begins."""
FEW_ROWS = 32
"""Rows up to which CatBoost reads lists quicker than arrays: for those it starts threads."""
SHARED_CELLS = 1 << 17
"""Cells up to which what one member read is kept for the next."""


class CatBoostMember:
    """A CatBoost model, stored as cbm.

    Parameters
    ----------
    model
        ``catboost.CatBoost``, fitted on the numbers first and the codes behind them.
    numbers, codes
        Their indices among the columns.
    present
        The classes that it knows; empty for a regression.
    classes
        All classes, 0 for a regression.
    link
        "log" where the scores are logarithms of the predictions.
    """

    family: ClassVar[str] = "catboost"

    def __init__(
        self,
        model: Any,
        numbers: list[int],
        codes: list[int],
        present: list[int],
        classes: int,
        link: str | None = None,
    ) -> None:
        self.model, self.numbers, self.codes = model, numbers, codes
        self.present, self.classes, self.link = present, classes, link
        self._kind = "Probability" if classes else "Exponent" if link == "log" else "RawFormulaVal"

    def predict(self, X: Array) -> Array:
        """Predict; a row's prediction is the same alone and among others."""
        if not len(X):
            return np.empty((0,) if self.classes == 0 else (0, self.classes))
        threads = 1 if len(X) <= SMALL_ROWS else -1
        rows = _pool(X, self.numbers, self.codes, threads)
        y_pred = np.asarray(self.model.predict(rows, prediction_type=self._kind, thread_count=threads))
        if not self.classes or len(self.present) == self.classes:
            return y_pred.astype(np.float64)
        full = np.zeros((len(X), self.classes))
        full[:, self.present] = y_pred
        return full

    def save(self, folder: Path, stem: str) -> dict[str, Any]:
        """Write cbm, without the run's own name and hour, so that the same model is the same bytes."""
        path = folder / f"{stem}.cbm"
        for name in ("model_guid", "train_finish_time"):
            self.model.get_metadata()[name] = ""
        self.model.save_model(str(path), format="cbm")
        spec = {"family": self.family, "file": path.name, "classes": self.classes, "present": self.present}
        spec |= {"link": self.link} if self.link == "log" else {}
        return {**spec, "numbers": self.numbers, "codes": self.codes, "trees": int(self.model.tree_count_)}

    @classmethod
    def load(cls, folder: Path, spec: dict[str, Any]) -> CatBoostMember:
        """Read what ``save`` wrote."""
        from catboost import CatBoost  # type: ignore[import-untyped]  # it ships no types

        model = CatBoost()
        model.load_model(str(folder / spec["file"]), format="cbm")
        numbers, codes, present = (list(map(int, spec[name])) for name in ("numbers", "codes", "present"))
        return cls(model, numbers, codes, present, int(spec["classes"]), spec.get("link"))


def _pool(X: Array, numbers: list[int], codes: list[int], threads: int) -> Any:
    """Return rows (n, p) as CatBoost reads them, which takes longer than its trees do.

    Members that follow each other and read the same columns of the same rows share them.
    """
    from catboost import Pool

    key = (X.shape, X.tobytes(), numbers, codes) if X.size <= SHARED_CELLS else None
    known, pool = getattr(_last, "pool", (None, None))
    if key is not None and key == known:
        return pool
    if len(X) <= FEW_ROWS:
        with np.errstate(over="ignore"):
            figures = X[:, numbers].astype(np.float32).tolist()
        names = X[:, codes].astype(np.int64).tolist()
        cells = [own + others for own, others in zip(figures, names, strict=True)]
        behind = list(range(len(numbers), len(numbers) + len(codes)))
        pool = Pool(cells, cat_features=behind, thread_count=threads)
    else:
        pool = Pool(features(X, numbers, codes), thread_count=threads)
    if key is not None:
        _last.pool = key, pool
    return pool


_last = threading.local()
"""What the thread's last member read: key and pool."""


def features(X: Array, numbers: list[int], codes: list[int]) -> Any:
    """Return rows (n, p) in the one form that CatBoost reads without looking at each cell's type."""
    from catboost import FeaturesData

    with np.errstate(over="ignore"):
        figures = np.ascontiguousarray(X[:, numbers], dtype=np.float32)
    if not codes:
        return FeaturesData(num_feature_data=figures)
    cells = X[:, codes].astype(np.int64)
    low = int(cells.min(initial=0))
    names = np.array([str(code).encode() for code in range(low, int(cells.max(initial=0)) + 1)], dtype=object)
    return FeaturesData(num_feature_data=figures if numbers else None, cat_feature_data=names[cells - low])
