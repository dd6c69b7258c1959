"""The commands that operate an installation: platform, demo feed, past nights, monitor."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.chosen import parse_params
from pipelines.cli.console import command, current_settings, note, parse_date, say, table
from pipelines.errors import AimassError
from pipelines.settings import Settings

app = typer.Typer()
SHOWN_ALERTS = 5


@app.command(epilog="Example: aimass up --at-boot && aimass status")
@command
def up(
    at_boot: Annotated[
        bool, typer.Option("--at-boot", help="Also with the machine, and again if it was killed.")
    ] = False,
) -> None:
    """Start the local platform: Airflow, MLflow, gateway and the services that the ledger asks for."""
    from pipelines.local import at_boot as boot
    from pipelines.local import platform

    settings = current_settings()
    platform.up(settings, note)
    for line in boot.install(settings) if at_boot else ():
        say(line)
    if settings.parts and not {"airflow-api", "mlflow"} & set(settings.parts):
        say(f"this machine runs {', '.join(settings.parts)}")
        return
    say(f"Airflow {settings.airflow_url}  MLflow {settings.mlflow_uri}  predictions {settings.gateway_url}")
    say(_login(settings))


@app.command(epilog="Example: aimass down --at-boot")
@command
def down(
    at_boot: Annotated[bool, typer.Option("--at-boot", help="Also no longer start it with the machine.")] = False,
) -> None:
    """Stop the local platform and everything it started."""
    from pipelines.local import at_boot as boot
    from pipelines.local import platform

    settings = current_settings()
    for line in boot.remove(settings) if at_boot else ():
        say(f"removed: {line}")
    platform.down(settings, note)
    say("stopped")
    if boot.environment_file(settings).exists():
        note("it starts again with the machine: aimass down --at-boot ends that")


@app.command(epilog="Example: aimass status")
@command
def status() -> None:
    """Show on one screen: the parts of the platform, what is live, the last nights, alerts, the newest backup."""
    from pipelines.local import platform, supervisor

    settings = current_settings()
    parts = platform.status(settings)
    rows = [[part.component, part.state, part.pid, part.port, _span(part.uptime)] for part in parts]
    table(["part", "state", "pid", "port", "uptime"], rows)
    if supervisor.recall(settings) is not None and supervisor.current(settings) is None:
        note("the supervisor of this platform was killed: aimass up starts it again")
    say("")
    _status_of_models(settings)
    if any(part.component == "airflow-api" for part in parts):
        note(_login(settings))


def _status_of_models(settings: Settings) -> None:
    """Show what is live and how the last night ended, open alerts, and the newest backup; makes no ledger."""
    from pipelines.backup.shelf import list_backups
    from pipelines.cli.show import list_models
    from pipelines.ledger import Ledger

    if settings.ledger_url is None and not settings.ledger_path.exists():
        say("no night has run here yet")
        return
    with Ledger.open(settings) as ledger:
        models = list_models(ledger)
        services = {(row.model, row.version): row.actual for row in ledger.serving()}
        alerts, hosts = ledger.alerts(), ledger.hosts()
    rows = [
        [each["model"], each["live"], services.get((each["model"], each["live"])), each["last_night"], each["state"]]
        for each in models
    ]
    table(["model", "live", "service", "last night", "it ended"], rows)
    if hosts:
        lines = [
            [each.address, each.name, "live" if each.live else "lost", f"{each.beat_at:%Y-%m-%d %H:%M:%S}"]
            for each in hosts
        ]
        table(["serving host", "name", "lease", "renewed (UTC)"], lines)
    for alert in alerts[-SHOWN_ALERTS:]:
        say(f"alert since {alert.fired_at:%Y-%m-%d %H:%M}: {alert.model or 'all models'}: {alert.message[:200]}")
    if len(alerts) > SHOWN_ALERTS:
        say(f"and {len(alerts) - SHOWN_ALERTS} more: aimass alerts")
    try:
        backups = list_backups(settings, patience=5.0)
    except AimassError as error:
        say(f"newest backup: unknown: {error.what} ({error.where})")
    else:
        say(f"newest backup: {backups[-1].name if backups else 'none: aimass backup'}")


@app.command(epilog="Example: aimass doctor && aimass up")
@command
def doctor(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Check versions, disk, permissions, clock, ports, ledger and what else is needed; exit code 1 if one is wrong."""
    from pipelines.cli.doctor import examine

    found = examine(current_settings())
    if as_json:
        say(json.dumps([asdict(each) for each in found], indent=2))
    else:
        lines = [[each.state, each.what, each.seen, each.cure if each.state != "ok" else None] for each in found]
        table(["state", "check", "seen", "cure"], lines)
    if any(each.state == "wrong" for each in found):
        raise typer.Exit(1)


