"""Sample rows of an imported model with the predictions expected, and how far the model is from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.errors import DataError
from pipelines.exchange.contract import PREDICTIONS, Contract
from pipelines.exchange.tables import read_table_file
from pipelines.inference.recipe.cells import cell_text

MAX_ROWS = 100_000
MOST_SHOWN = 5


@dataclass(frozen=True)
class Samples:
    """Raw rows, n of them, and what the model predicts for each.

    Parameters
    ----------
    expected
        Columns as ``aimass predict`` writes them: ``prediction``, ``probability`` or ``probability_<class>``; (n, …).
    """

    rows: pd.DataFrame
    expected: pd.DataFrame


def read_samples(path: Path, contract: Contract) -> Samples:
    """Read CSV, Parquet, or JSON (a list of objects).

    Raises
    ------
    DataError
        It is no table, lacks a column, or has no predictions.
    """
    table = read_table_file(path, "the samples", MAX_ROWS)
    probabilities = [f"probability_{label}" for label in contract.classes if contract.task == "multiclass"]
    wanted = [name for name in (*PREDICTIONS, *probabilities) if name in table.columns]
    faults = [
        f"column {each.name!r} is missing"
        for each in contract.columns
        if each.name not in table.columns and not each.optional
    ]
    if not wanted:
        names = ["prediction"] if not contract.classes else ["prediction", "probability", "probability_<class>"]
        faults.append(f"no column holds what is expected: {', '.join(names)}")
    if faults:
        raise DataError(
            "the samples cannot be used",
            where=str(path),
            seen=", ".join(map(str, table.columns))[:300],
            expected="the columns of the schema, and the model's own predictions",
            cure="write them as `aimass predict` writes a batch",
            faults=faults,
        )
    return Samples(table.drop(columns=wanted), table[wanted])


def distance(predictions: Sequence[Mapping[str, Any]], samples: Samples, tolerance: float, where: str) -> float:
    """Return the largest difference between predictions and those expected, absolute or relative above 1.

    Parameters
    ----------
    predictions
        One per row, as :meth:`pipelines.inference.predictor.Predictor.predict_rows` gives them.

    Raises
    ------
    DataError
        One differs by more than ``tolerance``, or another label is predicted; names the first row and column, and the
        largest difference.
    """
    largest, count = 0.0, 0
    shown: list[str] = []
    for number, given in enumerate(predictions):
        row = samples.expected.iloc[number]
        worst = 0.0
        for name in samples.expected.columns:
            apart = _apart(_told(given, name), row[name])
            if not apart <= tolerance and len(shown) < MOST_SHOWN:
                shown.append(f"row {number}, {name}: {_told(given, name)!r}, expected {row[name]!r}")
            worst = max(worst, apart)
        count += not worst <= tolerance
        largest = max(largest, worst)
    if count:
        amount = "another label" if math.isinf(largest) else f"largest difference {largest:.3g}"
        raise DataError(
            f"{count} of {len(predictions)} predictions differ from the samples",
            where=where,
            seen=f"{shown[0]}; {amount}",
            expected=f"at most {tolerance:g} apart",
            cure="check the order of columns, levels and classes and `output.scores` in the schema; or say --tolerance",
            faults=shown,
        )
    return largest


def _told(given: Mapping[str, Any], name: str) -> Any:
    label = name.removeprefix("probability_")
    return given.get(name) if name in given or label == name else given.get("probabilities", {}).get(label)


def _apart(given: Any, expected: Any) -> float:
    if isinstance(given, str):
        return 0.0 if given == str(cell_text(_plain(expected))).strip() else math.inf
    try:
        wanted = float(expected)
    except (TypeError, ValueError):
        return math.inf
    if given is None or not math.isfinite(wanted):
        return math.inf
    return abs(float(given) - wanted) / max(1.0, abs(wanted))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
