"""`aimass data`: the table that a night read, and tables that are published under a name for others."""

from __future__ import annotations

import getpass
import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from pipelines.cli.chosen import split_names
from pipelines.cli.console import command, note, open_ledger, say, table
from pipelines.errors import SpecError

if TYPE_CHECKING:
    from pipelines.ledger import Ledger
    from pipelines.mart.origin import Origin
    from pipelines.settings import Settings


class _Data(TyperGroup):
    """``aimass data MODEL`` shows the table of a night, as ``aimass data night MODEL`` does."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take a first word that is no command for the name of a model, or an option of its table."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["night", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Data,
    no_args_is_help=True,
    help="Show the table that a night read; publish, list, download or expire named tables. `aimass data NAME` is "
    "`aimass data night NAME`.",
    epilog="Example: aimass data publish visits --from churn --stage clean --description 'Visits, cleaned'",
)
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Table = Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="A published table [default: its newest version]")]


@app.command(epilog="Example: aimass data night churn --diff 2026-03-01 2026-03-08")
@command
def night(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")],
    at: Annotated[str | None, typer.Option(metavar="DATE", help="As known then, UTC [default: the last night]")] = None,
    diff: Annotated[tuple[str, str] | None, typer.Option(metavar="A B", help="What changed between two dates.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the table that a night read: rows, digest, columns, sources; or what changed between two dates."""
    from pipelines.cli import data as shown

    if at is not None and diff is not None:
        raise SpecError("two options that exclude each other", seen="--at and --diff", expected="one of them")
    shown.show(*open_ledger(), name, at, diff, as_json=as_json)


