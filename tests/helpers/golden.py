"""Tell whether a loaded version still predicts its golden rows as it did when it was made."""

from __future__ import annotations

from pipelines.inference.golden import predictions_difference
from pipelines.inference.predictor import Predictor


def golden_difference(predictor: Predictor) -> float:
    """Predict the golden rows again, singly and in batch; return the largest difference from the stored predictions."""
    rows, stored = predictor.golden["rows"], predictor.golden["answers"]
    assert rows
    singly = [predictor.predict_rows([row])[0] for row in rows]
    return max(predictions_difference(singly, stored), predictions_difference(predictor.predict_rows(rows), stored))
