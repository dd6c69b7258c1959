"""Drafts a new model: scans all rows of its source, decides on task and columns, learns the suite."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.artifacts import Artifact, Night, Ref
from pipelines.cleaning import scan
from pipelines.cleaning import stage as cleaning
from pipelines.cleaning.learn import look_at
from pipelines.cleaning.parts import FolderParts, Parts, TableParts
from pipelines.cleaning.reading import Reading
from pipelines.cleaning.spec import CleanSpec
from pipelines.cli.chosen import resolved
from pipelines.cli.profile import TargetProfile, infer_task, look_at_target, pick_positive, spread
from pipelines.cli.readings import Found, ask_about_tokens, declare
from pipelines.errors import AimassError, DataError, SpecError
from pipelines.inference.recipe.row_recipe import Column
from pipelines.ingestion.assemble import Assembled, assemble, require_columns
from pipelines.ingestion.files.names import own_name
from pipelines.ingestion.files.read import Source, connect, to_arrow
from pipelines.ingestion.holdout.holdout_bounds import Bounds
from pipelines.ingestion.snapshot import write_snapshot
from pipelines.ingestion.spec import Files, IngestSpec
from pipelines.ingestion.tables import write_source
from pipelines.ledger import Ledger
from pipelines.sampling import stage as sampling
from pipelines.sampling.spec import SampleSpec
from pipelines.settings import Settings, make_private
from pipelines.spec import UNSUPERVISED, ModelSpec
from pipelines.storage import read_table
from pipelines.validation.suite import learn_suite, least_suite

CELLS = 60_000_000
"""Most cells that are scanned in memory; more are written to a file first."""
SUITE_ROWS = 200_000
"""Most unsealed rows that the suite is learned from, drawn uniformly."""
ROW_NUMBERS = ("__index_level_0__", "Unnamed: 0", "rownames", "row.names", "...1")
"""Names of the row-number column of pandas and R."""


@dataclass(frozen=True)
class Declared:
    """What the caller declares about the model."""

    name: str
    target: str
    task: str | None
    positive: str | None
    metric: str | None
    key: tuple[str, ...]
    time: str | None
    drop: tuple[str, ...]


@dataclass
class Drawn:
    """The drafted model, ready to be written.

    Parameters
    ----------
    suite
        JSON of the suite; without rules where none could be learned.
    columns
        What became of each column; empty where the rows could not be cleaned.
    stop
        What must be decided before the first night.
    """

    model: ModelSpec
    ingest: IngestSpec
    found: Found
    suite: dict[str, Any]
    columns: tuple[dict[str, Any], ...] = ()
    stop: AimassError | None = None


@dataclass
class _Looked:
    readings: dict[str, Reading]
    cells: dict[str, scan.Cells] = field(default_factory=dict)


def draw_up(wanted: Declared, ingest: IngestSpec, settings: Settings, work: Path) -> Drawn:
    """Scan the source and draft the model; nothing is stored in the home.

    Raises
    ------
    SpecError, DataError
        What keeps the source from being read at all, or the declaration from being understood.
    """
    found = Found()
    connection = connect(work / "profile", settings.cores, settings.memory_gb)
    try:
        now = datetime.now(UTC)
        made = assemble(
            ingest, connection, model=wanted.name, as_of=now, time=wanted.time, settings=settings,
            work=work / "profile", wanted=(*filter(None, (wanted.target, wanted.time)), *wanted.key, *wanted.drop),
        )  # fmt: skip
        wanted = _named(wanted, made.source.columns)
        require_columns(made.source, wanted.target, wanted.key, wanted.time, wanted.drop)
        _tell_of_source(made, ingest, found)
        parts = _rows(made.source, work / "rows")
        drop = (*wanted.drop, *_row_numbers(parts, wanted, found))
        looked, stop = _look(parts, wanted, drop)
        model, target_stop = _model(wanted, drop, looked, parts, found)
        stop = stop or target_stop
        for name, reading in looked.readings.items():
            if name not in (*model.drop, *wanted.key) or name == wanted.time:
                declare(found, name, reading, looked.cells.get(name), target=name == wanted.target)
        if wanted.time and wanted.time in looked.readings:
            formats = looked.readings[wanted.time].column.formats
            ingest = ingest.model_copy(update={"time_formats": formats or _iso(looked.cells, wanted.time)})
        night = Night(model=model, night="init", as_of=now)
        drawn = Drawn(model, ingest, found, least_suite(wanted.name), stop=stop)
        if stop is None:
            drawn.stop = _learn_suite(drawn, made, night, settings, work)
    finally:
        connection.close()
    return drawn


def _named(wanted: Declared, columns: list[str]) -> Declared:
    """Return the declaration with the columns' names as the source has them."""
    return replace(
        wanted,
        target=own_name(wanted.target) if wanted.target else "",
        time=own_name(wanted.time) if wanted.time else None,
        key=tuple(map(own_name, resolved(wanted.key, columns))),
        drop=tuple(map(own_name, resolved(wanted.drop, columns))),
    )


