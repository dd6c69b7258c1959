"""The commands that tell what the machine was or will be used for: costs, a plan, and figures for Prometheus."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import command, current_settings, note, open_ledger, parse_date, say, table
from pipelines.errors import SpecError

app = typer.Typer()


@app.command(epilog="Example: aimass cost churn --prices prices.json --csv > cost.csv")
@command
def cost(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")],
    prices: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Table with cpu_hour and gpu_hour [default: prices.json in the home]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
) -> None:
    """Show what each version of a model took to train and to serve: CPU, GPU, money; and per 1,000 predictions."""
    from pipelines.cli.show import require_model
    from pipelines.costs import as_dicts, costs_of
    from pipelines.gateway.prices import Prices

    if as_json and as_csv:
        raise SpecError("two options that exclude each other", seen="--json and --csv", expected="one of them")
    settings, ledger = open_ledger()
    require_model(ledger, name)
    priced = Prices.load(settings.home) if prices is None else Prices.read(prices)
    lines = as_dicts(costs_of(ledger, name, priced.cpu_hour, priced.gpu_hour))
    if not priced.cpu_hour and not priced.gpu_hour:
        note('no money: the price table has neither, such as {"cpu_hour": 0.04, "gpu_hour": 2.5, "currency": "EUR"}')
    if as_json:
        facts = {"cpu_hour": float(priced.cpu_hour), "gpu_hour": float(priced.gpu_hour), "currency": priced.currency}
        say(json.dumps({"model": name, "prices": facts, "lines": lines}, indent=2))
        return
    if as_csv:
        text = io.StringIO()
        writer = csv.DictWriter(text, [*lines[0], "currency"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**line, "currency": priced.currency} for line in lines)
        say(text.getvalue().rstrip("\n"))
        return
    header = ["version", "night", "CPU s", "GPU s", "peak GB", "serving CPU s", "predictions", "CPU s per 1,000"]
    money = [f"{what} {priced.currency}" for what in ("training", "serving", "per 1,000", "per 1,000 with training")]
    cells = [[line["peak_memory"] / 1e9 if each == "peak_memory" else line[each] for each in line] for line in lines]
    table([*header, *money], cells)


@app.command(epilog="Example: aimass plan churn --trials 40 --json")
@command
def plan(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")],
    at: Annotated[str | None, typer.Option(metavar="DATE", help="The night's date, UTC [default: now]")] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Rows to read [default: told by sources and nights]")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Number of trials, as for aimass run.")] = None,
    budget_seconds: Annotated[float | None, typer.Option(help="Seconds of search, as for aimass run.")] = None,
    param: Annotated[list[str] | None, typer.Option(metavar="stage__field=v", help="Change one setting.")] = None,
    prices: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Table with cpu_hour and gpu_hour [default: prices.json in the home]"),
    ] = None,
    dags: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of DAG files.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Tell before a night what each stage will take, what is re-used and why, and where it runs."""
    from pipelines.cli.chosen import parse_params
    from pipelines.cli.plan import header, plan_night, rows_of
    from pipelines.ledger import Ledger

    params = parse_params(param or []) | ({"tune__trials": trials} if trials is not None else {})
    if budget_seconds is not None:
        params |= {"tune__budget_seconds": budget_seconds, "tune__trials": None}
    settings = current_settings().ensure()
    with Ledger.open(settings) as ledger:
        facts = plan_night(
            settings, ledger, name, at=parse_date(at), rows=rows, params=params, prices=prices, dags=dags
        )
    if as_json:
        say(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    table(header(facts), [list(line) for line in rows_of(facts)])
    share = f"{facts['level']:.0%}"
    note(f"in brackets: where {share} of nights are expected; from {facts['nights']} nights of this model, else curves")


@app.command(epilog="Example: aimass metrics --output /var/lib/node_exporter/textfile/aimass.prom")
@command
def metrics(
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a file for node_exporter's textfile collector.")
    ] = None,
) -> None:
    """Print the figures of nights, stages, services, alerts and backups in Prometheus' text format."""
    from pipelines.artifacts import write_atomic
    from pipelines.platform_metrics import exposition

    text = exposition(*open_ledger()).decode()
    if output is None:
        say(text.rstrip("\n"))
        return
    write_atomic(output, text, mode=0o644)  # the collector is another user
    say(f"{output}: {sum(not line.startswith('#') for line in text.splitlines())} figures")
