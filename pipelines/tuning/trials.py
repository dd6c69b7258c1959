"""What passes between the search and its workers: a proposal and its result."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pipelines.algorithms.base import Params

ENDED_WELL = ("done", "pruned")


@dataclass(frozen=True)
class Proposal:
    """One trial to run.

    Attributes
    ----------
    first
        Whether it is its family's first: that one always ends with something.
    rival, rival_loss
        Fold losses of the best trial known, and its loss on all rows together; the loss of a trial that is
        given up is estimated from them.
    bars
        Mean loss of the folds done, for 1, 2, … folds, above which the trial is given up; empty: never.
    device
        cpu or gpu.
    origin
        Where the configuration comes from: warm (an earlier night), portfolio or search.
    """

    number: int
    family: str
    params: Params
    first: bool
    rival: tuple[float, ...] = ()
    rival_loss: float = 0.0
    bars: tuple[float, ...] = ()
    device: str = "cpu"
    origin: str = "search"


@dataclass(frozen=True)
class TrialResult:
    """Result of a trial: ``state`` is done, pruned, cut (out of time) or failed.

    ``seconds`` is the whole trial, ``fit_seconds`` one fold's fit; ``size`` the bytes of one fold's member, 0 when it
    was not asked for; ``needs`` the seconds that a trial would have taken which was cut as too slow, 0 if not known.
    """

    state: str
    loss: float = math.nan
    fold_losses: tuple[float, ...] = ()
    fit_seconds: float = 0.0
    seconds: float = 0.0
    error: str = ""
    learned: tuple[dict[str, float], ...] = field(default=())
    size: int = 0
    device: str = "cpu"
    needs: float = 0.0

    @property
    def counts(self) -> bool:
        """Whether its loss says something about its configuration."""
        return self.state in ENDED_WELL and math.isfinite(self.loss)


@dataclass(frozen=True)
class TrialOutcome:
    """One proposal and its result."""

    proposal: Proposal
    result: TrialResult
