"""Thresholds of the monitor."""

from __future__ import annotations

from pydantic import Field

from pipelines.spec import Spec


class MonitorSpec(Spec):
    """When the monitor raises an alert."""

    probe_seconds: float = Field(default=5.0, gt=0, le=60)
    """Seconds that a readiness response may take."""
    error_window_minutes: int = Field(default=60, ge=1)
    """Minutes of the prediction log that the error rate is taken over."""
    max_error_rate: float = Field(default=0.02, ge=0, le=1)
    """Share of requests with status 5xx above which an alert fires; 4xx are the callers' errors."""
    min_requests: int = Field(default=50, ge=1)
    """Requests below which the error rate is not judged."""
    max_age_days: float = Field(default=14.0, gt=0)
    """Days since the live version was made above which an alert fires."""
    max_unreadable: float = Field(default=0.05, ge=0, le=1)
    """Share of a column's sent cells that cannot be read, above which an alert fires; they are predicted as missing."""
    drift_window_hours: int = Field(default=24, ge=1)
    """Hours of the prediction log that the inputs are taken from."""
    psi_min_rows: int = Field(default=500, ge=500)
    """Logged rows below which drift says "insufficient data"; with fewer than 500, stationary data cause alarms."""
    psi_max_rows: int = Field(default=20_000, ge=500)
    """Newest logged rows that are compared; bounds memory."""
    psi_threshold: float = Field(default=0.2, gt=0)
    """Population stability index of a column above which it counts as shifted."""
    named_columns: int = Field(default=5, ge=1)
    """Shifted columns named in the one alert of a model, the worst first."""
