"""The command that moves an installation to another place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import command, current_settings, note, say, table

app = typer.Typer()


@app.command(epilog="Example: aimass migrate --to cluster.env --dry-run")
@command
def migrate(
    to: Annotated[Path, typer.Option("--to", metavar="ENV_FILE", help="Settings of the new place, NAME=VALUE a line.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be copied; copy nothing.")] = False,
) -> None:
    """Copy ledger, storage and registry to another place, and verify them there; this home stays as it is."""
    from pipelines.migration.migrate import migrate as move
    from pipelines.migration.migrate import outlook

    settings = current_settings()
    if dry_run:
        table(["part", "would be copied", "to"], [list(line) for line in outlook(settings, to)])
        return
    moved = move(settings, to, note)
    if moved.already:
        say(f"{moved.home} holds this installation already: it was moved before, and nothing was copied")
        return
    rows = sum(moved.tables.values())
    say(f"moved to {moved.home}: {rows} rows, {moved.files} files copied, {moved.models} versions verified")
    note(f"from now on use the settings of {to}; {settings.home} was left as it is, and must run no further night")
