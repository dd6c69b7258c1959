"""Starts the processes of the next stages early: they import their modules while earlier stages run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Self

from aimass_airflow.stage_process import StageProcess
from pipelines import stages

AHEAD = 4
"""Most waiting processes; each holds its stage's imports, 100 to 300 MB."""
LONG = timedelta(hours=1)
"""Beside a stage that may take longer, only the next one waits: the memory is for the search."""


class Ahead:
    """Starts the processes of a chain's next stages before their turn. Use it as a context.

    Each stage still has a process of its own, which ends with it.

    Parameters
    ----------
    chain
        Names of the stages, in the order in which they run.
    """

    def __init__(self, chain: Sequence[str]) -> None:
        self._coming = list(chain)
        self._waiting: dict[str, StageProcess] = {}

    def __enter__(self) -> Self:
        self._start(AHEAD)
        return self

    def __exit__(self, *_: object) -> None:
        self._coming = []
        while self._waiting:
            self._waiting.popitem()[1].dismiss()

    def take(self, stage: str) -> StageProcess | None:
        """Return the process that waits for a stage, if one does, and start those of the next ones."""
        if stage in self._coming:
            self._coming = self._coming[self._coming.index(stage) + 1 :]
        found = self._waiting.pop(stage, None)
        self._start(1 if stages.get(stage).timeout > LONG else AHEAD)
        return found if found is not None and found.waits else None

    def _start(self, count: int) -> None:
        for stage in [*self._waiting]:
            if stage not in self._coming[:count]:  # passed over, or one too many
                self._waiting.pop(stage).dismiss()
        for stage in self._coming[:count]:
            if stage not in self._waiting:
                self._waiting[stage] = StageProcess(stage)
