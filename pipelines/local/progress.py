"""Follows the stages of a night, on the platform or in process."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.ledger import Ledger

STATES = {"running": "running", "done": "success", "failed": "failed"}


@dataclass(frozen=True)
class Transition:
    """A change of a stage's state."""

    stage: str
    state: str
    """queued, running, success, failed, up_for_retry, skipped, upstream_failed …"""
    seconds: float | None = None
    rows: int | None = None
    reused: bool = False
    try_number: int = 1


class LedgerProgress:
    """Reports each change of the ledger's stages once."""

    def __init__(self, ledger: Ledger, model: str, night: str) -> None:
        self.ledger = ledger
        self.model = model
        self.night = night
        self._seen: dict[str, tuple[str, int]] = {}

    def changes(self) -> list[Transition]:
        """Return what changed since the last call."""
        found = []
        for row in self.ledger.stages(self.model, self.night):
            before = self._seen.get(row.stage)
            now = (row.state, row.attempt)
            if before == now:
                continue
            self._seen[row.stage] = now
            if row.state != "running" and (before is None or before[1] != row.attempt):
                found.append(Transition(row.stage, "running", try_number=row.attempt))
            seconds = None if row.seconds is None else float(row.seconds)
            found.append(
                Transition(row.stage, STATES[row.state], seconds, row.rows, bool(row.reused), int(row.attempt))
            )
        return found
