"""Nights of one model follow each other, however they are started: through Airflow, as a backfill, or in process.

A night of the platform waits, without a slot, until the other one has ended. One in process (``--local``) is refused,
with the name of the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from airflow.sdk.exceptions import AirflowRescheduleException

from pipelines.errors import AimassError
from pipelines.locks import try_lock, wait_for_lock

if TYPE_CHECKING:
    from pipelines.artifacts import Night
    from pipelines.ledger import Ledger
    from pipelines.ledger.rows import NightRow
    from pipelines.settings import Settings

AGAIN = timedelta(minutes=1)
"""After so long a night that waits looks again."""
ACTIVE = ("queued", "running")


def lock_of(settings: Settings, model: str) -> Path:
    """Return the file that the process of a night in process holds locked."""
    return settings.run_dir / f"night-{model}.lock"


@contextmanager
def alone(settings: Settings, model: str) -> Iterator[None]:
    """Hold the model for a night in process.

    Raises
    ------
    AimassError
        Another night of the model runs; it is named.
    """
    from pipelines.ledger import Ledger

    held = try_lock(lock_of(settings, model))
    with Ledger.open(settings) as ledger:
        known = [row for row in ledger.nights(model) if row.state == "running"]
    if held is None:
        names = [row.night for row in known if row.source == "local"]
        raise _refused(model, names[-1] if names else "one that has just begun in another process")
    with held:
        for row in known:
            if row.source != "local" and _runs_on_platform(settings, row):
                raise _refused(model, row.night)
        yield


@contextmanager
def turn(settings: Settings, ledger: Ledger, night: Night, context: Any) -> Iterator[None]:
    """Hold what lets no other night begin meanwhile; a night of the platform waits for the one that runs.

    Raises
    ------
    AirflowRescheduleException
        Another night of the model runs.
    """
    with wait_for_lock(settings.run_dir / "nights.lock"):
        other = _other(settings, ledger, night, context) if night.platform else None
        if other is not None:
            from logging import getLogger

            getLogger(__name__).warning(
                "night %s of %s runs: this one, %s, begins when it has ended", other.night, other.model, night.night
            )
            raise AirflowRescheduleException(datetime.now(UTC) + AGAIN)
        yield


def _other(settings: Settings, ledger: Ledger, night: Night, context: Mapping[str, Any]) -> NightRow | None:
    """Return another night of the model that runs; what was killed and never closed does not."""
    for row in ledger.nights(night.model.name):
        if row.state != "running" or row.night == night.night:
            continue
        if row.source == "local":
            held = try_lock(lock_of(settings, night.model.name))
            if held is None:
                return row
            held.lock.release()
        elif context["ti"].get_dr_count(context["dag"].dag_id, run_ids=[row.night], states=list(ACTIVE)):
            return row
    return None


def _runs_on_platform(settings: Settings, row: NightRow) -> bool:
    """Ask Airflow; one that does not respond runs nothing."""
    from pipelines.local.airflow_api import Airflow, Run

    try:
        with Airflow(settings) as airflow:
            return airflow.state(Run(row.model, f"retrain_{row.model}", row.night, row.as_of)) in ACTIVE
    except (AimassError, httpx.HTTPError):
        return False


def _refused(model: str, other: str) -> AimassError:
    return AimassError(
        "another night of this model runs",
        where=model,
        seen=other,
        expected="one night of a model at a time",
        cure=f"wait until it has ended: aimass nights {model}",
    )
