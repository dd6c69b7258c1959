"""Nights of one model follow each other, however they are started: through Airflow, as a backfill, or in process.

A night of the platform waits, without a slot, until the other one has ended. One in process (``--local``) is refused,
with the name of the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    with wait_for_lock(_gate(settings)), Ledger.open(settings) as ledger:
        known = [row for row in ledger.nights(model) if row.state == "running"]
    if held is None:
        raise _refused(model, _local(known))
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
    with wait_for_lock(_gate(settings)), ledger.alone("nights"):
        other = _other(settings, ledger, night, context) if night.platform else None
        if other is not None:
            from logging import getLogger

            getLogger(__name__).warning(
                "night %s of %s runs: this one, %s, begins when it has ended", other, night.model.name, night.night
            )
            raise AirflowRescheduleException(datetime.now(UTC) + AGAIN)
        yield


def _gate(settings: Settings) -> Path:
    """Return the file that is held from the look for other nights until a night is in the ledger."""
    return settings.run_dir / "nights.lock"


def _local(running: Sequence[NightRow]) -> str:
    names = [row.night for row in running if row.source == "local"]
    return names[-1] if names else "one that has just begun in another process"


def _other(settings: Settings, ledger: Ledger, night: Night, context: Mapping[str, Any]) -> str | None:
    """Return the name of another night of the model that runs; what was killed and never closed does not."""
    running = [row for row in ledger.nights(night.model.name) if row.state == "running" and row.night != night.night]
    held = try_lock(lock_of(settings, night.model.name))
    if held is None:  # seconds before it has a row in the ledger, too
        return _local(running)
    held.lock.release()
    for row in running:
        if row.source != "local" and context["ti"].get_dr_count(
            context["dag"].dag_id, run_ids=[row.night], states=list(ACTIVE)
        ):
            return row.night
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
