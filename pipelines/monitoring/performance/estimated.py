"""Performance estimated from the probabilities of a window, without labels."""

from __future__ import annotations

from collections.abc import Mapping
from math import hypot, isfinite, sqrt
from typing import Any

from pipelines.inference.schema import ServeSchema
from pipelines.metrics import METRICS
from pipelines.metrics.expected import expected_score
from pipelines.monitoring.drift.verdict import verdict
from pipelines.monitoring.findings import Finding
from pipelines.monitoring.live_model import LiveModel
from pipelines.monitoring.performance.logged import logged
from pipelines.monitoring.performance.loss import accepted, loss_of, shown
from pipelines.monitoring.seen import Seen
from pipelines.monitoring.spec import MonitorSpec

KIND = "estimate"
WHOLE = "(model)"
"""The one column of these windows."""
ADVICE = (
    "Labels would tell for sure: send them to /v1/feedback. If the inputs drifted as well, the next night learns from "
    "the new data; `aimass rollback` goes back to a version before"
)


def estimate(spec: MonitorSpec, live: LiveModel, seen: Seen, effect: float) -> list[Finding]:
    """Estimate the score of the live version's logged predictions, keep it, and compare it with that of sealed rows.

    Parameters
    ----------
    effect
        The design effect of its predictions: how many rows say as much as one.
    """
    schema: ServeSchema = live.opened.schema
    metric = live.champion.metric
    entry: Mapping[str, Any] = live.expected
    if metric is None or live.champion.score is None or schema.task not in ("binary", "multiclass"):
        return []
    predictions, _ = logged(seen.predicted, schema.task, live.labels)
    if len(predictions.values) < spec.psi_min_rows:
        return []
    now, error = expected_score(metric, predictions.values, predictions.judged_by(metric))
    if not isfinite(now):
        return []
    error *= sqrt(effect)
    realised = float(entry.get("realised", live.champion.score))
    then, then_error = float(entry.get("estimated", realised)), float(entry.get("error", 0.0))
    loss, limit = loss_of(metric, now, then), accepted(metric, realised, spec.max_loss)
    figures: dict[str, Any] = {
        "estimated": now + realised - then,
        "error": hypot(error, then_error),
        "then": realised,
        "loss": loss,
        "shows": shown(KIND, loss, limit, hypot(error, then_error)),
    }
    past = [window.figures for window in live.ledger.windows(live.name, KIND, 3)]
    columns = {WHOLE: figures}
    found = verdict(columns, past, (KIND,))
    window = {"version": live.champion.version, "metric": metric, "columns": columns, "verdict": found}
    live.ledger.add_window(
        live.name,
        KIND,
        started_at=seen.rows["at"].min().to_pydatetime(),
        ended_at=seen.rows["at"].max().to_pydatetime(),
        rows=len(predictions.values),
        figures=window,
    )
    sign = "at least" if METRICS[metric].greater_is_better else "at most"
    bound = realised - METRICS[metric].sign * limit
    message = (
        f"estimated {metric} {figures['estimated']:.4g} ± {2 * figures['error']:.2g} over {len(predictions.values)} "
        f"predictions without labels; {realised:.4g} on sealed rows (accepted: {sign} {bound:.4g})"
    )
    alert = bool(found[KIND])
    return [
        Finding(
            model=live.name,
            kind=KIND,
            state="alert" if alert else "ok",
            message=message,
            value=figures["estimated"],
            advice=ADVICE if alert else "",
        )
    ]