@app.command(epilog="Example: aimass data publish visits --from churn@manual__2026-03-01 --hash email --drop phone")
@command
def publish(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the table; specs read it as mart:NAME.")],
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="MODEL[@NIGHT]|PATH", help="A night's table, or files as init reads them, or mart:NAME."
        ),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(help="Of a night: ingest, sample, clean, split (its training rows) or features [default: clean]"),
    ] = None,
    sql: Annotated[str | None, typer.Option(metavar="SELECT", help="Instead of --from: one query.")] = None,
    connection: Annotated[
        str | None, typer.Option(metavar="NAME", help="Airflow connection of the query, or variable with its address.")
    ] = None,
    description: Annotated[
        str, typer.Option(metavar="TEXT", help="What it is, for people [default: as the version before]")
    ] = "",
    drop: Annotated[str | None, typer.Option(metavar="COL,COL", help="Columns that are left out.")] = None,
    hash_: Annotated[
        str | None, typer.Option("--hash", metavar="COL,COL", help="Columns of which a keyed hash is published.")
    ] = None,
    new_schema: Annotated[
        bool, typer.Option("--new-schema", help="Columns may be gone or of another type than in the version before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Publish a table as the next version of its name; private columns of a model are dropped or hashed."""
    from pipelines.mart.publish import Wish
    from pipelines.mart.publish import publish as put
    from pipelines.mart.tables import facts_of

    settings, ledger = open_ledger()
    wish = Wish(description.strip(), _names(drop), _names(hash_), new_schema)
    with _origin(settings, ledger, source, stage, sql, connection) as origin:
        row, new = put(settings, ledger, name, origin, wish)
    for told in origin.facts.get("notices", ()):
        note(f"notice: {told}")
    for column, facts in row.origin["private"].items():
        note(f"private: {column} {'dropped' if facts['rule'] == 'drop' else 'hashed'}, by {facts['by']}")
    if as_json:
        say(json.dumps(facts_of(row) | {"new": new}, indent=2, ensure_ascii=False))
    else:
        same = "" if new else "; its content is the same, so there is no new version"
        say(f"{row.address}: {row.rows:,} rows, {len(row.columns)} columns, digest {row.digest[:16]}…{same}")


def _names(text: str | None) -> tuple[str, ...]:
    names = split_names(text)
    return (names,) if isinstance(names, str) else tuple(names or ())


def _origin(
    settings: Settings, ledger: Ledger, source: str | None, stage: str | None, sql: str | None, connection: str | None
) -> AbstractContextManager[Origin]:
    """Return the rows to be published; a word that is a model's name is that model, any other one a path."""
    from pipelines.ingestion.spec import Files, Sql
    from pipelines.mart.address import is_address
    from pipelines.mart.origin import of_night, of_source
    from pipelines.spec import did_you_mean

    if (source is None) == (sql is None) or (sql is None) != (connection is None):
        given = {"--from": source, "--sql": sql, "--connection": connection}
        raise SpecError(
            "a table is published from one source",
            seen=", ".join(option for option, value in given.items() if value is not None) or "none",
            expected="--from MODEL[@NIGHT], --from PATH, or --sql QUERY with --connection NAME",
            cure="name one of them",
        )
    model, _, wanted = (source or "").partition("@")
    if source is not None and ledger.model(model) is not None:
        return of_night(settings, ledger, model, wanted or None, stage or "clean")
    if stage is not None:
        known = [row.name for row in ledger.models()]
        raise SpecError(
            "a stage needs a model", where="--from", seen=f"{source or 'a query'}{did_you_mean(model, known)}",
            expected=", ".join(known[:10]) or "a model that has had a night", cure="leave --stage out for a file",
        )  # fmt: skip
    if sql is not None and connection is not None:
        return of_source(settings, Sql(query=sql, connection=connection))
    path = source or ""
    if "://" not in path and not path.startswith("home:") and not is_address(path):
        path = str(Path(path).expanduser().absolute())
    return of_source(settings, Files(path=path, incremental=None if is_address(path) else False))


@app.command("list", epilog="Example: aimass data list")
@command
def list_tables(
    all_: Annotated[bool, typer.Option("--all", help="Every version, expired ones too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the published tables: newest version, rows, size, since when, what it is."""
    from pipelines.mart.tables import facts_of

    ledger = open_ledger()[1]
    rows = ledger.mart_tables() if all_ else list({row.name: row for row in ledger.newest_tables()}.values())
    if as_json:
        say(json.dumps([facts_of(row) for row in rows], indent=2, ensure_ascii=False))
    elif rows:
        cells = [
            [row.address, row.rows, len(row.columns), f"{row.bytes / 1e6:.1f} MB", f"{row.created_at:%Y-%m-%d %H:%M}"]
            + ([f"{row.expired_at:%Y-%m-%d %H:%M}" if row.expired_at else None] if all_ else [])
            + [row.description.splitlines()[0] if row.description else ""]
            for row in rows
        ]
        expired = ["expired (UTC)"] if all_ else []
        table(["table", "rows", "columns", "size", "published (UTC)", *expired, "description"], cells)
    else:
        note("nothing is published: aimass data publish NAME --from MODEL publishes the table of a night")


@app.command("show", epilog="Example: aimass data show visits@3")
@command
def show_table(name: Table, as_json: AsJson = False) -> None:
    """Show a published table: schema, first rows, where it is from, what was done to private columns, who reads it."""
    from pipelines.mart.tables import facts_of, find, preview

    settings, ledger = open_ledger()
    row = find(ledger, f"mart:{name}")
    readers = [f"{model}@{of}" for model, of in ledger.mart_readers().get((row.name, row.version), [])]
    first = preview(settings, row)
    if as_json:
        facts = facts_of(row) | {"read_by": readers, "preview": first}
        say(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    origin = {key: value for key, value in row.origin.items() if key not in ("private", "notices") and value}
    lines = {
        "table": row.address,
        "what": row.description or "-",
        "rows": f"{row.rows:,}",
        "digest": row.digest,
        "published": f"{row.created_at:%Y-%m-%d %H:%M} UTC by {row.actor}",
        "from": ", ".join(f"{key} {value}" for key, value in origin.items()),
        "read by": ", ".join(readers[-5:]) or "nobody yet",
    }
    for label, text in lines.items():
        say(f"{label:<10}{text}")
    for column, facts in row.origin["private"].items():
        say(f"{'private':<10}{column}: {facts['rule']}, by {facts['by']}")
    say("")
    columns = [[each["name"], each["type"], f"{each['missing']:.1%}", each.get("private")] for each in row.columns]
    table(["column", "type", "missing", "private"], columns)
    say("")
    table([each["name"] for each in row.columns], [list(cells) for cells in first[:5]])


@app.command(epilog="Example: aimass data download visits@3 --output visits.parquet")
@command
def download(
    name: Table,
    output: Annotated[Path, typer.Option(metavar="FILE", help="Parquet file to write; an existing one is replaced.")],
) -> None:
    """Write a published table to one Parquet file."""
    import os
    import shutil

    from pipelines.mart.tables import as_one_file, find
    from pipelines.storage import disk_errors

    settings, ledger = open_ledger()
    row = find(ledger, f"mart:{name}")
    if output.suffix != ".parquet" or not output.absolute().parent.is_dir():
        raise SpecError(
            "this is no place for a table",
            where="--output",
            seen=output,
            expected="FILE.parquet in a folder that is there",
        )
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    try:
        with as_one_file(settings, row) as path, disk_errors(output):
            shutil.copyfile(path, partial)
            partial.chmod(0o600)
            partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    say(f"{output}: {row.address}, {row.rows:,} rows, digest {row.digest[:16]}…")


@app.command(epilog="Example: aimass data expire visits@3 --why 'wrong prices'")
@command
def expire(
    name: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="A version of a published table.")],
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason; the ledger keeps it.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")] = False,
) -> None:
    """Expire a version of a table: its rows are removed. None that a kept night or a version was made of."""
    from pipelines.cli.policy import housekeeping_spec
    from pipelines.housekeeping import mart_tables

    if "@" not in name:
        raise SpecError(
            "which version is to expire?", seen=name, expected="NAME@VERSION", cure="aimass data list --all"
        )
    if not dry_run and not why.strip():
        raise SpecError("to expire needs a reason", where="--why", seen="nothing", cure="add --why TEXT, or --dry-run")
    settings, ledger = open_ledger()
    actor = f"expire:{getpass.getuser()}"[:120]
    nights = housekeeping_spec(settings, {}).nights
    item = mart_tables.expire(settings, ledger, f"mart:{name}", nights, actor, why.strip())
    if not dry_run:
        item.remove_from(settings)
    say(f"{item.what} {'would expire' if dry_run else 'expired'}: {item.bytes / 1e6:.1f} MB")
