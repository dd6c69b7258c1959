"""The commands that list what there is: nights, versions, logs, templates."""

from __future__ import annotations

import json
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.console import command, current_settings, open_ledger, say, table
from pipelines.errors import SpecError
from pipelines.ledger import Ledger
from pipelines.spec import did_you_mean

app = typer.Typer()

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command(epilog="Example: aimass nights churn --last 30")
@command
def nights(
    name: Name,
    last: Annotated[int, typer.Option(min=1, help="How many, the newest ones.")] = 14,
    as_json: AsJson = False,
) -> None:
    """List the nights of a model: date, how each ended, its verdict and version, or the error that stopped it."""
    from pipelines.cli.show import require_model

    _, ledger = open_ledger()
    require_model(ledger, name)
    lines = [_night_line(ledger, name, row) for row in ledger.nights(name)[-last:]]
    if as_json:
        say(json.dumps(lines, indent=2, ensure_ascii=False))
        return
    table(
        ["night", "as of (UTC)", "state", "minutes", "verdict", "version", "live", "error"],
        [list(line.values()) for line in lines],
    )


def _night_line(ledger: Ledger, name: str, row: Any) -> dict[str, Any]:
    verdict = row.verdict or {}
    stopped = [
        f"{each.stage}: {each.error['what']}"
        for each in ledger.stages(name, row.night)
        if each.state == "failed" and each.error is not None
    ]
    ended = row.finished_at
    return {
        "night": row.night,
        "as_of": f"{row.as_of:%Y-%m-%d %H:%M}",
        "state": row.state,
        "minutes": None if ended is None else round((ended - row.started_at).total_seconds() / 60, 1),
        "verdict": verdict.get("verdict"),
        "version": verdict.get("version"),
        "live": "yes" if verdict.get("deployed") else None,
        "error": stopped[0] if stopped and row.state == "failed" else None,
    }


@app.command(epilog="Example: aimass versions churn")
@command
def versions(
    name: Name,
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that were deleted: when, by whom, why.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the versions of a model: state, score, whether a service runs and until when, digest of its model."""
    from pipelines.cli.show import require_model

    _, ledger = open_ledger()
    require_model(ledger, name)
    if deleted:
        gone = [
            {"version": row.version, "model": (row.model_digest or "")[:12], **(row.verdict or {})["deleted"]}
            for row in ledger.deleted_versions(name)
        ]
        if as_json:
            say(json.dumps(gone, indent=2, ensure_ascii=False))
        else:
            table(["version", "model", "deleted (UTC)", "by", "why"], [list(line.values()) for line in gone])
        return
    served = {row.version: row for row in ledger.serving(name)}
    lines = [_version_line(row, served.get(row.version)) for row in ledger.versions(name)]
    if as_json:
        say(json.dumps(lines, indent=2))
        return
    table(
        ["version", "state", "as of (UTC)", "metric", "score", "baseline", "service", "model"],
        [list(line.values()) for line in lines],
    )


def _version_line(row: Any, service: Any) -> dict[str, Any]:
    runs = None if service is None or service.actual == "absent" else service.actual
    if runs is not None and service.until is not None:
        runs += f" until {service.until:%m-%d %H:%M}"
    return {
        "version": row.version,
        "state": row.state,
        "as_of": f"{row.as_of:%Y-%m-%d %H:%M}" if row.as_of else None,
        "metric": row.metric,
        "score": row.score,
        "baseline": row.baseline,
        "service": runs,
        "model": row.model_digest[:12],
    }


@app.command(epilog="Example: aimass logs gateway --lines 100")
@command
def logs(
    part: Annotated[
        str | None, typer.Argument(metavar="[PART|NAME]", help="A log, or a model to list those of [default: list all]")
    ] = None,
    lines: Annotated[int, typer.Option(min=1, max=100_000, help="How many, the last ones.")] = 40,
) -> None:
    """Show the end of the log of one part of the platform, or list the logs: all, or those of a model."""
    folder = current_settings().logs
    files = {path.stem: path for path in sorted(folder.glob("*.log"))}
    of_model = {
        name: path for name, path in files.items() if name.startswith((f"bento-{part}-v", f"local-retrain_{part}"))
    }
    if part is None or (part not in files and of_model):
        files = files if part is None else of_model
        table(["log", "MB", "last line (UTC)"], [_log_line(name, path) for name, path in files.items()])
        return
    if part not in files:
        raise SpecError(
            "no such log",
            where=str(folder),
            seen=f"{part}{did_you_mean(part, files)}",
            expected=", ".join(files) or "a log: the platform was never started",
            cure="aimass logs lists them",
        )
    with files[part].open(encoding="utf-8", errors="replace") as stream:
        for line in deque(stream, maxlen=lines):
            say(line.rstrip("\n"))


def _log_line(name: str, path: Path) -> list[Any]:
    facts = path.stat()
    written = datetime.fromtimestamp(facts.st_mtime, UTC)
    return [name, round(facts.st_size / 1e6, 2), f"{written:%Y-%m-%d %H:%M:%S}"]


@app.command(epilog="Example: aimass templates")
@command
def templates() -> None:
    """List the industry templates that init starts from: what each predicts, and why its settings suit the job."""
    from pipelines.industry import templates as all_of_them

    table(
        ["template", "predicts", "task", "settings"],
        [[each.name, each.title, each.model["task"], each.why] for each in all_of_them()],
    )
    say("start from one: aimass init NAME --template TEMPLATE, with --source PATH for data of your own")
