"""The commands that bring models in and take them out."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipelines.cli.chosen import split_names
from pipelines.cli.console import command, current_settings, note, open_ledger, say, table
from pipelines.errors import SpecError
from pipelines.spec import NAME

if TYPE_CHECKING:
    from pipelines.exchange.publish import Published

app = typer.Typer()

MaxGb = Annotated[
    float, typer.Option("--max-gb", metavar="GB", min=0.000001, help="Largest archive, packed and unpacked.")
]


@app.command(
    "import", epilog="Example: aimass import churn.onnx --model churn --schema churn.yaml --samples samples.csv"
)
@command
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Model file, or an archive of aimass export.")],
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Name of the model [default: as in the archive]")
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Columns, classes and output of the model; .json or .yaml.")
    ] = None,
    samples: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rows with the predictions expected; .csv, .parquet or .json.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="binary, multiclass or regression [default: as the schema says]")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="Largest difference to the samples, relative above 1.")
    ] = 1e-5,
    trust_key: Annotated[
        str | None,
        typer.Option(metavar="FINGERPRINT", help="Trust the key of an archive from now on; aimass export prints it."),
    ] = None,
    max_gb: MaxGb = 2.0,
) -> None:
    """Make a model from elsewhere a version, proved by its predictions; aimass promote puts it into service."""
    from pipelines.exchange.archive import is_archive
    from pipelines.ledger import Ledger

    _require_file(file)
    if model is not None and not NAME.fullmatch(model):
        raise SpecError(
            "no name of a model",
            where="--model",
            seen=model[:80],
            expected="lower-case letters, digits and underscores, a letter first, 63 at most",
        )
    settings, actor = current_settings(), f"import:{getpass.getuser()}"[:120]
    foreign = {"--model": model, "--schema": schema, "--samples": samples}
    if is_archive(file):
        if given := [name for name, value in (foreign | {"--task": task}).items() if value and name != "--model"]:
            raise SpecError("an archive brings its own schema and predictions", where=str(file), seen=", ".join(given))
        from pipelines.exchange.archive_import import import_archive

        with Ledger.open(settings.ensure()) as ledger:
            got = import_archive(settings, ledger, file, name=model, trust_key=trust_key, max_gb=max_gb, actor=actor)
        came = f"version {got.origin['version']} of {got.origin['model']}, signed by {got.origin['key']}"
        _told(file, got.published, f"{came}; {got.published.golden_rows} golden predictions repeated")
        return
    if model is None or schema is None or samples is None:
        raise SpecError(
            "a model file needs more to be imported",
            where=str(file),
            seen="no " + ", ".join(name for name, value in foreign.items() if value is None),
            expected="its name, what callers send, and rows with the predictions expected",
            cure="docs/guides/import-and-export.md shows all three",
        )
    from pipelines.exchange.importing import import_model

    how: dict[str, Any] = {"schema": schema, "samples": samples, "task": task, "tolerance": tolerance}
    with Ledger.open(settings.ensure()) as ledger:
        done = import_model(settings, ledger, file, model, actor=actor, **how)
    found = done.origin
    if "alone" in found:
        note(f"rows are predicted one by one: together they differ by {found['alone']:.3g}")
    said = f"{found['samples']} sample predictions repeated, largest difference {found['largest_difference']:.3g}"
    _told(file, done.published, f"{said}, {done.served_difference:.3g} as served")


def _require_file(file: Path) -> None:
    if file.name == "MLmodel" or (file / "MLmodel").is_file():
        raise SpecError(
            "a model of MLflow is not imported as a whole",
            where=str(file),
            seen="a pyfunc, which is Python that runs when it is loaded",
            expected="the model inside it: .onnx, or a native file such as model.lgb, model.ubj, model.cb",
            cure="import that file, or export the model to ONNX: docs/guides/import-and-export.md",
        )
    if not file.is_file():
        raise SpecError("there is no such file", where=str(file), expected="a model file, or what aimass export wrote")


def _told(file: Path, published: Published, said: str) -> None:
    say(f"{published.model}: version {published.version} imported from {file.name}; {said}")
    note(f"it is not live: aimass promote {published.model} {published.version} --why TEXT")


@app.command(epilog="Example: aimass export churn --version 7 --out churn-7.aimass.zip")
@command
def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file that is written.")],
    version: Annotated[
        int | None, typer.Option(metavar="V", min=1, help="A version [default: the live one, else the newest]")
    ] = None,
    licence: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Text of the model's licence, which goes along.")
    ] = None,
    form: Annotated[
        Literal["archive", "onnx"],
        typer.Option("--format", help="A signed archive for another installation, or a plain graph over the features."),
    ] = "archive",
    max_gb: MaxGb = 2.0,
) -> None:
    """Write a version as one signed archive, which another installation imports once it trusts the key; or as ONNX."""
    if form == "onnx":
        from pipelines.exchange.onnx_export import export_onnx

        if licence is not None:
            raise SpecError("a plain graph takes no licence along", seen="--licence", expected="--format archive")
        graph = export_onnx(*open_ledger(), name, out, version)
        rows = f"largest difference on {graph.rows} golden rows {graph.difference:.3g}"
        say(f"{name}: version {graph.version} in {out}; {rows}")
        note("it takes the features, not the raw columns: how rows are read and what is made of them is not in it")
        table(["feature", "kind", "codes"], [list(each.values()) for each in graph.features])
        return
    from pipelines.exchange.exporting import export_version

    if licence is not None and not licence.is_file():
        raise SpecError("there is no such file", where=str(licence), expected="the text of a licence")
    done = export_version(*open_ledger(), name, out, version=version, licence=licence, max_gb=max_gb)
    say(f"{name}: version {done.version} in {out}, {done.bytes / 1e6:.1f} MB, signed by {done.key}")
    note(f"it holds {done.example_rows} rows of data as golden predictions: give it to whom you would show those")
    note(f"there: aimass import {out.name} --trust-key {done.key}")


@app.command(epilog="Example: aimass evaluate churn --version 7 --table labelled.csv --slices plan,region")
@command
def evaluate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")],
    data: Annotated[
        str,
        typer.Option(
            "--table", metavar="FILE", help="Rows with the target: .csv, .parquet, .json, or published as mart:TABLE@V."
        ),
    ],
    version: Annotated[
        int | None, typer.Option(metavar="V", min=1, help="A version [default: the live one, else the newest]")
    ] = None,
    slices: Annotated[str | None, typer.Option(metavar="COL,COL", help="Columns to cut the rows by.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Judge a version on a table with labels: metrics, curves, slices; the page shows other versions on it, too."""
    from pipelines.exchange.evaluating import evaluate_version

    done = evaluate_version(*open_ledger(), name, data, version=version, slices=split_names(slices))
    if as_json:
        say(json.dumps(asdict(done), indent=2, default=str))
        return
    header = ["metric", f"version {done.version}", *(f"version {each}" for each in done.others)]
    table(header, [[each, score, *(other.get(each) for other in done.others.values())]
                   for each, score in done.scores.items()])  # fmt: skip
    if done.left_out:
        note(f"{done.left_out} rows left out: no label, or one that the version does not know")
    say(f"{done.rows} rows; page: {done.page}")
