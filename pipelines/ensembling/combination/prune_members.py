"""Fewer members: those whose weight does not pay are dropped before anything is refitted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pipelines.algorithms.base import Array
from pipelines.ensembling.combination.selection import Choice
from pipelines.inference.ensemble.combine import combine_predictions
from pipelines.metrics import METRICS


def fewer_members(
    choice: Choice, predictions: list[Array], y: Array, w: Array, metric: str, max_loss: float
) -> tuple[Choice, list[dict[str, Any]]]:
    """Drop the member whose absence costs least, again and again, while all of it costs at most ``max_loss``.

    The remaining weights keep their proportions. Stacked log probabilities are left alone: what one of them says is
    part of the scale of the others.

    Parameters
    ----------
    max_loss
        Share of the out-of-fold error.
    """
    combine = choice.combine
    kept = [index for index, weight in enumerate(combine["weights"]) if weight != 0.0]
    if len(kept) < 2 or combine["kind"] == "stacking":
        return choice, []
    before = METRICS[metric].loss(y, combine_predictions(combine, predictions), w)
    limit = before + max_loss * abs(METRICS[metric].error(before))
    after, dropped = before, 0
    while len(kept) > 1:
        tries = []
        for index in kept:
            fewer = _without(combine, index)
            tries.append((METRICS[metric].loss(y, combine_predictions(fewer, predictions), w), index, fewer))
        loss, index, fewer = min(tries, key=lambda item: item[:2])
        if not loss <= limit:
            break
        combine, after, dropped = fewer, loss, dropped + 1
        kept.remove(index)
    if not dropped:
        return choice, []
    turn = -METRICS[metric].sign
    step = {
        "step": "members",
        "dropped": dropped,
        "left": len(kept),
        "score_before": turn * before,
        "score_after": turn * after,
    }
    moved = choice.oof + (combine_predictions(combine, predictions) - combine_predictions(choice.combine, predictions))
    if moved.ndim > 1:
        moved = np.clip(moved, 0.0, 1.0)
        moved = moved / moved.sum(axis=1, keepdims=True)
    return replace(choice, combine=combine, oof=moved), [step]


def _without(combine: dict[str, Any], index: int) -> dict[str, Any]:
    weights = np.array(combine["weights"])
    weights[index] = 0.0
    return {**combine, "weights": [float(weight) for weight in weights / weights.sum()]}
