"""The commands; each imports what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.shell import command, note, say, table
from pipelines.errors import SpecError

if TYPE_CHECKING:
    from pipelines.ledger import Ledger
    from pipelines.settings import Settings

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Retrain tabular models every night and serve them safely.",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")]
Dags = Annotated[Path | None, typer.Option("--dags", metavar="DIR", help="Folder of the DAG files [default: dags]")]


def _settings(**overrides: Any) -> Settings:
    from pipelines import settings

    return settings.load(**{name: value for name, value in overrides.items() if value is not None})


def _ledger() -> tuple[Settings, Ledger]:
    from pipelines.ledger import Ledger

    settings = _settings()
    return settings, Ledger.open(settings)


def split_names(text: str | None) -> tuple[str, ...]:
    """Split ``a,b,c`` or read ``@file`` (commas or lines); blanks around a name are dropped."""
    if not text:
        return ()
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text()
        except OSError as error:
            raise SpecError("cannot read the list of names", where=text[1:], seen=error.strerror or error) from None
    return tuple(name.strip() for line in text.splitlines() for name in line.split(",") if name.strip())


def parse_date(text: str | None) -> datetime | None:
    """Read the date of a night; without a zone it is UTC."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SpecError("not a date", where="--at", seen=text, expected="2026-03-01 or 2026-03-01T02:00") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_params(pairs: list[str]) -> dict[str, Any]:
    """Read ``stage__field=value`` pairs; a value that is JSON is taken as such, else as text."""
    params: dict[str, Any] = {}
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found or "__" not in name:
            raise SpecError("not a parameter", where="--param", seen=pair, expected="stage__field=value")
        try:
            params[name] = json.loads(value)
        except ValueError:
            params[name] = value
    return params


@app.command(epilog="Example: aimass init churn --source data/churn.csv --target Churn --positive Yes --key customerID")
@command
def init(
    name: Name,
    source: Annotated[str, typer.Option(metavar="PATH_OR_GLOB", help="CSV (also .gz) or Parquet; quote a glob.")],
    target: Annotated[str, typer.Option(metavar="COLUMN", help="Column with the label.")],
    task: Annotated[
        str | None, typer.Option(help="binary, multiclass or regression [default: seen in the data]")
    ] = None,
    positive: Annotated[
        str | None, typer.Option(metavar="VALUE", help="Binary: label whose probability counts.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Metric of search and gate [default: by task]")] = None,
    no_header: Annotated[bool, typer.Option("--no-header", help="The file's first line is data.")] = False,
    columns: Annotated[str | None, typer.Option(metavar="a,b,c|@file", help="Names of the columns, in order.")] = None,
    key: Annotated[str | None, typer.Option(metavar="COL[,COL]", help="Columns that identify a row.")] = None,
    time: Annotated[str | None, typer.Option(metavar="COL", help="Column with the moment a row happened.")] = None,
    drop: Annotated[str | None, typer.Option(metavar="COL,COL", help="Columns never shown to the learner.")] = None,
    dags: Dags = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the files of an earlier init.")] = False,
) -> None:
    """Write the DAG file and the expectations of a new model from its data."""
    from pipelines.cli.init import init_model

    report = init_model(
        name, source, target, task=task, positive=positive, metric=metric, header=False if no_header else None,
        columns=split_names(columns), key=split_names(key), time=time, drop=split_names(drop),
        dags=dags or _settings().dags, force=force,
    )  # fmt: skip
    for line in report.lines:
        say(line)


@app.command(epilog="Example: aimass run churn --local --budget-seconds 60 --param sample__fraction=0.5")
@command
def run(
    name: Name,
    local: Annotated[bool, typer.Option("--local", help="In this process, without the platform.")] = False,
    at: Annotated[str | None, typer.Option(metavar="DATE", help="The night's date, UTC [default: now]")] = None,
    budget_seconds: Annotated[float | None, typer.Option(help="Wall clock of tune and ensemble.")] = None,
    trials: Annotated[int | None, typer.Option(help="Number of trials instead of seconds; reproducible.")] = None,
    param: Annotated[list[str] | None, typer.Option(metavar="stage__field=v", help="Replace one setting.")] = None,
    dags: Dags = None,
) -> None:
    """Run one night and wait for its verdict."""
    from pipelines.cli.night import run_night

    if budget_seconds is not None and trials is not None:
        raise SpecError("two budgets", seen="--budget-seconds and --trials", expected="one of them")
    params = parse_params(param or [])
    if trials is not None:
        params["tune__trials"] = trials
    if budget_seconds is not None:
        params |= {"tune__budget_seconds": budget_seconds, "tune__trials": None}
    for line in run_night(_settings(), name, local=local, at=parse_date(at), params=params, dags=dags):
        say(line)


