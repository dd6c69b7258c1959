"""The project's own tables: the source of truth on what is live and why."""

from pipelines.ledger.deleting import DeletingPart
from pipelines.ledger.nights import NightsPart, SupersededError
from pipelines.ledger.pauses import PausesPart
from pipelines.ledger.rollouts import RolloutsPart
from pipelines.ledger.serving import ServingPart
from pipelines.ledger.versions import VersionsPart
from pipelines.ledger.windows import WindowsPart

__all__ = ["Ledger", "SupersededError"]


class Ledger(NightsPart, VersionsPart, ServingPart, RolloutsPart, WindowsPart, PausesPart, DeletingPart):
    """Nights, stages, versions, what was deleted, serving state, its history, rollouts, windows, tokens, alerts."""
