"""`aimass expectations`: learns validation rules from a model's past nights."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.console import command, current_settings, note, say, table
from pipelines.errors import SpecError

if TYPE_CHECKING:
    from pipelines.settings import Settings
    from pipelines.validation.relearn import RuleChange

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Learn validation rules from the data; show what learning again would change.",
    epilog="Example: aimass expectations diff churn",
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")]
Nights = Annotated[int, typer.Option(metavar="N", min=1, help="How many of the last nights to learn from.")]
Hard = Annotated[bool, typer.Option("--hard", help="Let every rule stop the night, not only those on structure.")]
Dags = Annotated[Path | None, typer.Option("--dags", metavar="DIR", help="Folder of the DAG files [default: dags]")]
DRY_ROWS = 200_000
"""Most rows of the dry run for a model without nights."""


@app.command(epilog="Example: aimass expectations learn churn --nights 7 --write")
@command
def learn(
    name: Name,
    nights: Nights = 7,
    write: Annotated[
        bool, typer.Option("--write", help="Write the suite; without this option it is only shown.")
    ] = False,
    hard: Hard = False,
    replace_edited: Annotated[
        bool, typer.Option("--replace-edited", help="Replace edited rules by their learned form too.")
    ] = False,
    dags: Dags = None,
) -> None:
    """Derive the rules from the cleaned tables of the last nights; edited rules are kept."""
    from pipelines.validation.suite import suite_text, write_suite

    settings = current_settings()
    path = _suite_file(settings, name, dags)
    old = _read(path, name) if path.is_file() else None  # before minutes of learning
    fresh = _learned(settings, name, nights, hard, dags)
    suite = fresh
    changes: list[RuleChange] = []
    if old is not None:
        suite, changes = _merged(old, fresh, replace_edited)
    if not write:
        say(suite_text(suite).rstrip("\n"))
        note(f"not written: {path} stays as it is; --write replaces it, aimass expectations diff {name} shows how")
        return
    write_suite(suite, path.parent) if path.name == "suite.json" else path.write_text(suite_text(suite))
    for change in changes:
        if change.state == "kept":
            say(f"kept, {change.why}: {change.kind} of {change.about}: {change.old}; learned now: {change.new}")
    counts = {state: sum(change.state == state for change in changes) for state in ("added", "removed", "changed")}
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    say(f"wrote {path}: {len(suite['expectations'])} rules" + (f"; {told}" if changes else ""))


@app.command(epilog="Example: aimass expectations diff churn --nights 30")
@command
def diff(name: Name, nights: Nights = 7, hard: Hard = False, dags: Dags = None) -> None:
    """Show what learning the suite again would change: rules added, removed, changed, and those kept as edited."""
    settings = current_settings()
    path = _suite_file(settings, name, dags)
    if not path.is_file():
        raise SpecError(
            "the model has no suite",
            where=str(path),
            expected="a suite to compare with",
            cure=f"aimass expectations learn {name} --write",
        )
    old = _read(path, name)
    _, changes = _merged(old, _learned(settings, name, nights, hard, dags), replace_edited=False)
    if not changes:
        say(f"no change: {len(old['expectations'])} rules of {path} would be learned again unchanged")
        return
    table(["change", "column", "rule", "old", "new"], [_row(change) for change in changes])


def _row(change: RuleChange) -> list[Any]:
    """Return a change as a table row: state, column, rule, old and new form."""
    from rich.text import Text

    colours = {"added": "green", "removed": "red", "changed": "yellow", "kept": "cyan"}
    state = Text(change.state + (f" ({change.why})" if change.why else ""), style=colours[change.state])
    return [state, change.about, change.kind.removeprefix("expect_").replace("_", " "), change.old, change.new]


def _read(path: Path, name: str) -> dict[str, Any]:
    """Read a suite as the stage `validate` does, so that its errors are found before the night."""
    from pipelines.validation.context import check_rules
    from pipelines.validation.reading import read_suite

    suite = read_suite(path)
    check_rules(suite["expectations"], name, where=str(path))
    return suite


def _merged(
    old: dict[str, Any], fresh: dict[str, Any], replace_edited: bool
) -> tuple[dict[str, Any], list[RuleChange]]:
    from pipelines.validation.relearn import merge

    return merge(old, fresh, replace_edited=replace_edited)


def _suite_file(settings: Settings, name: str, dags: Path | None) -> Path:
    """Return the path of a model's suite: that of its last night, else ``expectations/<model>/suite.json``."""
    beside = (dags or settings.dags).absolute().parent
    said = ""
    for row in _stages(settings, name, "validate"):
        said = (row.spec or {}).get("suite", "")
    path = beside / (said or f"expectations/{name}")
    return path if path.suffix else path / "suite.json"


def _stages(settings: Settings, name: str, stage: str) -> list[Any]:
    from pipelines.ledger import Ledger

    if not settings.home.is_dir():
        return []
    with Ledger.open(settings) as ledger:
        return [row for night in ledger.nights(name) for row in ledger.stages(name, night.night) if row.stage == stage]


def _learned(settings: Settings, name: str, nights: int, hard: bool, dags: Path | None) -> dict[str, Any]:
    """Learn from the model's nights, or from a dry run if it has none."""
    from pipelines.ledger import Ledger
    from pipelines.validation.history import cleaned_nights
    from pipelines.validation.suite import learn_nights

    severity: Any = "all" if hard else "structure"
    if settings.home.is_dir():
        with Ledger.open(settings) as ledger:
            model = ledger.model(name)
            folders, passed = cleaned_nights(settings, ledger, name, nights) if model else ([], [])
        for line in passed:
            note(f"skipped: {line}")
        if model and folders:
            note(f"learned from {len(folders)} night(s) of {name}")
            return learn_nights(name, folders, unique_key=bool(model.spec.get("key")), hard=severity)
    with _dry_run(settings, name, dags) as (folder, keyed):
        note(f"{name} has no successful night yet: learned from a dry run of ingest, sample and clean")
        return learn_nights(name, [folder], unique_key=keyed, hard=severity)


@contextmanager
def _dry_run(settings: Settings, name: str, dags: Path | None) -> Iterator[tuple[Path, bool]]:
    """Run ingest, sample and clean in a temporary home; yield the cleaned table."""
    from pipelines import storage
    from pipelines.artifacts import Ref
    from pipelines.cli.night import find_dag, run_locally
    from pipelines.ledger import Ledger
    from pipelines.mart.lend import lend, named_in
    from pipelines.trial_home import load_private

    path = find_dag(settings, name, dags)
    private = Path(tempfile.mkdtemp(prefix="aimass-learn-"))
    try:
        trial = load_private(private / "home", path.parent).ensure()
        lend(settings, trial, named_in(path.read_text()))
        if settings.feed.is_dir():
            trial.feed.rmdir()
            trial.feed.symlink_to(settings.feed)
        absent = private / "no-suite.json"
        params = {"validate__suite": str(absent), "sample__max_rows": DRY_ROWS}
        try:
            run_locally(trial, path, datetime.now(UTC), params, note)
        except SpecError as error:
            if error.where != str(absent):  # the run stops at the missing suite: what is before it is done
                raise
        with Ledger.open(trial) as ledger:
            model = ledger.model(name)
            rows = [row for row in ledger.stages(name, ledger.nights(name)[-1].night) if row.stage == "clean"]
        ref = Ref.model_validate(rows[-1].ref)
        yield storage.resolve(trial, ref.uri) / "cleaned", bool(model and model.spec.get("key"))
    finally:
        shutil.rmtree(private, ignore_errors=True)
