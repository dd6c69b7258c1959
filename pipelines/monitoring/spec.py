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
    availability: float = Field(default=0.999, gt=0.5, lt=1)
    """Objective: share of requests that are served, over 30 days; an alert fires where errors use that up too fast."""
    min_requests: int = Field(default=50, ge=1)
    """Requests below which neither the error rate nor availability is judged."""
    max_age_days: float = Field(default=14.0, gt=0)
    """Days since the live version was made above which an alert fires."""
    max_unreadable: float = Field(default=0.05, ge=0, le=1)
    """Share of a column's sent cells that cannot be read, above which an alert fires; they are predicted as missing."""
    drift_window_hours: int = Field(default=24, ge=1)
    """Hours of the prediction log whose cells are looked at for unreadable ones."""
    lookback_days: int = Field(default=30, ge=1, le=366)
    """Days that a window of rows, or a label's prediction, may lie back."""
    quiet_days: float = Field(default=7.0, gt=0)
    """Days without enough rows for a window after which an alert says so, once."""
    psi_min_rows: int = Field(default=500, ge=500)
    """Logged rows that make a window, of all versions together; with fewer, stationary data cause alarms."""
    psi_max_rows: int = Field(default=20_000, ge=500)
    """Newest rows of a window that are compared."""
    psi_threshold: float = Field(default=0.1, gt=0)
    """Population stability index below which a column never counts as shifted, however sure the difference is."""
    psi_gross: float = Field(default=0.5, gt=0)
    """Index from which one window is enough, where it is beyond doubt; below it two of three windows must agree."""
    false_discovery_rate: float = Field(default=0.01, gt=0, le=0.2)
    """Expected share of false ones among the columns that a window calls shifted."""
    surge: float = Field(default=0.02, gt=0, le=1)
    """Share of missing or unseen cells beyond that of training, and at least twice it, from which a surge is told."""
    probe: bool = True
    """Whether an alert on drift is followed by a probe, once a day: a small booster is trained on recent labelled rows
    and compared with the live version. Where it pays, an asset event says so; a DAG with ``on_drift`` then runs."""
    leave_out: tuple[str, ...] = ()
    """Columns that are not compared: ``column`` in every model, ``model:column`` in one."""
    min_labels: int = Field(default=200, ge=50)
    """Labelled rows that make a window of realised performance."""
    max_loss: float | None = Field(default=None, gt=0)
    """Loss of realised or estimated performance, in the metric, above which an alert fires where it is sure; None:
    0.02 for metrics between 0 and 1 of which more is better, else 5 % of the score."""
    max_calibration_error: float = Field(default=0.05, gt=0, le=1)
    """Expected calibration error beyond what chance explains, above which an alert fires."""
    calm_looks: int = Field(default=3, ge=1)
    """Looks in a row that must find nothing before an alert is resolved; more where it comes and goes."""
    max_saturation: float = Field(default=0.8, gt=0, le=1)
    """Share of a core that a process of a service may use between two looks; it has one thread."""
    max_service_gb: float = Field(default=2.0, gt=0)
    """Memory, in GB, that a process of a service may hold."""
    max_open_versions: int = Field(default=4, ge=1)
    """Versions of a model that may be served at once: the live one, the one before, a candidate, one in passing."""
    max_failed_nights: int = Field(default=2, ge=1)
    """Nights that fail in a row from which an alert names the last good one."""
    max_stage_memory: float = Field(default=0.9, gt=0)
    """Share of the machine's memory that the processes of a stage may hold together."""
    max_queue_hours: float = Field(default=6.0, gt=0)
    """Hours that a task of Airflow may wait for its turn."""
    min_free_gb: float = Field(default=2.0, ge=0)
    """Free disk, in GB, below which an alert fires, where data and where backups lie."""
    min_free_share: float = Field(default=0.05, ge=0, lt=1)
    """Free share of the disk below which an alert fires."""
    named_columns: int = Field(default=5, ge=1)
    """Shifted columns named in the one alert of a model, the worst first."""
