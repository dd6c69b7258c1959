"""Realised performance and calibration, in windows by labelled rows: labels that come a day late are normal."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import hypot, isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.metrics import METRICS
from pipelines.metrics.expected import calibration_excess, expected_score
from pipelines.monitoring.drift.verdict import verdict
from pipelines.monitoring.findings import Finding
from pipelines.monitoring.live_model import LiveModel
from pipelines.monitoring.performance.estimated import WHOLE
from pipelines.monitoring.performance.labels import Labelled, joined, new_labels, truth
from pipelines.monitoring.performance.logged import Logged, logged
from pipelines.monitoring.performance.loss import accepted, loss_of, resampled_scores, shown
from pipelines.monitoring.spec import MonitorSpec
from pipelines.storage import bring_logs

Array = npt.NDArray[np.float64]
KIND = "labels"
SURE = 4.0
ADVICE = {
    "realised": "The model is worse than when it was judged: `aimass why NAME` and the drift of its inputs tell more; "
    "`aimass rollback` goes back to a version before",
    "calibration": "Its probabilities are no longer the shares that come true: retrain, or declare a calibration in "
    "the ensemble's spec; do not read them as risks meanwhile",
}


def realised(spec: MonitorSpec, live: LiveModel, now: datetime) -> list[Finding]:
    """Join the labels that came since the last window, and judge them once they are enough."""
    metric, task = live.champion.metric, live.opened.schema.task
    past = live.ledger.windows(live.name, KIND, 3)
    oldest = now - timedelta(days=spec.lookback_days)
    start = max([oldest, *(window.ended_at for window in past)])
    logs = bring_logs(live.settings, live.name, oldest, now)
    labels = new_labels(logs, live.name, start, now)
    if metric is None or task not in ("binary", "multiclass", "regression") or not len(labels):
        return []
    found = None
    if len(labels) >= spec.min_labels:
        found = joined(logs, live.name, labels, oldest, now)
    rows = len(labels) if found is None else len(found.predicted)
    if found is None or rows < spec.min_labels:
        text = f"insufficient data: {rows} labelled rows since {start:%Y-%m-%d %H:%M}, {spec.min_labels} make a window"
        text += "" if found is None else f"; {found.unmatched} labels belong to no logged prediction"
        return [Finding(model=live.name, kind="realised", state="unknown", message=text)]
    predictions, whole = logged(found.predicted, task, live.labels)
    y_true, readable = truth(found.rows["label"][whole], live.labels)
    values = predictions.values[readable]
    own = Logged(values, predictions.predicted[readable] if task != "regression" else predictions.predicted)
    y_true = y_true[readable]
    if len(y_true) < spec.min_labels:
        text = f"{len(readable) - len(y_true)} of {len(readable)} labels cannot be read, such as "
        text += repr(str(found.rows["label"][whole][~readable].iloc[0]))
        return [Finding(model=live.name, kind="realised", state="alert", message=text)]
    figures = _figures(spec, live, metric, own, y_true, found)
    mine = found.rows["version"].to_numpy()[whole][readable] == live.champion.version
    figures |= _of_live(spec, metric, own.judged_by(metric)[mine], y_true[mine])
    columns = {WHOLE: figures}
    kinds = ("realised", "calibration")
    counted = verdict(columns, [window.figures for window in past], kinds)
    window = {"version": live.champion.version, "metric": metric, "columns": columns, "verdict": counted}
    live.ledger.add_window(
        live.name,
        KIND,
        started_at=labels["at"].min().to_pydatetime(),
        ended_at=labels["at"].max().to_pydatetime(),
        rows=len(y_true),
        figures=window,
    )
    return [
        _finding(live.name, kind, metric, figures, len(y_true), bool(counted[kind]))
        for kind in kinds
        if kind in figures
    ]


def _figures(
    spec: MonitorSpec, live: LiveModel, metric: str, own: Logged, y_true: Array, found: Labelled
) -> dict[str, Any]:
    """Return the realised score with its error, what it was, the estimate for the same rows, and the calibration."""
    used = own.judged_by(metric)
    score = METRICS[metric].score(y_true, used, np.ones(len(y_true)))
    error = _error(metric, y_true, used)
    then = _then(live, metric, found)
    limit = accepted(metric, then, spec.max_loss)
    loss = loss_of(metric, score, then)
    figures: dict[str, Any] = {
        "realised": score if isfinite(score) else None,
        "error": error if isfinite(error) else None,
        "then": then,
        "limit": limit,
        "shows": shown("realised", loss, limit, error),
    }
    if own.values.ndim == 1:
        return figures
    estimated, own_error = expected_score(metric, own.values, used)
    if isfinite(estimated):
        figures |= {"estimated": estimated, "difference": score - estimated, "estimate_error": hypot(own_error, error)}
    hit = y_true == 1 if own.values.shape[1] == 2 else y_true == own.predicted
    seen, chance, spread = calibration_excess(hit.astype(np.float64), own.confidence)
    figures |= {"calibration": seen, "calibration_chance": chance, "calibration_limit": spec.max_calibration_error}
    if seen - chance > spec.max_calibration_error and seen > chance + SURE * spread:
        figures["shows"]["calibration"] = seen - chance > 3 * spec.max_calibration_error
    return figures


def _of_live(spec: MonitorSpec, metric: str, used: Array, y_true: Array) -> dict[str, Any]:
    """Return the score of the rows that the live version itself predicted, where they are enough."""
    if len(y_true) < spec.min_labels:
        return {}
    score, error = METRICS[metric].score(y_true, used, np.ones(len(y_true))), _error(metric, y_true, used)
    return {"live": {"rows": len(y_true), "score": score, "error": error}} if isfinite(score + error) else {}


def _error(metric: str, y_true: Array, used: Array) -> float:
    """Return the standard error of a score, by resampling blocks of consecutive rows."""
    scores = resampled_scores(metric, y_true, used)
    given = scores[np.isfinite(scores)]
    return float(given.std()) if len(given) > 1 else float("nan")


def _then(live: LiveModel, metric: str, found: Labelled) -> float:
    """Return what the versions that made these predictions scored on sealed rows, each by its share of the rows."""
    scores = {row.version: row.score for row in live.ledger.versions(live.name) if row.metric == metric}
    known = found.rows["version"].map(scores).dropna().astype(float)
    return float(known.mean()) if len(known) else float(live.champion.score or 0.0)


def _finding(model: str, kind: Any, metric: str, figures: dict[str, Any], rows: int, alert: bool) -> Finding:
    if kind == "calibration":
        value = figures["calibration"]
        message = (
            f"calibration error {value:.3f} over {rows} labelled rows; chance alone makes "
            f"{figures['calibration_chance']:.3f} (accepted: {figures['calibration_limit']:g} more)"
        )
    else:
        value = figures["realised"]
        seen = "not defined" if value is None else f"{value:.4g} ± {2 * (figures['error'] or 0):.2g}"
        message = f"realised {metric} {seen} over {rows} labelled rows; {figures['then']:.4g} on sealed rows "
        message += f"(accepted loss {figures['limit']:.2g})"
        if "difference" in figures:
            message += f"; estimated without labels {figures['estimated']:.4g}, off by {figures['difference']:+.2g}"
    state: Any = "alert" if alert else "ok"
    return Finding(
        model=model, kind=kind, state=state, message=message, value=value, advice=ADVICE[kind] if alert else ""
    )
