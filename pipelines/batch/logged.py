"""What the prediction log gets of a batch: a sample of its rows, so that the monitor sees what the model is asked.

Losing it never hurts the batch.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from pipelines.settings import Settings
from pipelines.storage import sender

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from pipelines.inference.predictor import Predictor

SAMPLE_ROWS = 10_000
"""Rows that are logged of one batch at most, drawn from all of it."""
SAMPLE_CELLS = 1_000_000
"""Their cells at most: fewer rows of a wide table."""
BATCH_ID = "batch-"
"""How the request ids of batches begin, one per part."""

log = logging.getLogger(__name__)


class BatchLog:
    """Logs a sample of the parts of one batch as the gateway logs requests.

    Parameters
    ----------
    rows
        Of the whole batch.
    seed
        The same batch gives the same sample, also when it goes on after a kill.
    """

    def __init__(self, settings: Settings, predictor: Predictor, version: int, rows: int, seed: int) -> None:
        self.settings, self.predictor, self.version = settings, predictor, version
        most = min(SAMPLE_ROWS, SAMPLE_CELLS // (len(predictor.requested) + 1))
        self.share = min(1.0, most / max(rows, 1))
        self.seed = seed

    def add(self, first: int, raw: pd.DataFrame, predictions: pd.DataFrame, began: float) -> None:
        """Log a sample of one part.

        Parameters
        ----------
        first
            Number of its first row within the batch.
        raw, predictions
            Its rows as they came, and what was predicted.
        began
            When predicting began, of ``time.perf_counter``.
        """
        try:
            self._add(first, raw, predictions, (time.perf_counter() - began) * 1000)
        except Exception as error:  # noqa: BLE001  # the predictions are what was asked for
            log.warning("a part of this batch is not in the prediction log: %s", error)

    def _add(self, first: int, raw: pd.DataFrame, predictions: pd.DataFrame, ms: float) -> None:
        import numpy as np

        from pipelines.gateway.prediction_log import Answered, prediction_log
        from pipelines.inference.schema import json_cell
        from pipelines.private_columns import hashing_key, masked

        chosen = np.flatnonzero(np.random.default_rng([self.seed, first]).random(len(raw)) < self.share)
        if not len(chosen):
            return
        cells: dict[str, Any] = {str(name): [json_cell(cell) for cell in raw[name].iloc[chosen]] for name in raw}
        for name in self.predictor.requested:
            cells.setdefault(name, [None] * len(chosen))
        schema = self.predictor.schema
        if schema.private:
            cells = dict(masked(cells, schema.private, hashing_key(self.settings)))
        outputs = outputs_of(self.predictor, predictions, chosen)
        identity, now = f"{BATCH_ID}{token_hex(12)}", datetime.now(UTC)
        entry = Answered(identity, now, schema.model, self.version, 200, ms, len(chosen), cells, outputs)
        writer = prediction_log(self.settings.storage, sent=sender(self.settings))
        if not writer.add(entry):
            log.warning("a part of this batch is too large for the prediction log")
        writer.flush()


def outputs_of(predictor: Predictor, predictions: pd.DataFrame, chosen: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return predictions of some rows as a service returns them, by column.

    Parameters
    ----------
    predictions
        As :meth:`Predictor.predict_frame <pipelines.inference.predictor.Predictor.predict_frame>` returns them.
    """
    taken = predictions.iloc[chosen]
    if "prediction" not in taken:
        return {"components": taken.to_numpy().tolist()}
    predicted = taken["prediction"].tolist()
    if "probability" in taken:
        return {"prediction": predicted, "probability": taken["probability"].tolist()}
    if not predictor.classes:
        return {"prediction": predicted}
    probabilities = {label: taken[f"probability_{label}"].tolist() for label in predictor.labels}
    best = [probabilities[label][row] for row, label in enumerate(predicted)]
    return {"prediction": predicted, "probability": best, "probabilities": probabilities}
