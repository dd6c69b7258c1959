"""Assets: what one DAG tells others of, in Airflow's own terms."""

from __future__ import annotations

from airflow.sdk import Asset, AssetAlias

VERSION_LIVE = Asset(name="aimass_version_live", uri="aimass://versions/live")
"""A night of any model has put its version into service; a night that keeps the live one says nothing."""
DRIFTED = AssetAlias(name="aimass_drifted")
"""What the monitor may tell of: events of the assets that :func:`drift_of` names."""


def drift_of(model: str) -> Asset:
    """Return the asset that has an event when a probe says that retraining the model pays."""
    return Asset(name=f"aimass_drift_{model}", uri=f"aimass://models/{model}/drift")
