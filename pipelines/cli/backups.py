"""The commands for backups: take one, list them, read them back, restore one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import FAILED, command, current_settings, note, say, table

if TYPE_CHECKING:
    from pipelines.settings import Settings

app = typer.Typer()
group = typer.Typer(invoke_without_command=True)
app.add_typer(
    group, name="backups", help="List the backups; `verify` reads them back.", epilog="Example: aimass backups"
)


@app.command(epilog="Example: aimass backup")
@command
def backup() -> None:
    """Write one verified backup of databases, models, services, MLflow's artifacts and DAG files."""
    from pipelines.backup.backup import backup as write_backup

    settings = current_settings()
    report = write_backup(settings)
    size = f"{report.files} files, {_size(report.bytes)} ({_size(report.new_bytes)} new)"
    say(f"{report.name}: {size}, {report.models} models, verified: {_place(settings, report.path)}")
    note(
        f"no backup holds keys: without a copy of {settings.secrets} elsewhere, none can be restored on another machine"
    )


@group.callback()
@command
def backups(
    context: typer.Context, *, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False
) -> None:
    """List the backups: age, size, what each added, and when it was read back."""
    if context.invoked_subcommand is not None:
        return
    from pipelines.backup.listing import describe_backups

    rows = describe_backups(current_settings())
    if as_json:
        say(json.dumps([row.model_dump(mode="json") for row in rows], indent=1))
    elif rows:
        lines = [[row.name, row.age, _size(row.bytes), _size(row.new_bytes), row.verified] for row in rows]
        table(["name", "age", "size", "new", "verified"], lines)
    else:
        note("no backups yet: aimass backup")


@group.command(epilog="Example: aimass backups verify --all")
@command
def verify(
    backup: Annotated[
        str, typer.Argument(metavar="BACKUP", help="Name or path of the backup, or `latest`.")
    ] = "latest",
    *,
    every: Annotated[bool, typer.Option("--all", help="All that are here.")] = False,
) -> None:
    """Read backups back, every byte, and name every fault."""
    from pipelines.backup.shelf import find_backup, list_backups
    from pipelines.backup.verify import verify_backups

    settings = current_settings()
    found = verify_backups(settings, list_backups(settings) if every else [find_backup(settings, backup)])
    for folder, faults in found.items():
        say(f"{folder.name}: {'whole' if not faults else f'{len(faults)} fault(s)'}")
        for fault in faults:
            note(f"  {fault}")
    if any(found.values()):
        good = [folder.name for folder, faults in found.items() if not faults]
        note(f"last good one: {good[-1] if good else 'none of these'}; the next backup stores again what the home has")
        raise typer.Exit(FAILED)


@app.command(epilog="Example: aimass restore latest --into /srv/aimass-restored")
@command
def restore(
    backup: Annotated[str, typer.Argument(metavar="BACKUP", help="Name or path of the backup, or `latest`.")],
    *,
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="An empty or new folder.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also over a home: its platform is stopped, it is set aside as a whole.")
    ] = False,
) -> None:
    """Restore a backup into an empty folder, which is then a usable AIMASS_HOME."""
    from pipelines.backup.restore import restore as write_restore

    def stop() -> None:
        from pipelines.local import platform
        from pipelines.settings import load

        platform.down(load(home=into), note)

    report = write_restore(current_settings(), backup, into, force=force, before_switch=stop)
    say(f"{report.backup}: {report.files} files restored into {report.home}")
    for notice in report.notices:
        note(notice)
    if report.replaced is not None:
        note(f"the home that was there lies in {report.replaced}; its prediction log and task logs are there")


def _place(settings: Settings, path: Path) -> str:
    return str(path) if settings.backups_bucket is None else f"{settings.backups_bucket}/{path.name}"


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
