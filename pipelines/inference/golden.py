"""Golden rows: raw rows with the features and predictions of the new model, for whoever serves it to compare."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.artifacts import canonical_json, write_atomic
from pipelines.errors import DeployError
from pipelines.inference.explain import origins
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.predictor import Predictor
from pipelines.inference.schema import request_rows

TOLERANCE = 1e-9
MAX_GOLDEN = 200
MAX_FEATURES = 20_000
"""Numbers of features that are kept: of all rows, or of the first ones of a wide table."""


def write_golden(model_dir: Path, examples: pd.DataFrame) -> None:
    """Write ``golden.json``: raw rows, their features and this model's predictions.

    Parameters
    ----------
    model_dir
        A complete model directory, not signed yet.
    examples
        Raw rows as received; the first ``MAX_GOLDEN`` are kept.

    Raises
    ------
    DeployError
        The batch predictions differ from the single ones.
    """
    predictor = ModelDirectory(model_dir, "").predictor
    part = examples.iloc[:MAX_GOLDEN]
    sent = [name for name in predictor.schema.key if name in part.columns and name not in predictor.requested]
    rows = request_rows(part, [*sent, *predictor.requested])
    predictions = [predictor.predict_rows([row])[0] for row in rows]
    batch, _ = predictor._frame_records(part)
    if predictions_difference(predictions, batch) > TOLERANCE:
        raise DeployError("batch and single predictions differ", where=str(model_dir), expected=f"within {TOLERANCE}")
    count = max(1, MAX_FEATURES // max(1, len(predictor.plan.features)))
    features = [_features(predictor, row) for row in rows[:count]]
    write_atomic(
        model_dir / "golden.json", canonical_json({"rows": rows, "features": features, "answers": predictions})
    )


def _features(predictor: Predictor, row: Mapping[str, Any]) -> list[float | None]:
    full = predictor.enrichment.apply_row(row) if predictor.enrichment else dict(row)
    vector = predictor.plan.transform_row(predictor.recipe.apply_row(full))
    return [value if math.isfinite(value) else None for value in vector.tolist()]


def parted_feature(
    predictor: Predictor, features: Sequence[float | None] | None = None, row: int = 0, first: int = MAX_GOLDEN
) -> str:
    """Return in words the first feature of a golden row that is not what it was when the model was made.

    Parameters
    ----------
    features
        Those of the row as a service computed them; default: as this predictor does, for the first row where any
        differs.
    row
        Number of the golden row, where features are given.
    first
        How many rows are looked at, where none are given.

    Returns
    -------
    str
        Feature, columns and steps; empty if all agree, or the model was made before features were kept.
    """
    kept = predictor.golden.get("features", [])
    if features is not None:
        pairs = [(features, kept[row])] if row < len(kept) else []
    else:
        sent = predictor.golden["rows"][:first]
        pairs = [(_features(predictor, each), held) for each, held in zip(sent, kept, strict=False)]
    made = origins(predictor.plan)
    for seen, due in pairs:
        for name, now, before in zip(predictor.plan.features, seen, due, strict=False):
            if _cells_differ(now, before):
                columns, steps = made[name]
                how = " then ".join(steps) or "taken as it is"
                named = ", ".join(map(repr, columns))
                return f"feature {name!r} of column {named} ({how}): {now!r}, expected {before!r}"
    return ""


def predictions_difference(left: Sequence[Mapping[str, Any]], right: Sequence[Mapping[str, Any]]) -> float:
    """Return the largest difference of predictions, relative above 1; infinite if shapes or labels differ."""
    if len(left) != len(right):
        return float("inf")
    return max((_difference(a, b) for a, b in zip(left, right, strict=True)), default=0.0)


def _difference(left: Any, right: Any) -> float:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        if left.keys() != right.keys():
            return float("inf")
        return max((_difference(left[key], right[key]) for key in left), default=0.0)
    if isinstance(left, list) and isinstance(right, list):
        return _difference(dict(enumerate(left)), dict(enumerate(right)))
    if isinstance(left, str) or isinstance(right, str):
        return 0.0 if left == right else float("inf")
    return abs(float(left) - float(right)) / max(1.0, abs(float(left)))


def first_difference(left: Mapping[str, Any], right: Mapping[str, Any]) -> str:
    """Return in words the first step of two explanations of one row that differs, and its column.

    Parameters
    ----------
    left, right
        As :func:`pipelines.inference.explain.explain_row` returns them: that of the service, and the right one.
    """
    for step, what in (("raw", "as sent"), ("added", "as looked up"), ("clean", "as read")):
        for name in {**right[step], **left[step]}:
            seen, due = left[step].get(name), right[step].get(name)
            if _cells_differ(seen, due):
                return f"column {name!r} {what}: {seen!r}, expected {due!r}"
    for served, own in zip(left["features"], right["features"], strict=False):
        if served["name"] != own["name"] or _cells_differ(served["value"], own["value"]):
            columns = ", ".join(map(repr, own["sources"]))
            steps = " then ".join(own["steps"]) or "taken as it is"
            return (
                f"feature {own['name']!r} of column {columns} ({steps}): {served['value']!r}, expected {own['value']!r}"
            )
    for served, own in zip(left["members"], right["members"], strict=False):
        if _difference(served["answer"], own["answer"]) > TOLERANCE:
            return f"member {own['place']} ({own['family']}): {served['answer']}, expected {own['answer']}"
    return "every step agrees: the rows were read otherwise in a batch"


def _cells_differ(left: Any, right: Any) -> bool:
    if isinstance(left, int | float) and isinstance(right, int | float):
        return not abs(left - right) <= TOLERANCE * max(1.0, abs(left))
    return bool(left != right)