def _tell_of_source(made: Assembled, ingest: IngestSpec, found: Found) -> None:
    source = made.source
    files = f"{len(source.files)} file(s)"
    where = files if isinstance(ingest.source, Files) else f"connection {ingest.source.connection!r}"
    found.lines.append(f"{source.rows} rows, {len(source.columns)} columns, {where}")
    if isinstance(ingest.source, Files) and ingest.source.file_date is not None:
        found.lines.append(f"file dates: {ingest.source.file_date}, seen in the names")
    found.lines += [f"notice: {notice}" for notice in source.notices]


def _iso(cells: dict[str, scan.Cells], time: str) -> tuple[str, ...]:
    return ("iso",) if time in cells else ()


def _rows(source: Source, folder: Path) -> Parts:
    """Return the rows of the source, in memory if they are few."""
    if source.rows * len(source.columns) > CELLS:
        write_source(source, folder)
        return FolderParts(folder)
    return TableParts(to_arrow(source))


def _row_numbers(parts: Parts, wanted: Declared, found: Found) -> tuple[str, ...]:
    """Return the row-number columns that pandas and R write; they are no features."""
    named = (wanted.target, wanted.time, *wanted.key, *wanted.drop)
    numbers = []
    for name in parts.schema.names:
        if name not in ROW_NUMBERS or name in named:
            continue
        texts = [scan.texts(parts.read(index, [name])[name]) for index in range(len(parts.sizes))]
        cells = pa.chunked_array(texts, pa.large_string())
        digits = pc.all(pc.utf8_is_digit(cells), skip_nulls=False, min_count=0).as_py()
        if digits and pc.count_distinct(cells).as_py() == len(cells):
            numbers.append(name)
            found.warnings.append(f"column {name!r} left out: it numbers the rows")
    return tuple(numbers)


def _look(parts: Parts, wanted: Declared, drop: tuple[str, ...]) -> tuple[_Looked, AimassError | None]:
    """Return how every column is read, and the error if the time column cannot be read."""
    plain = ModelSpec(name=wanted.name, task="clustering", key=wanted.key, time=wanted.time, drop=drop)
    cells: dict[str, scan.Cells] = {}
    dropped = {*drop, *(name for name in wanted.key if name != wanted.time)} - {wanted.time}
    try:
        return _Looked(look_at(parts, plain, CleanSpec(), False, dropped, cells), cells), None
    except DataError as error:
        if wanted.time is None:
            raise
        without = plain.model_copy(update={"time": None})
        cells.clear()
        looked = _Looked(look_at(parts, without, CleanSpec(), False, {*dropped, wanted.time}, cells), cells)
        del looked.readings[wanted.time]
        return looked, DataError(
            "the time column holds no dates that can be read",
            where=f"column {wanted.time!r}",
            seen=error.seen,
            expected=f"dates such as 2026-11-20, 11/20/2026, 20.11.2026 or 20-Nov-26, or {error.expected}",
            cure=f"name another column as time, or write time_formats=(FORMAT,) in INGEST and dates={{{wanted.time!r}: "
            "(FORMAT,)} in CLEAN",
        )


