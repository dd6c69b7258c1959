"""The same resampled rows scored for several models at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipelines.metrics import METRICS
from pipelines.metrics.blocks import CELLS

Array = NDArray[np.float64]


def resampled_scores(
    metric: str, truth: Array, predictions: Mapping[str, Array], *, resamples: int, seed: int
) -> dict[str, Array]:
    """Resample rows with replacement and score every model on the same ones; (resamples,) per model, NaN if undefined.

    Parameters
    ----------
    truth
        (n,) values or class indices.
    predictions
        (n,) or (n, classes) by name.
    """
    rng = np.random.default_rng(seed)
    rows = len(truth)
    step = max(1, CELLS // max(1, rows))
    models = {name: METRICS[metric].resampled(truth, y_pred) for name, y_pred in predictions.items()}
    found: dict[str, list[Array]] = {name: [] for name in predictions}
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = rng.multinomial(rows, np.full(rows, 1.0 / rows), size=count).astype(np.float64)
        for name, model in models.items():
            found[name].append(model.score(drawn))
    return {name: np.concatenate(parts) for name, parts in found.items()}
