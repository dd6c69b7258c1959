"""How fast failed requests use up what the objective of availability allows, over a long and a short window.

The windows and factors are those of Google's *Site Reliability Workbook*, chapter 5: the long one says that much is
lost, the short one that it still goes on, so that an alert ends soon after its cause.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd

from pipelines.monitoring.findings import Finding
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.traffic import Traffic

WINDOWS = ((timedelta(hours=1), timedelta(minutes=5), 14.4), (timedelta(hours=6), timedelta(minutes=30), 6.0))
"""Long window, short window, and the burn rate from which both must be: 2 and 5 % of what 30 days allow are gone."""
FEWEST_FAILED = 3
"""Failed requests in the long window: one alone tells nothing, however few there were."""
BUDGET_DAYS = 30
ADVICE = "`aimass status`, `aimass logs`; where a release did it, `aimass rollback`"


def availability(spec: MonitorSpec, model: str, traffic: Traffic, now: datetime) -> Finding:
    """Return whether the objective's budget burns too fast; 4xx are the callers' errors and count as served."""
    longest = max(long for long, _, _ in WINDOWS)
    failed = (traffic.since(now - longest).drop_duplicates("request_id").set_index("at")["status"] >= 500).sort_index()
    if len(failed) < spec.min_requests:
        message = f"insufficient data: {len(failed)} requests in {_span(longest)}, {spec.min_requests} are needed"
        return Finding(model=model, kind="availability", state="unknown", message=message)
    allowed = 1 - spec.availability
    for long, short, factor in WINDOWS:
        lately, now_on = failed[failed.index >= now - long], failed[failed.index >= now - short]
        burnt, burning = _share(lately) / allowed, _share(now_on) / allowed
        if len(lately) >= spec.min_requests and lately.sum() >= FEWEST_FAILED and min(burnt, burning) >= factor:
            return Finding(
                model=model,
                kind="availability",
                state="alert",
                message=f"{1 - _share(lately):.2%} of {len(lately)} requests were served in {_span(long)}: "
                f"{burnt:.0f} times as many failed as {spec.availability:.2%} allow, {burning:.0f} times in the last "
                f"{_span(short)}; so the errors of {BUDGET_DAYS} days are used up in {BUDGET_DAYS / burnt:.1f}",
                value=1 - _share(lately),
                advice=ADVICE,
            )
    return Finding(
        model=model,
        kind="availability",
        state="ok",
        message=f"{1 - _share(failed):.2%} of {len(failed)} requests were served in {_span(longest)} "
        f"(objective {spec.availability:.2%})",
        value=1 - _share(failed),
    )


def _share(failed: pd.Series) -> float:
    return float(failed.mean()) if len(failed) else 0.0


def _span(window: timedelta) -> str:
    minutes = int(window.total_seconds() // 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"
