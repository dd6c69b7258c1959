"""Alerts: fired once, resolved once; the ledger keeps them and writes their lines to the log file."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.ledger import Ledger
from pipelines.monitoring.findings import Finding


def settle(ledger: Ledger, findings: Iterable[Finding], calm_looks: int = 1) -> None:
    """Fire new alerts and resolve those that are over.

    The ledger holds one open alert per model and condition, so a condition that lasts fires once and is resolved once.

    Parameters
    ----------
    calm_looks
        Findings in a row that must be ``ok`` before an alert is resolved.
    """
    for finding in findings:
        if finding.state == "alert":
            ledger.alert(finding.model, finding.kind, finding.text, finding.key, finding.about or ())
        elif finding.state == "ok":
            ledger.resolve_alert(finding.model, finding.key, calm_looks)
