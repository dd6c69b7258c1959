"""`aimass init`: writes the DAG file and the suite of a new model from its data."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.artifacts import Artifact, Night, Ref, write_atomic
from pipelines.cleaning import stage as cleaning
from pipelines.cleaning.spec import CleanSpec
from pipelines.cli.profile import infer_task, learn_dates, look_at_target, pick_positive
from pipelines.cli.template import render, template_drift
from pipelines.errors import SpecError
from pipelines.ingestion import stage as ingestion
from pipelines.ingestion.assemble import assemble, require_columns
from pipelines.ingestion.file_dates import date_pattern
from pipelines.ingestion.read import ON_DISK, Source, connect
from pipelines.ingestion.sources import find_files, locate
from pipelines.ingestion.spec import Files, IngestSpec, Sql
from pipelines.sampling import stage as sampling
from pipelines.sampling.spec import SampleSpec
from pipelines.settings import Settings
from pipelines.settings import load as load_settings
from pipelines.spec import NAME, UNSUPERVISED, ModelSpec
from pipelines.storage import read_table
from pipelines.validation.spec import ValidateSpec
from pipelines.validation.suite import learn_suite, suite_text

__all__ = ["InitReport", "init_model", "template_drift"]

SUITE_ROWS = 200_000
"""The suite is learned from at most so many unsealed rows, drawn uniformly."""


@dataclass(frozen=True)
class InitReport:
    """What was found and written."""

    dag: Path
    suite: Path
    model: ModelSpec
    lines: tuple[str, ...]


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
) -> InitReport:
    """Profile a source and write ``dags/retrain_<name>.py`` and ``dags/../expectations/<name>/suite.json``.

    Both files are written, or none. Nothing is kept of the profile.

    Parameters
    ----------
    source
        Path, folder or glob, relative to the working folder; stored absolute. Where every file's name holds a date,
        its pattern becomes ``file_date``.
    target
        Column with the label; none for the tasks clustering and reduction.
    sql, connection
        Instead of ``source``: a SELECT, and the name of the connection it is for.
    header
        None: found out per file.

    Raises
    ------
    SpecError, DataError
        What the engineer must correct; lists every fault of the declaration.
    """
    dags = dags.absolute()
    dag, suite = dags / f"retrain_{name}.py", dags.parent / "expectations" / name / "suite.json"
    _refuse(name, [dag, suite], force)
    ingest = IngestSpec(source=_source(source, sql, connection, header, tuple(columns or ())))
    work = Path(tempfile.mkdtemp(prefix="aimass-init-"))
    try:
        settings = load_settings(home=work / "home", dags_folder=dags).ensure()
        model, ingest, clean, lines = _profile(
            name, target, ingest, settings, work / "profile",
            task=task, positive=positive, metric=metric, key=tuple(key), time=time, drop=tuple(drop),
        )  # fmt: skip
        rules = suite_text(_suite(model, ingest, clean, settings, work))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    text = render(model, {"INGEST": ingest, "CLEAN": clean, "VALIDATE": ValidateSpec(suite=str(suite))})
    compile(text, str(dag), "exec")
    _write_both({suite: rules, dag: text})
    wrote = (f"wrote {dag}", f"wrote {suite}", f"next: aimass run {name} --local --budget-seconds 60")
    return InitReport(dag, suite, model, (*lines, *wrote))


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


def _profile(
    name: str, target: str, ingest: IngestSpec, settings: Settings, work: Path, **declared: Any
) -> tuple[ModelSpec, IngestSpec, CleanSpec, list[str]]:
    key, time, drop = declared["key"], declared["time"], declared["drop"]
    connection = connect(work, ON_DISK + 1, settings.cores, settings.memory_gb)
    try:
        made = assemble(
            ingest, connection, model=name, as_of=datetime.now(UTC), time=time, settings=settings, work=work
        )
        source = made.source
        require_columns(source, target, key, time, drop)
        task, positive, told = declared["task"], declared["positive"], [f"task: {declared['task']}, as declared"]
        if task not in UNSUPERVISED:
            task, positive, told = _labelled_task(source, target, task, positive)
        lines = [f"{source.rows} rows, {len(source.columns)} columns, {_count(source.files, ingest)}"]
        if isinstance(ingest.source, Files) and ingest.source.file_date is not None:
            lines.append(f"file dates: {ingest.source.file_date}, seen in the names")
        lines += [f"notice: {notice}" for notice in source.notices]
        lines += told
        model = ModelSpec(
            name=name, task=task, target=target, positive=positive, metric=declared["metric"],
            key=key, time=time, drop=drop,
        )  # fmt: skip
        found = learn_dates(source, time, {target, *key, *drop})
    finally:
        connection.close()
    lines.append(f"metric: {model.judged_by}")
    lines += [f"dates in {column!r}: {', '.join(formats)}" for column, formats in found.items()]
    formats = found.get(time, ()) if time else ()
    ingest = ingest.model_copy(update={"time_formats": formats})
    return model, ingest, CleanSpec(dates=found), lines


def _labelled_task(
    source: Source, target: str, declared: str | None, positive: str | None
) -> tuple[str, str | None, list[str]]:
    """Give the task and the positive label of a model with a target, and a line on each."""
    if not target:
        raise SpecError(
            "the model has no target",
            where="--target",
            seen="none",
            expected="the column with the label",
            cure="name it with --target COLUMN, or the task of a model without labels with --task clustering (or "
            "reduction)",
        )
    seen = look_at_target(source, target)
    inferred, why = infer_task(seen, target)
    task = declared or inferred
    lines = [f"task: {task}, {'as declared' if declared else why}"]
    if task == "binary" and seen.labels:
        positive, reason = pick_positive(seen, target, positive)
        lines.append(f"positive: {positive!r}, {reason}")
    return task, positive, lines


def _count(files: Sequence[Path], ingest: IngestSpec) -> str:
    return f"{len(files)} file(s)" if isinstance(ingest.source, Files) else f"connection {ingest.source.connection!r}"


def _source(
    path: str | None, sql: str | None, connection: str | None, header: bool | None, columns: tuple[str, ...]
) -> Files | Sql:
    """Give the declaration of the source: a query, or files with the pattern of the dates in their names."""
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
    elif "://" not in path:
        path = str(Path(path).expanduser().absolute())
    files = Files(path=path, header=header, columns=columns)
    if Path(path).is_file():
        return files
    return files.model_copy(update={"file_date": date_pattern(find_files(files, datetime.now(UTC), settings))})


def _suite(model: ModelSpec, ingest: IngestSpec, clean: CleanSpec, settings: Settings, work: Path) -> dict[str, Any]:
    """Take the source through ingest, sample and clean, and learn the rules from what comes out."""
    night = Night(model=model, night="init", as_of=datetime.now(UTC))

    def staged(stage: Any, spec: Any, **inputs: Artifact) -> Artifact:
        folder = work / stage.__name__
        folder.mkdir()
        stage.run(spec, night=night, settings=settings, out=folder, **inputs)
        return Artifact(ref=Ref(uri=stage.__name__, digest="", stage=stage.__name__), path=folder)

    raw = staged(ingestion, ingest)
    sampled = staged(sampling, SampleSpec(max_rows=SUITE_ROWS), raw=raw)
    cleaned = staged(cleaning, clean, sampled=sampled)
    return learn_suite(model.name, read_table(cleaned.path / "cleaned"), unique_key=bool(model.key))


def _write_both(texts: dict[Path, str]) -> None:
    """Write all files, or put back what was there."""
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
