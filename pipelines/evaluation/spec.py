"""When a new version is good enough."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.spec import Spec

Positive = Annotated[float, Field(gt=0)]


class EvaluateSpec(Spec):
    """The gate: how much worse than the champion a newer model may be, how sure of it we want to be, what else binds.

    A limit that is None does not bind.
    """

    margin: Annotated[float, Field(ge=0)] | None = None
    """Largest loss accepted, in the metric; None: 0.01 for metrics between 0 and 1 of which more is better, else 2 %
    of the champion's score."""
    floor: float | None = None
    """Score, in the metric, that a model must reach to be promoted; None: the baseline alone."""
    anchor_margin: Annotated[float, Field(ge=0)] | None = None
    """Largest loss against the best version that was ever live, so that many small losses do not add up; None: the
    margin."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence of each one-sided bound of a difference."""
    test: Literal["auto", "bootstrap", "delong"] = "auto"
    """How differences are bounded: by resampling the sealed rows, or DeLong's formula (roc_auc alone). Unless it is
    delong, dated rows of at least 8 days are resampled by whole days, and rows sealed by group, of at least 8 groups,
    by whole groups: such rows are alike."""
    bootstrap: Annotated[int, Field(ge=100, le=20_000)] = 1_000
    """Resamples of the sealed rows, or of their days or groups."""
    slices: tuple[str, ...] = ()
    """Columns whose values (numbers: quarters) must each not get worse; empty: some are reported, none binds."""
    slice_margin: Annotated[float, Field(ge=0)] | None = None
    """Largest loss accepted in a slice, where the loss is also sure; None: the margin."""
    slice_floor: float | None = None
    """Score that every declared slice must reach."""
    slice_rows: Annotated[int, Field(ge=10)] = 100
    """A slice with fewer sealed rows is reported and does not bind; the verdict names it as not tested."""
    fairness: tuple[str, ...] = ()
    """Columns of groups of people: their rates are compared group by group."""
    fairness_floor: Annotated[float, Field(ge=0, le=1)] | None = None
    """Least ratio of the lowest to the highest rate of the groups; 0.8 is the four-fifths rule."""
    max_row_ms: Positive | None = None
    """Longest median time of one row in process, from the raw row to the prediction, in milliseconds."""
    max_megabytes: Positive | None = None
    """Largest model directory, in MB of 10^6 bytes."""
    max_calibration_error: Positive | None = None
    """Largest expected calibration error (classes)."""
    ceiling: float | None = None
    """Score, in the metric, that is too good to be believed: such a version is kept out of service."""
    leaks_allowed: tuple[str, ...] = ()
    """Columns that may carry a nearly perfect score alone: they are known before the target is."""
    least_rows: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Trained on a smaller share of the champion's training rows, a model must be better than it, not just as good."""
    plots: bool = True
    """Draw the curves."""
    explain_rows: Annotated[int, Field(ge=0, le=20_000)] = 1_000
    """Sealed rows that importances and the learning curve are measured on, at most; 0: neither is made."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if (self.slice_margin is not None or self.slice_floor is not None) and not self.slices:
            raise ValueError("'slice_margin' and 'slice_floor' need 'slices', the columns that they bind")
        if self.fairness_floor is not None and not self.fairness:
            raise ValueError("'fairness_floor' needs 'fairness', the columns of the groups")
        return self
