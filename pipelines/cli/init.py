"""`aimass init`: writes the DAG file and the suite of a new model from its data."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.artifacts import write_atomic
from pipelines.cli.draw_up import Declared, draw_up
from pipelines.cli.start import Start
from pipelines.cli.template import is_draft, render, template_drift
from pipelines.errors import AimassError, SpecError
from pipelines.ingestion.files.file_dates import date_pattern
from pipelines.ingestion.files.sources import find_files, locate
from pipelines.ingestion.spec import Files, IngestSpec, Sql
from pipelines.mart.address import is_address
from pipelines.mart.lend import lend
from pipelines.settings import load as load_settings
from pipelines.spec import NAME, ModelSpec, Spec
from pipelines.validation.suite import suite_text

__all__ = ["InitReport", "init_model", "template_drift"]


@dataclass(frozen=True)
class InitReport:
    """What was found and written."""

    dag: Path
    suite: Path
    model: ModelSpec
    lines: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    """Notices for the user: what was left out, coded or read as missing, and questions."""
    columns: tuple[dict[str, Any], ...] = ()
    """How each column is read; see :mod:`pipelines.cleaning.table`."""


def init_model(
    name: str,
    source: str | None,
    target: str = "",
    *,
    sql: str | None = None,
    connection: str | None = None,
    task: str | None = None,
    positive: str | None = None,
    metric: str | None = None,
    header: bool | None = None,
    columns: Sequence[str] | None = None,
    key: Sequence[str] = (),
    time: str | None = None,
    drop: Sequence[str] = (),
    dags: Path = Path("dags"),
    force: bool = False,
    template: str | None = None,
) -> InitReport:
    """Profile a source and write ``dags/retrain_<name>.py`` and ``dags/../expectations/<name>/suite.json``.

    Both files are written, or none. Nothing is kept of the profile. Where the data cannot be read as they should be,
    the files hold what could be found out and say what must be decided, and the error is raised then; such a draft is
    replaced by the next call.

    Parameters
    ----------
    source
        Path, folder or glob, relative to the working folder; stored relative to the project where it lies inside. Where
        every file's name holds a date, its pattern becomes ``file_date``.
    target
        Column with the label; none for the tasks clustering and reduction.
    sql, connection
        Instead of ``source``: a SELECT, and the name of the connection it is for.
    header
        None: found out per file.
    template
        Name of an industry template, which gives what is not given here: target, settings, rules, and without a source
        a generated feed below ``home:feed/<name>``.

    Raises
    ------
    SpecError, DataError
        What the engineer must correct; lists every fault of the declaration.
    """
    dags = dags.absolute()
    dag, suite = dags / f"retrain_{name}.py", dags.parent / "expectations" / name / "suite.json"
    _refuse(name, [dag, suite], force or is_draft(dag))
    start = None if template is None else Start(template, name, own_source=source is not None or sql is not None)
    wanted = Declared(name, target, task, positive, metric, _names(key), time, _names(drop))
    if start is not None:
        source, wanted = start.feed() or source, start.complete(wanted)
    ingest = IngestSpec(source=_source(source, sql, connection, header, tuple(columns or ()), dags.parent))
    work = Path(tempfile.mkdtemp(prefix="aimass-init-"))
    try:
        settings = load_settings(home=work / "home", dags_folder=dags).ensure()
        if isinstance(ingest.source, Files) and is_address(ingest.source.path):
            lend(load_settings(), settings, [ingest.source.path])
        drawn = draw_up(wanted, ingest, settings, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    specs: dict[str, Spec] = {"INGEST": drawn.ingest, "CLEAN": drawn.found.clean()}
    if start is not None:
        start.apply(drawn, specs)
    text = render(drawn.model, specs, decide=[] if drawn.stop is None else _to_decide(drawn.stop))
    compile(text, str(dag), "exec")
    _write_both({suite: suite_text(drawn.suite), dag: text})
    wrote = (f"wrote {dag}", f"wrote {suite}")
    if drawn.stop is not None:
        drawn.stop.faults += drawn.found.warnings
        raise drawn.stop.with_cure(f"{drawn.stop.cure}; {dag} has what could be found out and says what to decide")
    following = f"next: aimass run {name} --local --budget-seconds 60"
    warnings = tuple(drawn.found.warnings)
    return InitReport(dag, suite, drawn.model, (*drawn.found.lines, *wrote, following), warnings, drawn.columns)


def _names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names as a tuple; those of an option stay unsplit until the columns are known."""
    return names if isinstance(names, tuple) else tuple(names)


def _to_decide(error: AimassError) -> list[str]:
    return [line.strip() for line in str(error).splitlines() if line.strip()]


def _refuse(name: str, files: list[Path], force: bool) -> None:
    if not NAME.fullmatch(name):
        raise SpecError(
            "a model cannot have this name",
            seen=repr(name),
            expected="lower-case letters, digits and underscores, a letter first, at most 63",
            cure="choose another name",
        )
    existing = [str(file) for file in files if file.exists()]
    if existing and not force:
        raise SpecError(
            "the model's files are there already",
            where=", ".join(existing),
            seen=f"{len(existing)} existing file(s)",
            expected="none",
            cure="choose another name, or replace them with --force",
        )


def _source(
    path: str | None,
    sql: str | None,
    connection: str | None,
    header: bool | None,
    columns: tuple[str, ...],
    project: Path,
) -> Files | Sql:
    """Return the declaration of the source: a query, or files with the pattern of the dates in their names.

    What lies inside the project is named relative to it, so that the project can move.
    """
    if (path is None) == (sql is None) or (sql is None) != (connection is None):
        raise SpecError(
            "a model has one source",
            seen=", ".join(
                option
                for option, value in (("--source", path), ("--sql", sql), ("--connection", connection))
                if value is not None
            )
            or "none",
            expected="--source PATH, or --sql QUERY with --connection NAME",
            cure="name one of them",
        )
    if sql is not None and connection is not None:
        return Sql(query=sql, connection=connection)
    settings = load_settings()
    path = path or ""
    if path.startswith("home:"):
        path = locate(path, settings)
    elif is_address(path):
        return Files(path=path)
    elif "://" not in path:
        path = os.path.abspath(os.path.expanduser(path))
    files = Files(path=path, header=header, columns=columns)
    if not Path(path).is_file():
        files = files.model_copy(update={"file_date": date_pattern(find_files(files, datetime.now(UTC), settings))})
    inside = Path(path).is_relative_to(project) and "://" not in path
    return files.model_copy(update={"path": str(Path(path).relative_to(project))}) if inside else files


def _write_both(texts: dict[Path, str]) -> None:
    """Write all files, or restore the previous ones."""
    before = {path: path.read_text() if path.exists() else None for path in texts}
    made: list[Path] = []
    try:
        for path, text in texts.items():
            missing = [folder for folder in path.parents if not folder.exists()]
            made.extend(missing)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, text, mode=0o644)
    except OSError as error:
        for path, old in before.items():
            if old is not None:
                write_atomic(path, old, mode=0o644)
            elif path.parent.is_dir():
                path.unlink(missing_ok=True)
        for folder in sorted({folder for folder in made if folder.is_dir()}, key=lambda folder: -len(folder.parts)):
            folder.rmdir()
        raise SpecError(
            "cannot write the model's files",
            where=", ".join(str(path) for path in texts),
            seen=error.strerror or error,
            expected="a writable folder",
            cure="name another folder with --dags",
        ) from None
