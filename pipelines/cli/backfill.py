"""`aimass backfill`: the nights of past days that are missing, in order, each as `aimass run` runs one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.cli.console import note
from pipelines.cli.night import find_dag, progress, raise_failed
from pipelines.errors import AimassError, SpecError
from pipelines.ledger import Ledger
from pipelines.local.dates import scheduled_dates
from pipelines.settings import Settings
from pipelines.stages import STOP


@dataclass(frozen=True)
class PastNight:
    """A night that the schedule has.

    Parameters
    ----------
    night
        Name of the one that is there, which ended well; None: it is missing.
    version
        Of that one.
    live
        Whether that version is live: such a night is never run again.
    """

    at: datetime
    night: str | None
    version: int | None
    live: bool


class Backfill:
    """The nights of some days.

    A night is there if one of the same date ended well, however it was started. Nothing goes live: each night stops
    before deploy.

    Parameters
    ----------
    days
        The first and the last, both included.
    again
        Run the nights that are there, too, under their own names.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        days: tuple[datetime | None, datetime | None],
        params: Mapping[str, Any] | None = None,
        dags: Path | None = None,
        *,
        local: bool = False,
        again: bool = False,
    ) -> None:
        first, last = days
        assert first is not None  # the options are required
        assert last is not None
        if first > last:
            raise SpecError(
                "these days end before they begin",
                where="--from, --to",
                seen=f"{first:%F} to {last:%F}",
                cure="exchange them",
            )
        self.settings, self.name, self.local, self.again = settings.ensure(), name, local, again
        self.path = find_dag(settings, name, dags)
        whole_day = last.time() == datetime.min.time()
        self.first, self.last = first, last + timedelta(days=1, seconds=-1) if whole_day else last
        self.params = {**(params or {}), STOP: True}

    def nights(self) -> list[PastNight]:
        """Return the nights of the schedule, oldest first.

        Raises
        ------
        SpecError
            There is none in these days, or the DAG file cannot be imported.
        """
        dates = scheduled_dates(self.settings, self.path, self.first, min(self.last, datetime.now(UTC)))
        if not dates:
            raise SpecError(
                "no night lies in these days",
                where=self.path.name,
                seen=f"{self.first:%F %H:%M} to {self.last:%F %H:%M}",
                expected="a date of the schedule that has passed",
                cure="choose other days",
            )
        with Ledger.open(self.settings) as ledger:
            return [self._look_up(ledger, at, daily=len({at.date() for at in dates}) == len(dates)) for at in dates]

    def _look_up(self, ledger: Ledger, at: datetime, *, daily: bool) -> PastNight:
        def same(other: datetime) -> bool:
            return other.date() == at.date() if daily else other == at

        done = [row for row in ledger.nights(self.name) if row.state == "success" and same(row.as_of)]
        versions = {row.night: row.version for row in ledger.versions(self.name)}
        live = ledger.route(self.name)
        # the one that is live, else the one of this very moment, else the newest
        done.sort(key=lambda row: (versions.get(row.night) == live, row.as_of == at, row.started_at))
        if not done:
            return PastNight(at, None, None, live=False)
        version = versions.get(done[-1].night)
        return PastNight(done[-1].as_of, done[-1].night, version, live=version is not None and version == live)

    def is_due(self, night: PastNight) -> bool:
        """Tell whether a night is to be run."""
        return night.night is None or (self.again and not night.live)

    def lines(self, nights: Sequence[PastNight]) -> Iterator[tuple[str, str, str]]:
        """Yield date, what is there, and what would be done."""
        for night in nights:
            there = "no night" if night.night is None else f"{night.night}, version {night.version or '-'}"
            left = "be left: its version is live" if night.live and self.again else "be left"
            yield f"{night.at:%Y-%m-%d %H:%M}", there, "be run" if self.is_due(night) else left

    def run(self, nights: Sequence[PastNight]) -> Iterator[str]:
        """Run those that are due, oldest first; yield a line on each. The first that fails ends it.

        Raises
        ------
        AimassError
            Of the stage that failed; the nights before it are there, so the same command goes on from here.
        """
        for night in nights:
            if not self.is_due(night):
                yield f"{night.at:%F %H:%M}: {night.night} is there, version {night.version or '-'}"
                continue
            note(f"night of {night.at:%F %H:%M} UTC")
            made = self._run_locally(night) if self.local else self._run_on_platform(night)
            with Ledger.open(self.settings) as ledger:
                row = ledger.publication(self.name, made)
            told = "no version" if row is None else f"version {row.version}, model {(row.model_digest or '')[:12]}"
            yield f"{night.at:%F %H:%M}: {made}, {told}"

    def _run_locally(self, night: PastNight) -> str:
        from pipelines.local.inprocess import night_of, run_in_process

        at = night.at
        if night.night is not None and night.night.startswith("manual__"):  # again, under its own name
            at = datetime.fromisoformat(night.night.removeprefix("manual__"))
        log = self.settings.logs / f"local-{self.path.stem}.log"
        with log.open("wb") as stream:
            log.chmod(0o600)
            run_in_process(
                self.settings,
                self.path,
                night.at,
                self.params,
                run_after=at,
                log=stream,
                tell=lambda change: note(progress(change)),
            )
        return night_of(at)

    def _run_on_platform(self, night: PastNight) -> str:
        from pipelines.local.airflow_api import Airflow

        with Airflow(self.settings) as airflow, Ledger.open(self.settings) as ledger:
            airflow.wait_for_dag(self.path.stem)
            run = airflow.run_at(self.name, night.at, self.params)
            for change in airflow.follow(run, ledger):
                if change.state not in ("scheduled", "queued"):
                    note(progress(change))
            if (state := airflow.state(run)) != "success":
                raise_failed(ledger, self.name, run.run_id)
                raise AimassError(
                    "the night failed outside its stages",
                    where=run.run_id,
                    seen=state,
                    cure="read the task logs in Airflow",
                )
        return run.run_id
