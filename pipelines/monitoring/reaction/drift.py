"""What follows an alert on drift: a probe, at most once a day; where it pays, the model's retraining is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from pipelines.ledger.reactions import BEGUN
from pipelines.monitoring.findings import Finding
from pipelines.monitoring.live_model import LiveModel
from pipelines.monitoring.reaction.probe import Probed, probe
from pipelines.monitoring.spec import MonitorSpec

KIND = "probe"
EVERY = timedelta(days=1)


def probed(spec: MonitorSpec, live: LiveModel, findings: Iterable[Finding], now: datetime) -> list[Finding]:
    """Add to an alert on drift what a probe of that day says.

    A probe whose process died is made up for while the window that it was about is the last one.
    """
    return [
        _told(finding, _probe(spec, live, now))
        if spec.probe
        and finding.kind == "drift"
        and (finding.state == "alert" or (finding.state == "unknown" and live.ledger.unfinished(live.name, KIND, now)))
        else finding
        for finding in findings
    ]


def _told(finding: Finding, found: Probed) -> Finding:
    advice = f"{found.text}. {finding.advice}" if found.text else finding.advice
    return finding.model_copy(update={"advice": advice, "retrain": found.outcome == "pays"})


def _probe(spec: MonitorSpec, live: LiveModel, now: datetime) -> Probed:
    version = live.champion.version
    row = live.ledger.react(live.name, KIND, outcome=BEGUN, text="", version=version, every=EVERY, moment=now)
    if row is None:
        last = live.ledger.reactions(live.name, KIND)[-1]
        return Probed(last.outcome, last.text)
    try:
        found = probe(spec, live, now)
    except Exception as error:  # noqa: BLE001 - the window is judged: whatever ails the probe, it is told
        found = Probed("failed", " ".join(f"No probe: {type(error).__name__}: {error}".split())[:300])
    live.ledger.reacted(row.id, found.outcome, found.text)
    return found
