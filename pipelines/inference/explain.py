"""One prediction, step by step: what was sent, how it was read, the features, each member, their combination."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DeployError
from pipelines.inference.ensemble.calibration import calibrated
from pipelines.inference.ensemble.combine import combine_predictions, scores_of
from pipelines.inference.members.combination_nodes import BOOSTED, EnsembleNode
from pipelines.inference.plan.feature_plan import FeaturePlan
from pipelines.inference.predictor import Predictor
from pipelines.inference.schema import json_cell

Array = NDArray[np.float64]


def explain_row(predictor: Predictor, row: Mapping[str, Any]) -> dict[str, Any]:
    """Predict one request row with the functions that predict it in service, and keep the result of each.

    Parameters
    ----------
    row
        As a caller sends it: a JSON object with the columns of the serve schema; others are ignored.

    Returns
    -------
    dict
        JSON values, in the order of the steps:
        ``raw`` {column: cell}; ``ignored`` columns; ``added`` {column: value}: what serving looks up and computes;
        ``clean`` {column: value}; ``unreadable`` columns, taken as missing;
        ``features`` [{name, kind, value, sources, steps}]: ``sources`` are the clean columns behind it, ``steps`` the
        kinds of the operations on the way;
        ``members`` [{place, family, kind, weight, reads, answer, parts}]: see :class:`EnsembleNode`, ``answer`` number,
        {class: probability} or [coordinate], ``parts`` the predictions inside a bag, or a boosted one's corrections;
        ``combination`` {kind, formula, answer}; ``calibration`` None or {kind, answer}; ``threshold`` None or as in
        ``model.json``; ``answer`` as :meth:`Predictor.predict_rows` gives it.

    Raises
    ------
    DataError
        The row lacks a needed column.
    DeployError
        The steps do not reproduce the prediction, to the last bit.
    """
    served = predictor.predict_rows([row])[0]
    full = predictor.enrichment.apply_row(row) if predictor.enrichment else dict(row)
    clean, unreadable = predictor.recipe.read_row(full)
    vector = predictor.plan.transform_row(predictor.recipe.apply_row(full))
    matrix, ensemble, classes = vector[None, :], predictor.ensemble, predictor.labels
    predictions = ensemble.node_predictions(matrix)
    combined = combine_predictions(ensemble.combine, predictions)
    final = calibrated(ensemble.calibration, combined)
    if not np.array_equal(final, ensemble.predict(matrix)) or predictor.predict_rows([row])[0] != served:
        raise DeployError(
            "the steps do not reproduce the prediction", where=predictor.facts["model"], cure="report it with the row"
        )
    requested = set(predictor.requested)
    calibration = ensemble.calibration
    return {
        "raw": {name: json_cell(row.get(name)) for name in predictor.requested},
        "ignored": [name for name in row if name not in requested],
        "added": {name: _json(full[name]) for name in predictor.enrichment.added},
        "clean": {name: _json(value) for name, value in clean.items()},
        "unreadable": unreadable,
        "features": _features(predictor.plan, vector),
        "members": _members(predictor, matrix, predictions),
        "combination": {
            "kind": ensemble.combine["kind"],
            "formula": formula(ensemble.combine, classes),
            "answer": _named(combined, classes),
        },
        "calibration": calibration and {"kind": calibration["kind"], "answer": _named(final, classes)},
        "threshold": predictor.facts.get("threshold"),
        "answer": served,
    }


def formula(combine: Mapping[str, Any], classes: Sequence[str]) -> str:
    """Return in words how the members' predictions are combined; a member without weight is only read by others.

    >>> formula({"kind": "average", "weights": [0.5, 0.0, 0.5]}, [])
    '0.5 × member 0 + 0.5 × member 2'
    """
    used = [(index, weight) for index, weight in enumerate(combine["weights"]) if weight != 0.0]
    if combine["kind"] == "hard_vote":
        votes = ", ".join(f"member {index} {weight!r}" for index, weight in used)
        return f"each votes for its most probable class, with the weight: {votes}"
    if combine["kind"] != "stacking":
        if [weight for _, weight in used] == [1.0]:
            return f"member {used[0][0]}"
        return " + ".join(f"{weight!r} × member {index}" for index, weight in used)
    if not classes:
        return " + ".join([f"{combine['intercept']!r}", *(f"{weight!r} × member {index}" for index, weight in used)])
    terms = " + ".join(f"{weight!r} × log member {index}" for index, weight in used)
    return f"softmax of {combine['intercept']!r} + {terms}"


def origins(plan: FeaturePlan) -> dict[str, tuple[list[str], list[str]]]:
    """Return for each feature the clean columns it is made of and the kinds of the operations on the way, in order."""
    known: dict[str, tuple[dict[str, None], dict[str, None]]] = {name: ({name: None}, {}) for name in plan.sources}
    for operation in plan.operations:
        sources: dict[str, None] = {}
        steps: dict[str, None] = {}
        for name in operation.inputs:
            sources |= known[name][0]
            steps |= known[name][1]
        for output in operation.outputs:
            known[output.name] = (sources, {**steps, operation.kind: None})
    return {name: (list(known[name][0]), list(known[name][1])) for name in plan.features}


def _features(plan: FeaturePlan, vector: Array) -> list[dict[str, Any]]:
    made = origins(plan)
    return [
        {
            "name": described["name"],
            "kind": described["kind"],
            "value": _json(value),
            "sources": made[described["name"]][0],
            "steps": made[described["name"]][1],
        }
        for described, value in zip(plan.describe(), vector.tolist(), strict=True)
    ]


def _members(predictor: Predictor, matrix: Array, predictions: Sequence[Array]) -> list[dict[str, Any]]:
    ensemble, classes = predictor.ensemble, predictor.labels
    weights = ensemble.combine["weights"]
    found = []
    for index, (node, y_pred) in enumerate(zip(ensemble.nodes, predictions, strict=True)):
        parts = _parts(node, matrix, predictions)
        inside = [] if node.kind == BOOSTED else classes
        found.append(
            {
                "place": index,
                "family": node.family,
                "kind": node.kind,
                "weight": weights[index],
                "reads": list(node.inputs),
                "answer": _named(y_pred, classes),
                "parts": [_named(part, inside) for part in parts],
            }
        )
    return found


def _parts(node: EnsembleNode, matrix: Array, predictions: Sequence[Array]) -> list[Array]:
    if node.kind == "member":
        return []
    X = np.concatenate([matrix, *(scores_of(predictions[index]) for index in node.reads)], axis=1)
    return [part.predict(X) for part in node.parts]


def _named(y_pred: Array, classes: Sequence[str]) -> Any:
    """Return the prediction of one row as a number, by class, or as the list of its coordinates."""
    values = y_pred[0].tolist() if y_pred.ndim > 1 else float(y_pred[0])
    return dict(zip(classes, values, strict=True)) if isinstance(values, list) and classes else values


def _json(value: Any) -> Any:
    """Return a clean value as JSON; what is missing as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return json_cell(value)