@app.command(epilog="Example: aimass predict churn --input new.csv --output answers.parquet")
@command
def predict(
    name: Name,
    input: Annotated[Path, typer.Option("--input", metavar="FILE", help="CSV (also .gz) or Parquet.")],
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="Ends in .csv or .parquet.")],
    version: Annotated[int | None, typer.Option(metavar="V", help="A version [default: the live one]")] = None,
) -> None:
    """Predict a file of rows; one output row per input row, in order."""
    from pipelines.cli.predict import predict_file

    settings, ledger = _ledger()
    facts = predict_file(settings, ledger, name, input, output, version)
    for column, cells in facts["unreadable"].items():
        note(f"warning: {cells} unreadable cells in column {column!r} were taken as missing")
    say(f"{facts['rows']} rows predicted by {name} version {facts['version']}: {output}")


@app.command(epilog="Example: aimass models")
@command
def models(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List the models: what is live, how good it is, how the last night ended."""
    from pipelines.cli.show import list_models

    lines = list_models(_ledger()[1])
    if as_json:
        say(json.dumps(lines, indent=2))
    elif lines:
        table(list(lines[0]), [list(line.values()) for line in lines])
    else:
        note("no models yet: aimass init NAME --source FILE --target COLUMN, then aimass run NAME")


@app.command(epilog="Example: aimass show churn --json")
@command
def show(name: Name, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Show a model: its live version, scores, and the last night."""
    from pipelines.cli.show import describe, stage_table

    ledger = _ledger()[1]
    facts = describe(ledger, name)
    if as_json:
        say(json.dumps(facts, indent=2))
        return
    for field in ("model", "task", "champion_version", "metric", "sealed_score", "baseline_score", "rows_trained"):
        say(f"{field:<17} {'-' if facts[field] is None else facts[field]}")
    say(f"{'last night':<17} {facts['night']} ({facts['state']}, {facts['verdict'] or 'no verdict'})")
    say("")
    table(
        ["stage", "state", "seconds", "rows", ""], stage_table(ledger, name, facts["night"]) if facts["night"] else []
    )
    say("")
    versions = ledger.versions(name)
    table(
        ["version", "state", "night", "score", "baseline"],
        [
            [row.version, row.state, row.as_of.date() if row.as_of else None, row.score, row.baseline]
            for row in versions
        ],
    )


@app.command(epilog="Example: aimass check churn")
@command
def check(name: Name, dags: Dags = None) -> None:
    """Check a model: its spec, drift from the template, a dry run on 1 % of the data."""
    from pipelines.cli.check import check_model

    for line in check_model(_settings(), name, dags):
        say(line)


@app.command(epilog="Example: aimass up && aimass status")
@command
def up() -> None:
    """Start the local platform: Airflow, MLflow, gateway and the services that the ledger asks for."""
    from pipelines.local import platform

    settings = _settings()
    platform.up(settings, note)
    say(f"Airflow {settings.airflow_url}  MLflow {settings.mlflow_uri}  predictions {settings.gateway_url}")


@app.command(epilog="Example: aimass down")
@command
def down() -> None:
    """Stop the local platform and all that it started."""
    from pipelines.local import platform

    platform.down(_settings(), note)
    say("stopped")


@app.command(epilog="Example: aimass status")
@command
def status() -> None:
    """Show the parts of the local platform."""
    from pipelines.local import platform

    parts = platform.status(_settings())
    rows = [[part.component, part.state, part.pid, part.port, _span(part.uptime)] for part in parts]
    table(["part", "state", "pid", "port", "uptime"], rows)


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
    files = extend_feed(_settings(), days, moment.date() if moment else None, seed)
    for path in files:
        say(str(path))


@app.command(epilog="Example: aimass backup")
@command
def backup() -> None:
    """Write one verified backup of databases, models, services and DAG files."""
    from pipelines.backup.backup import backup as write_backup

    report = write_backup(_settings())
    size = f"{report.files} files, {report.bytes / 1e6:.1f} MB, {report.models} models"
    say(f"{report.name}: {size}, verified: {report.path}")


@app.command(epilog="Example: aimass restore latest --into /srv/aimass-restored")
@command
def restore(
    backup: Annotated[str, typer.Argument(metavar="BACKUP", help="Its name, its path, or `latest`.")],
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="An empty or new folder.")],
) -> None:
    """Restore a backup into an empty folder, which is then a usable AIMASS_HOME."""
    from pipelines.backup.restore import restore as write_restore

    report = write_restore(_settings(), backup, into)
    say(f"{report.backup}: {report.files} files restored into {report.home}")


@app.command(epilog="Example: aimass token nightly-batch --model churn --days 30")
@command
def token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose token; one of the same name is replaced.")],
    model: Annotated[str | None, typer.Option(help="Only this model [default: all]")] = None,
    days: Annotated[float, typer.Option(min=0.01, max=366, help="Days until it expires.")] = 30,
    revoke: Annotated[bool, typer.Option("--revoke", help="Revoke it instead.")] = False,
) -> None:
    """Make (or revoke) a token for the prediction API; its text is shown this once."""
    _, ledger = _ledger()
    if not revoke:
        say(ledger.issue_token(name, [f"predict:{model}" if model else "predict"], days))
    elif ledger.revoke_token(name):
        say(f"{name} revoked")
    else:
        raise SpecError("no such token", seen=name, expected=", ".join(row.name for row in ledger.tokens()) or "none")


def _span(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
