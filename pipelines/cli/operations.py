"""The commands that operate an installation: platform, demo feed, monitor."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.console import command, current_settings, note, parse_date, say, table
from pipelines.settings import Settings

app = typer.Typer()


@app.command(epilog="Example: aimass up && aimass status")
@command
def up() -> None:
    """Start the local platform: Airflow, MLflow, gateway and the services that the ledger asks for."""
    from pipelines.local import platform

    settings = current_settings()
    platform.up(settings, note)
    say(f"Airflow {settings.airflow_url}  MLflow {settings.mlflow_uri}  predictions {settings.gateway_url}")
    say(_login(settings))


@app.command(epilog="Example: aimass down")
@command
def down() -> None:
    """Stop the local platform and everything it started."""
    from pipelines.local import platform

    platform.down(current_settings(), note)
    say("stopped")


@app.command(epilog="Example: aimass status")
@command
def status() -> None:
    """Show the parts of the local platform."""
    from pipelines.local import platform

    settings = current_settings()
    parts = platform.status(settings)
    rows = [[part.component, part.state, part.pid, part.port, _span(part.uptime)] for part in parts]
    table(["part", "state", "pid", "port", "uptime"], rows)
    if parts:
        note(_login(settings))


def _login(settings: Settings) -> str:
    from pipelines.local.airflow_config import USER, password_file

    return f"Airflow login: user {USER}, password in {password_file(settings)}"


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


@app.command(epilog="Example: aimass monitor")
@command
def monitor() -> None:
    """Check services and what callers send once, as the scheduled monitor does; alerts go to the ledger and the log."""
    from pipelines.monitoring.stage import monitor as look

    found = look(current_settings())
    table(["state", "model", "check", "seen"], [[each.state, each.model, each.kind, each.message] for each in found])


def _span(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
