"""Alerts: fired once, resolved once, in the ledger and as lines of a log file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime

from pipelines.ledger import Ledger
from pipelines.monitoring.findings import Finding
from pipelines.settings import Settings, make_private

FILE = "alerts.log"


def settle(settings: Settings, ledger: Ledger, findings: Iterable[Finding], now: datetime) -> list[str]:
    """Fire what is new, resolve what is over, and give the lines written to the log file.

    The ledger holds one open alert per model and condition, so a condition that lasts fires once and is resolved once.
    """
    lines = []
    for finding in findings:
        if finding.state == "alert" and ledger.alert(finding.model, finding.kind, finding.message, finding.key):
            lines.append(_line("firing", finding, now))
        elif finding.state == "ok" and ledger.resolve_alert(finding.model, finding.key):
            lines.append(_line("resolved", finding, now))
    if lines:
        descriptor = os.open(make_private(settings.logs) / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, "".join(lines).encode())
        finally:
            os.close(descriptor)
    return lines


def _line(state: str, finding: Finding, now: datetime) -> str:
    fields = {"at": now.astimezone(UTC).isoformat(), "state": state, **finding.model_dump(), "key": finding.key}
    fields["state"] = state
    return json.dumps(fields, ensure_ascii=False) + "\n"
