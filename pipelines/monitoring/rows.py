"""The checks of what was sent and predicted: one pass over the rows for all of them."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from pipelines.monitoring import checks
from pipelines.monitoring.drift.window import Inputs, judged, new_rows, predictions_effect, waiting
from pipelines.monitoring.findings import Finding
from pipelines.monitoring.live_model import LiveModel
from pipelines.monitoring.performance.estimated import estimate
from pipelines.monitoring.seen import Flags, look
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.traffic import Traffic


def look_at_rows(spec: MonitorSpec, live: LiveModel, traffic: Traffic, now: datetime) -> list[Finding]:
    """Look at the rows that no window has yet, and at the newest ones for cells that cannot be read."""
    model = live.name
    try:
        inputs, broken = Inputs.of(spec, live), None
    except checks.BROKEN as error:
        inputs, broken = Inputs({}, "", []), checks.not_made(model, "drift", error)
    asked = traffic.answered
    fresh = new_rows(traffic, inputs, spec.psi_max_rows)
    recent = asked[asked["at"] >= now - timedelta(hours=spec.drift_window_hours)].tail(spec.psi_max_rows)
    chosen = asked.loc[fresh.index.union(recent.index)]
    seen = look(live, traffic, chosen, inputs.bins)
    findings = [checks.cells_readable(spec, model, seen, _inside(seen.rows, recent))]
    if broken is not None:
        return [*findings, broken]
    inside = _inside(seen.rows, fresh)
    rows = int(inside.sum())
    if not live.reference:
        text = "the night left no training reference"
        return [*findings, Finding(model=model, kind="drift", state="unknown", message=text)]
    if rows >= spec.psi_min_rows:
        text = f"{rows} rows make a window"
        of_window = judged(spec, live, inputs, seen, inside)
        return [
            *findings,
            *of_window,
            *checks.guarded(model, "estimate", lambda: estimate(spec, live, seen, predictions_effect(live))),
            Finding(model=model, kind="traffic", state="ok", message=text, value=float(rows)),
        ]
    return [*findings, *waiting(spec, live, inputs, rows, inputs.ended_at or _first_live(live), now)]


def _inside(seen: pd.DataFrame, rows: pd.DataFrame) -> Flags:
    return np.asarray(seen.index.isin(rows.index))


def _first_live(live: LiveModel) -> datetime:
    switches = live.ledger.history(live.name)
    return switches[0].at if switches else live.champion.created_at
