"""The limits of a spec that a version may break however well it scores, and what is measured for them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.evaluation.spec import EvaluateSpec
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.predictor import Predictor

CALLS = 300
WARM = 20
MOST_SECONDS = 2.0
"""A model that is so slow is timed on fewer calls."""


def row_milliseconds(predictor: Predictor) -> tuple[float, float]:
    """Return the median and the 99th percentile of the milliseconds that one raw row takes in process."""
    rows = predictor.golden["rows"] or [predictor.schema.example]
    taken: list[float] = []
    for call in range(WARM + CALLS):
        row = rows[call % len(rows)]
        started = time.perf_counter()
        predictor.predict_rows([row])
        taken.append(time.perf_counter() - started)
        if call > WARM and sum(taken) > MOST_SECONDS:
            break
    half, most = np.quantile(taken[WARM:], [0.5, 0.99]) * 1e3
    return float(half), float(most)


def size_of(folder: Path) -> int:
    """Return the bytes of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measured(
    spec: EvaluateSpec, opened: ModelDirectory, scores: Mapping[str, float | None]
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return what the limits bind, and the times of one row, which are part of the verdict only where a limit is."""
    half, most = row_milliseconds(opened.predictor)
    found: dict[str, Any] = {"model_bytes": size_of(opened.path)}
    if spec.max_row_ms is not None:
        found["row_ms"] = half
    if "calibration_error" in scores:
        found["calibration_error"] = scores["calibration_error"]
    return found, {"row_ms": half, "row_ms_p99": most}


def declared(spec: EvaluateSpec, values: Mapping[str, Any]) -> dict[str, tuple[float | None, float | None]]:
    """Return, by limit, the measured and the declared value."""
    found: dict[str, tuple[float | None, float | None]] = {
        "megabytes": (values["model_bytes"] / 1e6, spec.max_megabytes)
    }
    if "row_ms" in values:
        found["milliseconds_of_a_row"] = (values["row_ms"], spec.max_row_ms)
    if "calibration_error" in values:
        found["calibration_error"] = (values["calibration_error"], spec.max_calibration_error)
    return found


def broken(spec: EvaluateSpec, values: Mapping[str, Any]) -> list[str]:
    """Say which limits are broken.

    Parameters
    ----------
    values
        ``model_bytes``; ``row_ms`` where it was measured; ``calibration_error`` of a classifier.
    """
    found = []
    size, took, off = values["model_bytes"] / 1e6, values.get("row_ms"), values.get("calibration_error")
    if spec.max_megabytes is not None and size > spec.max_megabytes:
        found.append(f"the model directory has {size:.3g} MB, more than {spec.max_megabytes:g}")
    if spec.max_row_ms is not None and took is not None and took > spec.max_row_ms:
        found.append(f"one row takes {took:.3g} ms, more than {spec.max_row_ms:g}")
    if spec.max_calibration_error is not None and off is not None and off > spec.max_calibration_error:
        found.append(f"the calibration error is {off:.3g}, more than {spec.max_calibration_error:g}")
    return found
