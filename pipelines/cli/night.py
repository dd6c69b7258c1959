"""`aimass run`: one night, through the platform or in process, watched until its verdict."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.cli.shell import note
from pipelines.errors import AimassError, SpecError, from_dict
from pipelines.ledger import Ledger
from pipelines.settings import Settings

POLL_SECONDS = 0.3


def find_dag(settings: Settings, name: str, dags: Path | None) -> Path:
    """Give the model's DAG file; an unknown name is a SpecError."""
    folder = (dags or settings.dags).absolute()
    path = folder / f"retrain_{name}.py"
    if not path.is_file():
        known = sorted(item.stem.removeprefix("retrain_") for item in folder.glob("retrain_*.py"))
        raise SpecError(
            "no such model",
            where=str(path),
            seen=name,
            expected=", ".join(known) or f"a file retrain_NAME.py in {folder}",
            cure=f"aimass init {name} --source FILE --target COLUMN, or name the folder with --dags",
        )
    return path


def run_night(
    settings: Settings,
    name: str,
    *,
    local: bool = False,
    at: datetime | None = None,
    params: dict[str, Any] | None = None,
    dags: Path | None = None,
    say: Callable[[str], None] = note,
) -> list[str]:
    """Run one night, tell ``say`` of every stage, and give the lines of the verdict.

    Raises
    ------
    AimassError
        The typed error of the stage that failed.
    """
    path = find_dag(settings, name, dags)
    settings.ensure()
    ledger = Ledger.open(settings)
    start = _local if local else _platform
    night = start(settings, ledger, path, name, at, params or {}, say)
    return verdict_lines(ledger, name, night)


def _local(
    settings: Settings,
    ledger: Ledger,
    path: Path,
    name: str,
    at: datetime | None,
    params: dict[str, Any],
    say: Callable[[str], None],
) -> str:
    from pipelines.local.inprocess import run_in_process

    before = {row.night for row in ledger.nights(name)}
    ended = threading.Event()
    failure: list[BaseException] = []

    def work() -> None:
        try:
            run_in_process(settings, path, at or datetime.now(UTC), params)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            failure.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=work, name="night")
    thread.start()
    seen: dict[str, str] = {}
    night: str | None = None
    while not ended.wait(POLL_SECONDS):
        night = night or _new_night(ledger, name, before)
        tell(ledger, name, night, seen, say)
    thread.join()
    night = night or _new_night(ledger, name, before)
    tell(ledger, name, night, seen, say)
    if failure:
        raise failure[0]
    if night is None:
        raise AimassError("the night ended without beginning", where=str(path), cure="aimass check NAME")
    raise_failed(ledger, name, night)
    return night


def _platform(
    settings: Settings,
    ledger: Ledger,
    path: Path,
    name: str,
    at: datetime | None,
    params: dict[str, Any],
    say: Callable[[str], None],
) -> str:
    from pipelines.local.airflow_api import Airflow

    if path.parent != settings.dags.absolute():
        raise SpecError(
            "the platform reads another folder of DAG files",
            where=str(path.parent),
            expected=str(settings.dags),
            cure="add --local, or start the platform with AIMASS_DAGS_FOLDER set to that folder",
        )
    with Airflow(settings) as airflow:
        night = airflow.start(f"retrain_{name}", at, params, say)
        seen: dict[str, str] = {}
        state = "queued"
        for state in airflow.states(f"retrain_{name}", night, POLL_SECONDS):
            tell(ledger, name, night, seen, say)
        tell(ledger, name, night, seen, say)
        if state != "success":
            raise_failed(ledger, name, night)
            raise AimassError(
                "the night failed outside its stages",
                where=f"{settings.airflow_url}/dags/retrain_{name}/runs/{night}",
                seen=state,
                cure="read the task logs in Airflow",
            )
    return night


def _new_night(ledger: Ledger, name: str, before: set[str]) -> str | None:
    return next((row.night for row in ledger.nights(name) if row.night not in before), None)


def tell(ledger: Ledger, name: str, night: str | None, seen: dict[str, str], say: Callable[[str], None]) -> None:
    """Say every change of a stage since the last call, with its seconds and rows."""
    if night is None:
        return
    for row in ledger.stages(name, night):
        state = f"{row.attempt} {row.state}"
        if seen.get(row.stage) == state:
            continue
        seen[row.stage] = state
        if row.state == "running":
            say(f"  {row.stage:<9} running" + (f" (attempt {row.attempt})" if row.attempt > 1 else ""))
        else:
            seconds = row.seconds
            if seconds is None and row.finished_at is not None:
                seconds = (row.finished_at - row.started_at).total_seconds()
            rows = "" if row.rows is None else f"{row.rows:>10,} rows"
            say(f"  {row.stage:<9} {row.state:<8}{seconds or 0:7.1f} s {rows}{'  re-used' if row.reused else ''}")


def raise_failed(ledger: Ledger, name: str, night: str) -> None:
    """Raise the typed error of the stage that failed, if one did."""
    for row in ledger.stages(name, night):
        if row.state == "failed" and row.error:
            raise from_dict(row.error)


def verdict_lines(ledger: Ledger, name: str, night: str) -> list[str]:
    """Give the verdict of a night in words: model, baseline and champion score, version."""
    row = ledger.publication(name, night)
    if row is None:
        raise AimassError("the night left no verdict", where=f"{name} {night}", cure="read the log of its last stage")
    return list(_lines(row, ledger.route(name)))


def _lines(row: Any, live: int | None) -> Iterator[str]:
    verdict = row.verdict or {}
    as_of = f" of {row.as_of:%Y-%m-%d}" if row.as_of else ""
    yield f"{row.model}{as_of}: version {row.version} {verdict.get('verdict', 'registered')}"
    champion = verdict.get("champion_score")
    scores = [f"model {row.score:.6g}", f"baseline {row.baseline:.6g}"]
    scores.append(f"champion {champion:.6g}" if champion is not None else "no champion")
    yield f"{row.metric} on sealed rows: {', '.join(scores)}"
    if verdict.get("sentence"):
        yield verdict["sentence"]
    yield f"live: version {live}" if live else "live: none"
