"""Assets: what one DAG tells others of, in Airflow's own terms."""

from __future__ import annotations

from airflow.sdk import Asset

VERSION_LIVE = Asset(name="aimass_version_live", uri="aimass://versions/live")
"""A night of any model has put its version into service; a night that keeps the live one says nothing."""
