"""Models that answer no caller until somebody resumes them: an open alert for each, which says who, when and why."""

from __future__ import annotations

from sqlalchemy import and_, select

from pipelines.ledger.alerts import AlertsPart
from pipelines.ledger.schema import alerts

PAUSED = "model-paused"
"""Kind and key of the alert."""


class PausesPart(AlertsPart):
    """Which models are paused."""

    def pause(self, model: str, actor: str, why: str) -> bool:
        """Let a model answer no caller; tell whether it did until now."""
        return model not in self.paused() and self.alert(model, PAUSED, f"paused by {actor}: {why}", PAUSED)

    def resume(self, model: str, actor: str, why: str) -> bool:
        """Let a paused model answer again; its alert keeps who resumed it and why. Tell whether it was paused."""
        said = self.paused().get(model)
        if said is None:
            return False
        self.alert(model, PAUSED, f"{said}; resumed by {actor}: {why}", PAUSED, about=["resumed"])
        return self.resolve_alert(model, PAUSED)

    def paused(self) -> dict[str, str]:
        """Return who paused each paused model, and why."""
        query = select(alerts.c.model, alerts.c.message)
        with self.engine.connect() as connection:
            found = connection.execute(query.where(and_(alerts.c.key == PAUSED, alerts.c.resolved_at.is_(None))))
            return {row.model: row.message for row in found if row.model}
