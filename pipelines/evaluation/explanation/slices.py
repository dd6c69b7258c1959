"""Scores by slice: where a model that is good on average is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.errors import SpecError
from pipelines.evaluation.comparison.block_bootstrap import Indices, Unit
from pipelines.evaluation.comparison.compare import compare
from pipelines.evaluation.gate.gate import margin_of
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.metrics import METRICS

Array = NDArray[np.float64]
MOST_VALUES = 20
"""Values that are slices by themselves; the others are taken together."""
FEW_ROWS = 5
"""Rows of a value without which it is not shown by itself where nobody asked for it."""
QUARTERS = 4


@dataclass(frozen=True)
class Slice:
    """Some rows: those where ``column`` has ``value``, a text for people."""

    column: str
    value: str
    mask: NDArray[np.bool_]


def slices_of(rows: pd.DataFrame, columns: Iterable[str], setting: str = "slices", least: int = 1) -> list[Slice]:
    """Cut rows by each column: every frequent value, quarters of a number, the missing and the rest by themselves.

    Parameters
    ----------
    setting
        Where the columns are declared, for the error.
    least
        Rows that a value must have to be a slice by itself.

    Raises
    ------
    SpecError
        Names every column that the rows do not have.
    """
    columns = list(columns)
    gone = [name for name in columns if name not in rows.columns]
    if gone:
        known = [str(name) for name in rows.columns if not str(name).startswith("_")]
        raise SpecError(
            f"{len(gone)} column{'s' if len(gone) > 1 else ''} to cut the sealed rows by cannot be found",
            where=f"EvaluateSpec.{setting}",
            seen=", ".join(gone),
            expected=f"columns of the cleaned rows: {', '.join(known[:30])}",
            cure="correct the name; a column named in ModelSpec.drop does not reach the sealed rows",
        )
    return [one for name in columns for one in _cut(name, rows[name], least)]


def _cut(column: str, values: pd.Series, least: int) -> Iterator[Slice]:
    missing = values.isna().to_numpy()
    if pd.api.types.is_datetime64_any_dtype(values):
        values = pd.Series(values.dt.strftime("%Y-%m"))
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > MOST_VALUES:
        numbers = values.to_numpy(np.float64)
        edges = np.unique(np.quantile(numbers[~missing], np.linspace(0, 1, QUARTERS + 1)))
        quarter = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, max(0, len(edges) - 2))
        for number in range(max(1, len(edges) - 1)):
            low, high = edges[number], edges[min(number + 1, len(edges) - 1)]
            yield Slice(column, f"{low:.6g} to {high:.6g}", (quarter == number) & ~missing)
    else:
        texts = values.astype(object).map(lambda value: f"{value:.6g}" if isinstance(value, float) else str(value))
        counts = texts[~missing].value_counts()
        many = counts.index[counts >= least]
        frequent = sorted(many, key=lambda text: (-counts[text], text))[:MOST_VALUES]
        for text in frequent:
            yield Slice(column, text, (texts == text).to_numpy() & ~missing)
        rest = ~texts.isin(frequent).to_numpy() & ~missing
        if rest.any():
            yield Slice(column, f"({len(counts) - len(frequent)} rarer)", rest)
    if missing.any():
        yield Slice(column, "(missing)", missing)


def slice_scores(
    metric: str,
    truth: Array,
    predictions: Mapping[str, Array],
    cut: Iterable[Slice],
    spec: EvaluateSpec,
    *,
    declared: bool,
    seed: int,
    days: Indices | None = None,
    unit: Unit = "days",
) -> list[dict[str, Any]]:
    """Score each slice; where slices are declared, each with what it is blocked for, if anything.

    A slice blocks below the floor, or where the champion was better by more than the margin and surely so: with as
    many slices as there are, each is tested at the confidence that keeps one false alarm among all of them as rare as
    that of a single test (Bonferroni). A slice of fewer than ``spec.slice_rows`` rows does not block. ``days`` and
    ``unit`` are as of :func:`pipelines.evaluation.comparison.compare.compare`.

    Returns
    -------
    list of dict
        ``column, value, rows, score, champion, improvement, lower, upper, binds, why``; None where not defined.
    """
    slices = list(cut)
    binding = sum(int(one.mask.sum()) >= spec.slice_rows for one in slices) if declared else 0
    confidence = 1.0 - (1.0 - spec.confidence) / max(1, binding)
    found = []
    for one in slices:
        rows = int(one.mask.sum())
        here = {name: y_pred[one.mask] for name, y_pred in predictions.items()}
        scores = {name: _score(metric, truth[one.mask], y_pred) for name, y_pred in here.items()}
        entry: dict[str, Any] = {
            "column": one.column,
            "value": one.value,
            "rows": rows,
            "score": scores["model"],
            "champion": scores.get("champion"),
            "improvement": None,
            "lower": None,
            "upper": None,
            "binds": declared and rows >= spec.slice_rows,
            "why": "",
        }
        if entry["binds"] and entry["score"] is not None:
            if entry["champion"] is not None:
                compared = compare(
                    metric,
                    truth[one.mask],
                    here["model"],
                    {"champion": here["champion"]},
                    confidence=confidence,
                    resamples=spec.bootstrap,
                    seed=seed,
                    test=spec.test,
                    days=None if days is None else days[one.mask],
                    unit=unit,
                )["champion"]
                if compared is not None:
                    entry |= {"improvement": compared.improvement, "lower": compared.lower, "upper": compared.upper}
            entry["why"] = _why(metric, entry, spec)
        found.append(entry)
    return found


def _score(metric: str, truth: Array, y_pred: Array) -> float | None:
    value = METRICS[metric].score(truth, y_pred, np.ones(len(truth))) if len(truth) else float("nan")
    return float(value) if np.isfinite(value) else None


def _why(metric: str, entry: Mapping[str, Any], spec: EvaluateSpec) -> str:
    where = f"where {entry['column']} is {entry['value']} ({entry['rows']} rows)"
    if spec.slice_floor is not None and METRICS[metric].sign * (entry["score"] - spec.slice_floor) < 0:
        return f"{metric} {entry['score']:.6g} {where} does not reach the floor {spec.slice_floor:.6g}"
    if entry["improvement"] is None:
        return ""
    declared = spec.margin if spec.slice_margin is None else spec.slice_margin
    margin = margin_of(declared, metric, entry["champion"])
    if entry["improvement"] < -margin and entry["upper"] < 0:
        return f"{where} it is worse than the champion by {-entry['improvement']:.4g}, more than {margin:.4g}"
    return ""