def _login(settings: Settings) -> str:
    from pipelines.local.airflow_config import USER, password_file

    return f"login of Airflow and MLflow: user {USER}, password in {password_file(settings)}"


@app.command(epilog="Example: aimass mlflow >connect.sh && . ./connect.sh && jupyter lab")
@command
def mlflow() -> None:
    """Print what connects MLflow's client in a notebook or a shell to this platform; the token stays in its file."""
    from pipelines.registry.tracking import TOKEN, login

    settings = current_settings()
    user, _ = login(settings)
    say(f"export MLFLOW_TRACKING_URI={settings.mlflow_uri}")
    say(f"export MLFLOW_TRACKING_USERNAME={user}")
    say(f'export MLFLOW_TRACKING_PASSWORD="$(cat {shlex.quote(str(settings.secrets / TOKEN))})"')
    note("in a browser the user and password of Airflow count: aimass status")


@app.command(epilog="Example: aimass simulate --days 30 --start 2026-01-01")
@command
def simulate(
    days: Annotated[int, typer.Option(min=1, max=3660, help="How many days.")] = 1,
    start: Annotated[str | None, typer.Option(metavar="DATE", help="First day [default: the next of the feed]")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
) -> None:
    """Write days of the generated demo feed: loan applications, one file a day."""
    from pipelines.local.demo import extend_feed

    moment = parse_date(start)
    files = extend_feed(current_settings(), days, moment.date() if moment else None, seed)
    for path in files:
        say(str(path))


@app.command(epilog="Example: aimass backfill churn --from 2026-03-01 --to 2026-03-05 --dry-run")
@command
def backfill(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")],
    first: Annotated[str, typer.Option("--from", metavar="DATE", help="First day, UTC.")],
    last: Annotated[str, typer.Option("--to", metavar="DATE", help="Last day, UTC, itself included.")],
    *,
    local: Annotated[bool, typer.Option("--local", help="Run in this process, without the platform.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Run the nights that are there, too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the nights; run none.")] = False,
    param: Annotated[
        list[str] | None, typer.Option(metavar="stage__field=v", help="Change one setting for these nights.")
    ] = None,
    dags: Annotated[
        Path | None, typer.Option("--dags", metavar="DIR", help="Folder of the DAG files [default: dags]")
    ] = None,
) -> None:
    """Run the missing nights of some days, one after the other, by the model's schedule; none of them goes live."""
    from pipelines.cli.backfill import Backfill

    days = parse_date(first, "--from"), parse_date(last, "--to")
    work = Backfill(current_settings(), name, days, parse_params(param or []), dags, local=local, again=again)
    nights = work.nights()
    if dry_run:
        table(["date (UTC)", "there is", "would"], [list(row) for row in work.lines(nights)])
        return
    for line in work.run(nights):
        say(line)


@app.command(epilog="Example: aimass monitor")
@command
def monitor() -> None:
    """Check platform, services and what callers send, as the scheduled monitor does; alerts go to ledger and log."""
    from pipelines.monitoring.spec import MonitorSpec
    from pipelines.monitoring.stage import look_at_all

    found = look_at_all(current_settings(), MonitorSpec())
    table(["state", "model", "check", "seen"], [[each.state, each.model, each.kind, each.message] for each in found])


def _span(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
