"""The commands; each imports what it needs when it runs, so that `--help` is fast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli import (
    access,
    alerts,
    backups,
    catalog,
    costs,
    exchange,
    expectations,
    lists,
    live,
    mart,
    migrate,
    operations,
    people,
    tidy,
)
from pipelines.cli.chosen import parse_params, split_names
from pipelines.cli.console import (
    FAILED,
    command,
    current_settings,
    note,
    open_ledger,
    parse_date,
    say,
    show_columns,
    show_lines,
    table,
)
from pipelines.errors import SpecError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Retrain tabular models every night and serve them safely.",
    epilog="Example: aimass init churn --source data/churn.csv --target churned && aimass run churn --local",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")]
Dags = Annotated[Path | None, typer.Option("--dags", metavar="DIR", help="Folder of the DAG files [default: dags]")]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"aimass {version('aimass')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the release and exit.")
    ] = False,
) -> None:
    """Retrain tabular models every night and serve them safely."""


@app.command(epilog="Example: aimass init churn --source data/churn.csv --target Churn --positive Yes --key customerID")
@command
def init(
    name: Name,
    *,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="File, folder or quoted glob of CSV, Parquet or JSON lines; may be compressed."
        ),
    ] = None,
    sql: Annotated[str | None, typer.Option(metavar="SELECT", help="Instead of --source: one query.")] = None,
    connection: Annotated[
        str | None, typer.Option(metavar="NAME", help="Airflow connection of the query, or variable with its address.")
    ] = None,
    target: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column with the label; clustering and reduction have none.")
    ] = "",
    task: Annotated[
        str | None,
        typer.Option(help="binary, multiclass, regression, clustering or reduction [default: inferred from the data]"),
    ] = None,
    positive: Annotated[
        str | None, typer.Option(metavar="VALUE", help="Binary: the label whose probability is reported.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Metric of search and gate [default: by task]")] = None,
    no_header: Annotated[bool, typer.Option("--no-header", help="The file's first line is data.")] = False,
    columns: Annotated[str | None, typer.Option(metavar="a,b,c|@file", help="Names of the columns, in order.")] = None,
    key: Annotated[str | None, typer.Option(metavar="COL[,COL]", help="Columns that identify a row.")] = None,
    time: Annotated[
        str | None, typer.Option(metavar="COL", help="Column with the time at which a row happened.")
    ] = None,
    drop: Annotated[str | None, typer.Option(metavar="COL,COL", help="Columns never shown to the learner.")] = None,
    template: Annotated[
        str | None, typer.Option(metavar="NAME", help="Start from an industry template; see `aimass templates`.")
    ] = None,
    dags: Dags = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the files of an earlier init.")] = False,
) -> None:
    """Write the DAG file and the expectations of a new model from its data."""
    from pipelines.cli.init import init_model

    report = init_model(
        name, source, target, sql=sql, connection=connection, task=task,
        positive=positive, metric=metric, header=False if no_header else None,
        columns=split_names(columns), key=split_names(key), time=time, drop=split_names(drop),
        dags=dags or current_settings().dags, force=force, template=template,
    )  # fmt: skip
    for line in report.lines:
        say(line)
    show_columns(report.columns)
    for line in report.warnings:
        note(line)


@app.command(epilog="Example: aimass run churn --local --budget-seconds 60 --param sample__fraction=0.5")
@command
def run(
    name: Name,
    local: Annotated[bool, typer.Option("--local", help="Run in this process, without the platform.")] = False,
    at: Annotated[str | None, typer.Option(metavar="DATE", help="The night's date, UTC [default: now]")] = None,
    budget_seconds: Annotated[float | None, typer.Option(help="Seconds for tune and ensemble together.")] = None,
    trials: Annotated[int | None, typer.Option(help="Number of trials instead of seconds; reproducible.")] = None,
    param: Annotated[
        list[str] | None, typer.Option(metavar="stage__field=v", help="Change one setting for this night.")
    ] = None,
    dags: Dags = None,
) -> None:
    """Run one night and wait for its verdict."""
    from pipelines.cli.night import run_night

    if budget_seconds is not None and trials is not None:
        raise SpecError("two budgets at once", seen="--budget-seconds and --trials", expected="one of them")
    params = parse_params(param or [])
    if trials is not None:
        params["tune__trials"] = trials
    if budget_seconds is not None:
        params |= {"tune__budget_seconds": budget_seconds, "tune__trials": None}
    for line in run_night(current_settings(), name, local=local, at=parse_date(at), params=params, dags=dags):
        say(line)


@app.command(epilog="Example: aimass predict churn --input new.csv --output predictions.parquet")
@command
def predict(
    name: Name,
    input: Annotated[
        str, typer.Option("--input", metavar="PATH", help="File, folder or quoted glob of any form that init reads.")
    ],
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="Ends in .csv or .parquet.")],
    version: Annotated[int | None, typer.Option(metavar="V", help="A version [default: the live one]")] = None,
) -> None:
    """Predict rows; one output row per input row, in the order of the files' names and lines."""
    from pipelines.batch.predict import predict_file
    from pipelines.inference.doubts import lines_of

    settings, ledger = open_ledger()
    facts = predict_file(settings, ledger, name, input, output, version)
    for notice in facts["notices"]:
        note(f"notice: {notice}")
    for line in lines_of(facts["warnings"]):
        note(f"warning: {line}")
    say(f"{facts['rows']} rows predicted by {name} version {facts['version']}: {output}")


