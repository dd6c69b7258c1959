"""CatBoost's models in their own format, asked without its slow ways of reading rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SMALL_ROWS = 2_000
"""Rows up to which threads cost more than they save: they are still awake when the next member begins."""


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
        if len(X) == 1:
            with np.errstate(over="ignore"):
                numbers = X[0, self.numbers].astype(np.float32).tolist()
            rows: Any = [numbers + X[0, self.codes].astype(np.int64).tolist()]
        else:
            rows = features(X, self.numbers, self.codes)
        threads = 1 if len(X) <= SMALL_ROWS else -1
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
