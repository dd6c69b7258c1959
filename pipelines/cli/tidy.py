"""The commands that remove: housekeeping by policy, and delete by name."""

from __future__ import annotations

import getpass
import json
from typing import Annotated, Any

import typer

from pipelines.cli.console import FAILED, command, current_settings, note, open_ledger, say, table
from pipelines.errors import SpecError

app = typer.Typer()

DryRun = Annotated[bool, typer.Option("--dry-run", help="List what would go, with size and reason; remove nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command(epilog="Example: aimass housekeeping --dry-run")
@command
def housekeeping(
    dry_run: DryRun = False,
    max_gb: Annotated[
        float | None, typer.Option(metavar="GB", help="Size that the home may have [default: as in the DAG file]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove what is old, by the policy of dags/housekeeping.py; exit code 1 if the home is still too large."""
    from pipelines.cli.policy import housekeeping_spec
    from pipelines.housekeeping.stage import housekeep, megabytes, too_large

    settings, _ = open_ledger()
    given: dict[str, Any] = {"dry_run": dry_run} | ({} if max_gb is None else {"max_gb": max_gb})
    report = housekeep(settings, housekeeping_spec(settings, given))
    if as_json:
        say(report.model_dump_json(indent=2))
    elif report.items:
        rows = [[each.kind, each.what, megabytes(each.bytes), each.why] for each in report.items]
        table(["kind", "what would go" if dry_run else "removed", "size", "why"], rows)
    for model in report.waiting:
        note(f"{model} was left alone: a night of it is running")
    for fault in report.failed:
        note(f"could not be removed: {fault}")
    done = f"{len(report.items)} things {'would go' if dry_run else 'removed'}"
    note(f"{done}; the home {'would have' if dry_run else 'has'} {megabytes(report.size)} of {megabytes(report.limit)}")
    if report.size > report.limit:
        note(too_large(report))
    if report.failed or report.size > report.limit:
        raise typer.Exit(FAILED)


@app.command(epilog='Example: aimass delete churn --version 3 --version 4 --why "trained on wrong prices"')
@command
def delete(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")],
    version: Annotated[
        list[int] | None, typer.Option(metavar="V", min=1, help="Of this version; may be repeated.")
    ] = None,
    night: Annotated[list[str] | None, typer.Option(metavar="NIGHT", help="Of this night; may be repeated.")] = None,
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason; the ledger keeps it.")] = "",
    by: Annotated[str | None, typer.Option(metavar="NAME", hidden=True, help="Whose wish it is.")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Delete versions or nights with all their files; without these options the model as a whole. No way back."""
    from pipelines.cli.delete import plan
    from pipelines.housekeeping.stage import megabytes

    if not dry_run and not why.strip():
        raise SpecError(
            "to delete needs a reason", where="--why", seen="nothing", cure="add --why TEXT, or look first: --dry-run"
        )
    settings, ledger = open_ledger()
    actor = f"delete:{by or getpass.getuser()}"[:120]
    items = plan(settings, ledger, name, version or [], night or [], actor, why)
    if not dry_run:
        for item in items:
            item.remove_from(settings)
    if as_json:
        say(json.dumps([{"what": each.what, "bytes": each.bytes} for each in items], indent=2, ensure_ascii=False))
    else:
        table(["would go" if dry_run else "deleted", "size"], [[each.what, megabytes(each.bytes)] for each in items])
    note(f"{megabytes(sum(each.bytes for each in items))} {'would be' if dry_run else 'are'} free")
    _hints(settings, name, whole=not version and not night)


def _hints(settings: Any, name: str, *, whole: bool) -> None:
    from pipelines.backup.shelf import list_backups

    backups = list_backups(settings)
    if backups:
        newest = backups[-1].name
        note(f"backups keep what they hold, the newest is {newest}: aimass restore {newest} --into DIR")
    path = current_settings().dags / f"retrain_{name}.py"
    if whole and path.is_file():
        note(f"{path} stays: with it the model begins anew on its next night; remove it to end the model")
