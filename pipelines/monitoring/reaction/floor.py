"""The floor of a live version: where its night's ``DeploySpec`` declares one, a version below it is rolled back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import sqrt
from typing import Any

from pipelines.ledger import Ledger
from pipelines.ledger.reactions import BEGUN
from pipelines.ledger.rows import VersionRow
from pipelines.metrics import METRICS
from pipelines.monitoring.findings import Finding
from pipelines.monitoring.performance.estimated import WHOLE
from pipelines.monitoring.performance.loss import SURE
from pipelines.monitoring.performance.realised import KIND as LABELS
from pipelines.monitoring.reaction.roll_back import ACTOR, roll_back
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.traffic import Traffic
from pipelines.settings import Settings

KIND = "floor"
NIGHTS = 100
"""Newest nights that are searched for a declared floor."""


def floor(
    settings: Settings, spec: MonitorSpec, ledger: Ledger, champion: VersionRow, traffic: Traffic, now: datetime
) -> list[Finding]:
    """Tell whether the live version is below its floor; if so, the version before is made live, once per version."""
    declared = declared_floors(ledger, champion.model)
    if all(limit is None for limit in declared.values()):
        return []
    seen = [*_score(declared, ledger, champion), *_errors(declared, spec, champion, traffic, now)]
    version = f"version {champion.version}"
    if not seen:
        message = f"insufficient data: too few requests or labels of {version}"
        return [Finding(model=champion.model, kind="floor", state="unknown", message=message)]
    broken = [text for below, text in seen if below]
    if not broken:
        message = f"{version}: {'; '.join(text for _, text in seen)}"
        return [Finding(model=champion.model, kind="floor", state="ok", message=message)]
    why = f"{version} is below its floor: {'; '.join(broken)}"
    return [
        Finding(
            model=champion.model,
            kind="floor",
            state="alert",
            message=f"{why}; {_back(settings, ledger, champion, why)}",
            about=(version,),
            advice="`aimass show NAME` tells what is live; `aimass promote` makes a version live again",
        )
    ]


def declared_floors(ledger: Ledger, model: str) -> dict[str, float | None]:
    """Return ``floor_score`` and ``floor_errors`` as the newest night with a release declares them."""
    for night in reversed(ledger.nights(model)[-NIGHTS:]):
        for row in ledger.stages(model, night.night):
            if row.stage in ("deploy", "install") and row.spec:
                return {name: row.spec.get(name) for name in ("floor_score", "floor_errors")}
    return {}


def _score(declared: Mapping[str, float | None], ledger: Ledger, champion: VersionRow) -> list[tuple[bool, str]]:
    """Compare the newest window of labels with the floor: the rows that the live version itself predicted."""
    limit, metric = declared.get("floor_score"), champion.metric
    windows = [window.figures for window in ledger.windows(champion.model, LABELS, 1)]
    if limit is None or metric is None or not windows or windows[-1]["version"] != champion.version:
        return []
    own: dict[str, Any] | None = windows[-1]["columns"][WHOLE].get("live")
    if own is None:
        return []
    below = METRICS[metric].sign * (limit - own["score"]) > SURE * own["error"]
    return [(below, f"realised {metric} {own['score']:.4g} over {own['rows']} labelled rows, floor {limit:g}")]


def _errors(
    declared: Mapping[str, float | None], spec: MonitorSpec, champion: VersionRow, traffic: Traffic, now: datetime
) -> list[tuple[bool, str]]:
    limit = declared.get("floor_errors")
    rows = traffic.since(now - timedelta(minutes=spec.error_window_minutes))
    rows = rows[rows["version"] == champion.version].drop_duplicates("request_id")
    if limit is None or len(rows) < spec.min_requests:
        return []
    rate = float((rows["status"] >= 500).mean())
    below = rate - limit > SURE * sqrt(max(rate * (1 - rate), 1 / len(rows)) / len(rows))
    return [(below, f"{rate:.1%} of {len(rows)} requests failed, floor {limit:.1%}")]


def _back(settings: Settings, ledger: Ledger, champion: VersionRow, why: str) -> str:
    """Go back to the version before, unless that was tried for this one; return what was done."""
    live = ledger.route(champion.model)
    if live != champion.version:  # a night or a person was faster than this look
        return f"nothing is done, version {live} is live by now"
    row = ledger.react(champion.model, KIND, outcome=BEGUN, text="", version=champion.version)
    if row is None:
        done = next(each for each in ledger.reactions(champion.model, KIND) if each.version == champion.version)
        text = done.text or f"a rollback was {done.outcome} and has not ended"
        return f"nothing more is done, on {done.at:%Y-%m-%d %H:%M} {text}"
    to = version_before(ledger, champion)
    if to is None:
        outcome, text = "stays", "it stays live, for no other version was live before that is not below its own floor"
    else:
        failed = roll_back(settings, champion.model, to, why)
        outcome = "failed" if failed else "rolled back"
        text = f"the rollback to version {to} failed: {failed}" if failed else f"version {to} is live again"
    ledger.reacted(row.id, outcome, text)
    return text


def version_before(ledger: Ledger, champion: VersionRow) -> int | None:
    """Return the version that was live last and neither was left by a rollback nor fell below its floor."""
    switches = ledger.history(champion.model)
    left = {each.from_version for each in switches if each.actor.startswith(ACTOR.partition(":")[0])}
    left |= {each.version for each in ledger.reactions(champion.model, KIND)}
    known = {row.version for row in ledger.versions(champion.model)} - left - {champion.version}
    return next((each.from_version for each in reversed(switches) if each.from_version in known), None)