@app.command(epilog="""Example: aimass explain churn --row '{"tenure": 5, "plan": "monthly"}'""")
@command
def explain(
    name: Name,
    row: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE", help="One row as a caller sends it [default: an example]")
    ] = None,
    version: Annotated[int | None, typer.Option(metavar="V", help="A version [default: the live one]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Explain one prediction: raw row, features, each member, their combination; equal to what the service returns."""
    from pipelines.cli import explain as explained

    facts = explained.explain(*open_ledger(), name, row, version)
    if as_json:
        say(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        explained.show(facts)


@app.command(epilog="Example: aimass models")
@command
def models(
    archived: Annotated[bool, typer.Option("--archived", help="Only archived ones, which are left out else.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the models: what is live, how good it is, how the last night ended."""
    from pipelines.cli.show import list_models

    lines = list_models(open_ledger()[1], archived)
    none = "no models yet: aimass init NAME --source FILE --target COLUMN, then aimass run NAME"
    show_lines(lines, as_json, "no model is archived" if archived else none)


@app.command(epilog="Example: aimass show churn --json")
@command
def show(name: Name, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Show a model: its live version, scores, and the last night."""
    from pipelines.cli.releases import open_release
    from pipelines.cli.show import describe, lines_of, stage_table, version_table
    from pipelines.text_table import text_table

    settings, ledger = open_ledger()
    facts = {**describe(ledger, name), "release": open_release(ledger, name)}
    if as_json:
        say(json.dumps(facts, indent=2))
        return
    for line in text_table(lines_of(ledger, settings, facts)):
        say(line)
    say("")
    stages = stage_table(ledger, name, facts["night"]) if facts["night"] else []
    table(["stage", "state", "seconds", "rows", ""], stages)
    say("")
    table(["version", "state", "night", "score", "baseline"], version_table(ledger, name))


@app.command(epilog="Example: aimass check churn")
@command
def check(name: Name, dags: Dags = None) -> None:
    """Check a model: its spec, drift from the template, a dry run on 1 % of the data."""
    from pipelines.cli.check import check_model

    for line in check_model(current_settings(), name, dags):
        say(line)


@app.command(epilog="Example: aimass why churn --version 7 --against 5")
@command
def why(
    name: Name,
    version: Annotated[int | None, typer.Option(metavar="V", help="A version [default: the newest]")] = None,
    against: Annotated[
        int | None, typer.Option(metavar="V", help="Version to compare with [default: the one before]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Compare a version with the one before: data, parameters, seed, code; and tell which of them changed the score."""
    from pipelines.cli import compare_versions as compared

    facts = compared.why(*open_ledger(), name, version, against)
    if as_json:
        say(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        for line in compared.lines_of(facts):
            say(line)


@app.command(epilog="Example: aimass reproduce churn 3")
@command
def reproduce(
    name: Name,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="A version of the model.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Run the night of a version again in a temporary home; name the first stage whose result differs."""
    from pipelines.cli import reproduce as again

    facts = again.reproduce(*open_ledger(), name, version, note)
    if as_json:
        say(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        for line in again.lines_of(facts):
            say(line)
    if facts["diverged"]:
        raise typer.Exit(FAILED)


for part in (operations, backups, access, live, lists, alerts, catalog, tidy, costs, migrate, people, exchange):
    app.add_typer(part.app)
app.add_typer(expectations.app, name="expectations")
app.add_typer(mart.app, name="data")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
