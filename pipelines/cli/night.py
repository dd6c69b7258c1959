"""`aimass run`: one night, through the platform or in process, watched until its verdict."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines import stages
from pipelines.cli.console import note
from pipelines.errors import AimassError, SpecError, from_dict
from pipelines.ledger import Ledger
from pipelines.ledger.archive import refuse_archived
from pipelines.local.progress import Transition
from pipelines.settings import Settings

Say = Callable[[str], None]


def find_dag(settings: Settings, name: str, dags: Path | None) -> Path:
    """Return the model's DAG file; an unknown name is a SpecError."""
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
    params: Mapping[str, Any] | None = None,
    dags: Path | None = None,
    say: Say = note,
) -> list[str]:
    """Run one night, tell ``say`` of every stage, and return the lines of the verdict.

    Raises
    ------
    SpecError
        Its date lies in the future, or the model is archived.
    AimassError
        The typed error of the stage that failed.
    """
    if at is not None and at.replace(tzinfo=at.tzinfo or UTC) > (now := datetime.now(UTC)):
        raise SpecError(
            "a night of the future would hold back every night until then",
            where="--at",
            seen=at.isoformat(),
            expected=f"not after {now:%Y-%m-%dT%H:%M} UTC",
            cure="leave --at out: the night is as of now",
        )
    path = find_dag(settings, name, dags)
    settings.ensure()
    with Ledger.open(settings) as ledger:
        refuse_archived(ledger.catalog_row(name))
        if local:
            night = run_locally(settings, path, at, params or {}, say)
        else:
            night = run_on_platform(settings, ledger, path, at, params or {}, say)
        for line in clean_notes(ledger, name, night):
            say(f"note: {line}")
        return list(verdict_lines(ledger, name, night))


def clean_notes(ledger: Ledger, name: str, night: str) -> list[str]:
    """Return the notes of a night on columns that it read differently from what their cells suggest."""
    stats = [row.stats or {} for row in ledger.stages(name, night) if row.stage == "clean" and row.state == "done"]
    return [str(line) for found in stats for line in found.get("notes", ())]


def run_locally(settings: Settings, path: Path, at: datetime | None, params: Mapping[str, Any], say: Say) -> str:
    """Run the DAG file in a child process, its log in a file; return the night."""
    from pipelines.local.inprocess import run_in_process

    log = settings.logs / f"local-{path.stem}.log"
    say(f"log: {log}")
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        done = run_in_process(settings, path, at, params, log=stream, tell=lambda change: say(progress(change)))
    return done.night


def run_on_platform(
    settings: Settings, ledger: Ledger, path: Path, at: datetime | None, params: Mapping[str, Any], say: Say
) -> str:
    """Trigger the DAG on the running platform and follow it; return the night."""
    from pipelines.local.airflow_api import Airflow

    if path.parent != settings.dags.absolute():
        raise SpecError(
            "the platform reads another folder of DAG files",
            where=str(path.parent),
            expected=str(settings.dags),
            cure="add --local, or start the platform with AIMASS_DAGS_FOLDER set to that folder",
        )
    model = path.stem.removeprefix("retrain_")
    with Airflow(settings) as airflow:
        airflow.wait_for_dag(path.stem)
        run = airflow.trigger(model, at or datetime.now(UTC), params)
        say(f"night {run.run_id}: {settings.airflow_url}/dags/{run.dag_id}/runs/{run.run_id}")
        for change in airflow.follow(run, ledger):
            if change.state not in ("scheduled", "queued"):
                say(progress(change))
        state = airflow.state(run)
    if state != "success":
        raise_failed(ledger, model, run.run_id)
        raise AimassError(
            "the night failed outside its stages",
            where=f"{settings.airflow_url}/dags/{run.dag_id}/runs/{run.run_id}",
            seen=state,
            cure="read the task logs in Airflow",
        )
    return run.run_id


def progress(change: Transition) -> str:
    """Return the line on a stage's change: state, seconds, rows."""
    again = f"  attempt {change.try_number}" if change.try_number > 1 else ""
    if change.state == "running" or change.seconds is None:
        return f"  {change.stage:<9} {change.state}{again}"
    rows = "" if change.rows is None else f"{change.rows:>12,} {stages.get(change.stage).unit}"
    used = "  re-used" if change.reused else ""
    return f"  {change.stage:<9} {change.state:<8}{change.seconds:7.1f} s{rows}{used}{again}"


def raise_failed(ledger: Ledger, name: str, night: str) -> None:
    """Raise the typed error of the stage that failed, if one did."""
    for row in ledger.stages(name, night):
        if row.state == "failed" and row.error:
            raise from_dict(row.error)


def verdict_lines(ledger: Ledger, name: str, night: str) -> Iterator[str]:
    """Yield the verdict of a night in words: scores of the model, the baseline and the champion, and the version."""
    row = ledger.publication(name, night)
    if row is None:
        raise AimassError("the night left no verdict", where=f"{name} {night}", cure="read the log of its last stage")
    verdict = row.verdict or {}
    as_of = f" of {row.as_of:%Y-%m-%d}" if row.as_of else ""
    yield f"{row.model}{as_of}: version {row.version} {verdict.get('verdict', 'registered')}"
    champion = verdict.get("champion_score")
    scores = [f"model {_number(row.score)}", f"baseline {_number(row.baseline)}"]
    scores.append("no champion before" if champion is None else f"champion {_number(champion)}")
    yield f"{row.metric} on sealed rows: {', '.join(scores)}"
    if verdict.get("sentence"):
        yield verdict["sentence"]
    live = ledger.route(name)
    if live:
        yield f"live: version {live}"
        return
    closed = ledger.night(name, night)
    note = (closed.verdict or {}).get("note") if closed is not None else None
    yield f"live: no version{f' ({note})' if note else ''}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
