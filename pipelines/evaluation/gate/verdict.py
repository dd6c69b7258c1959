"""What the gate decides about, and what it says."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from pipelines.evaluation.comparison.compare import Comparison


@dataclass(frozen=True)
class Candidate:
    """Tonight's model on the sealed rows.

    ``over_baseline`` compares it with the baseline, ``over_linear`` with a linear model of score ``linear``, where
    there is one. ``blocks`` are the declared limits that it breaks, each a sentence without its full stop.
    ``trained_until`` is the moment of its newest training row, if rows have one.
    """

    score: float
    baseline: float
    rows: int
    as_of: datetime
    over_baseline: Comparison | None = None
    blocks: tuple[str, ...] = ()
    trained_until: datetime | None = None
    rows_trained: int | None = None
    linear: float | None = None
    over_linear: Comparison | None = None
    baseline_is: str = "a constant prediction reaches"
    """What the baseline's score is, as the end of a sentence."""
    lost_classes: tuple[str, ...] = ()
    """Classes of sealed rows that it does not know and an earlier version does."""
    untested: tuple[str, ...] = ()
    """What a declared limit could not be tested on, and why."""


@dataclass(frozen=True)
class Rival:
    """A version judged on the same sealed rows: the live one, or the best that ever was.

    ``comparison`` is the candidate's improvement over it. ``unfit`` says why it could not be judged; then ``score`` is
    None.
    """

    version: int
    as_of: datetime | None
    score: float | None = None
    comparison: Comparison | None = None
    unfit: str = ""
    trained_until: datetime | None = None
    rows_trained: int | None = None


@dataclass(frozen=True)
class Verdict:
    """``verdict.json``: every number of the decision, and the decision in one sentence."""

    verdict: str
    sentence: str
    metric: str
    score: float
    baseline: float
    rows: int
    reasons: list[str] = field(default_factory=list)
    """Why it is kept; empty when it is promoted."""
    floor: float | None = None
    baseline_improvement: float | None = None
    baseline_lower_bound: float | None = None
    champion_version: int | None = None
    champion_score: float | None = None
    champion_unfit: str | None = None
    improvement: float | None = None
    lower_bound: float | None = None
    upper_bound: float | None = None
    confidence: float | None = None
    test: str | None = None
    """How the differences are bounded: delong, bootstrap (of rows), or a bootstrap of whole days or groups."""
    days: int | None = None
    """Days that were drawn again; None where it was something else."""
    groups: int | None = None
    """Entities that were drawn again; None where it was something else."""
    margin: float | None = None
    detectable: float | None = None
    """Smallest true difference to the champion (without one: to the baseline) that these rows show, at that
    confidence, four times in five; None where both predict these rows alike."""
    anchor_version: int | None = None
    anchor_score: float | None = None
    anchor_unfit: str | None = None
    anchor_improvement: float | None = None
    anchor_lower_bound: float | None = None
    anchor_margin: float | None = None
    trained_until: str | None = None
    rows_trained: int | None = None
    linear: float | None = None
    linear_improvement: float | None = None
    linear_lower_bound: float | None = None
    lost_classes: list[str] = field(default_factory=list)
    untested: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``verdict.json``."""
        return asdict(self)
