"""What ``report.json`` tells: who is in the model, what it scores honestly, what it costs, and what was left out."""

from __future__ import annotations

from typing import Any

from pipelines.algorithms.training_data import Columns
from pipelines.ensembling.build import Built
from pipelines.ensembling.pareto import described
from pipelines.metrics import METRICS


def honest_loss(built: Built, columns: Columns) -> float:
    """Return the loss, on rows that it was not learned on, of what is served: combined, calibrated and compressed.

    Ranks are taken before the calibration, which keeps them: predictions of several folds, each corrected its own way,
    would not be ranked fairly together. What trees and digits cost is known on a part of the rows, see ``compress``.
    """
    metric, held = columns.shape.metric, columns.held_out
    if not columns.shape.outputs:  # without a target: the best trial, as the search judged it
        return min(built.choice.losses.values())
    calibrated = built.calibration is not None and METRICS[metric].sees != "order"
    y_pred = built.calibration.oof if calibrated and built.calibration is not None else built.choice.oof
    return METRICS[metric].loss(columns.y[held], y_pred, columns.w[held]) + built.shrunk_loss


def describe(built: Built, columns: Columns) -> dict[str, Any]:
    """Return the content of ``report.json``: who is in the model, honest out-of-fold scores, the front, compression."""
    turn = -METRICS[columns.shape.metric].sign
    members = [
        {
            "number": c.number if c.made is None else None,
            "name": c.name,
            "family": c.family,
            "weight": weight,
            "score": turn * c.loss,
            "reads": list(node.inputs),
            "parts": len(node.parts),
            "device": c.device,
        }
        for (c, node), weight in zip(built.members, built.combine["weights"], strict=True)
    ]
    calibration = built.calibration
    return {
        "kind": built.combine["kind"],
        "metric": columns.shape.metric,
        "weights": built.combine["weights"],
        "members": members,
        "oof_score": turn * honest_loss(built, columns),
        "score": {name: turn * loss for name, loss in built.choice.losses.items()},
        "left_out": built.left_out,
        "pareto": described(built.choice.points, built.choice.point, turn),
        "certificate": built.certificate,
        "calibration": None if calibration is None else {"kind": calibration.kind, "log_loss": calibration.losses},
    }