def _model(
    wanted: Declared, drop: tuple[str, ...], looked: _Looked, parts: Parts, found: Found
) -> tuple[ModelSpec, AimassError | None]:
    """Return the model, and the error if the target cannot be used."""
    task, positive, stop = wanted.task, wanted.positive, None
    if task in UNSUPERVISED:
        found.lines.append(f"task: {task}, as declared")
    else:
        if not wanted.target:
            raise SpecError(
                "the model has no target",
                where="--target",
                seen="none",
                expected="the column with the label",
                cure="name it with --target COLUMN, or the task of a model without labels with --task clustering (or "
                "reduction)",
            )
        reading = looked.readings[wanted.target]
        if reading.column.kind == "category" and wanted.target in looked.cells:
            present = ask_about_tokens(found, wanted.target, looked.cells[wanted.target], "target")
            reading = replace(reading, column=replace(reading.column, present=present))
            looked.readings[wanted.target] = reading
        seen = look_at_target(parts, wanted.target, reading)
        try:
            inferred, why = infer_task(seen, wanted.target)
        except DataError as error:
            inferred, why, stop = "binary" if seen.labels else "regression", error.what, error
        task = task or inferred
        found.lines.append(f"task: {task}, {'as declared' if wanted.task else why}")
        if task == "binary" and seen.labels:
            positive, reason = pick_positive(seen, wanted.target, positive)
            found.lines.append(f"positive: {positive!r}, {reason}")
        if task == "regression":
            stop = stop or _no_numbers(wanted.target, seen)
            if (line := spread(seen)) is not None and wanted.metric is None:
                found.warnings.append(f"question: target {wanted.target!r} goes {line}")
        elif reading.column.kind == "number" and reading.column.written is not None:
            looked.readings[wanted.target] = Reading(_as_label(reading))
    model = ModelSpec(
        name=wanted.name, task=task, target=wanted.target, positive=positive, metric=wanted.metric, key=wanted.key,
        time=wanted.time, drop=drop,
    )  # fmt: skip
    found.lines.append(f"metric: {model.judged_by}")
    return model, stop


def _no_numbers(name: str, target: TargetProfile) -> DataError | None:
    """Return the error of a regression whose target holds no readable numbers."""
    if target.numbers * 2 >= target.labelled and np.isfinite(target.values).all():
        return None
    return DataError(
        "the target holds no numbers in a known writing",
        where=f"column {name!r}",
        seen=target.shown() or f"{target.distinct} different texts",
        expected="numbers such as 1234.5, 1.234,50 € or 12 %",
        cure=f"say how they are written, numbers={{{name!r}: NumberText(decimal=…, thousands=…)}} in CLEAN, "
        "or choose another task",
    )


def _as_label(reading: Reading) -> Column:
    return Column(reading.column.name, "category", missing=reading.column.missing, present=reading.column.present)


def _learn_suite(drawn: Drawn, made: Assembled, night: Night, settings: Settings, work: Path) -> DataError | None:
    """Run ingest, sample and clean on the source and learn rules from the result; return the error that stops it."""

    def staged(stage: Any, spec: Any, **inputs: Artifact) -> Artifact:
        folder = work / stage.__name__
        folder.mkdir()
        stage.run(spec, night=night, settings=settings, out=folder, **inputs)
        return Artifact(ref=Ref(uri=stage.__name__, digest="", stage=stage.__name__), path=folder)

    raw = Artifact(ref=Ref(uri="raw", digest="", stage="ingest"), path=make_private(work / "ingested"))
    try:
        with Ledger.open(settings) as ledger:
            write_snapshot(
                made.source, drawn.ingest, night, ledger, raw.path / "raw", own=made.own, bounds=Bounds(),
                work=work / "profile",
            )  # fmt: skip
        made.enrichment.save(raw.path / "enrichment")
        sampled = staged(sampling, SampleSpec(max_rows=SUITE_ROWS), raw=raw)
        cleaned = staged(cleaning, drawn.found.clean(), sampled=sampled)
    except DataError as error:
        return error
    drawn.columns = tuple(json.loads((cleaned.path / "report.json").read_text())["columns"])
    rows = read_table(cleaned.path / "cleaned")
    drawn.suite = learn_suite(drawn.model.name, rows, unique_key=bool(drawn.model.key))
    return None
