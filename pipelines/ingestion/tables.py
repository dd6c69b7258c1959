"""Opens one declared table as known at a night's date: files or a query, read directly or through the history."""

# ruff: noqa: S608 - column names are internal ones, table names are made here
from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pipelines import storage
from pipelines.artifacts import Night, canonical_json
from pipelines.errors import DataError
from pipelines.ingestion.database.watermark import drop_known
from pipelines.ingestion.files import rejects, sources
from pipelines.ingestion.files.file_dates import known_since
from pipelines.ingestion.files.names import own_name
from pipelines.ingestion.files.read import Source, arrow_select, drop, load, refuse_empty, stored
from pipelines.ingestion.history.replay import is_recorded
from pipelines.ingestion.history.store import History
from pipelines.ingestion.spec import Files, Sql
from pipelines.mart.address import is_address
from pipelines.mart.tables import known_version
from pipelines.settings import Settings
from pipelines.storage.tables import batch_rows

log = logging.getLogger(__name__)

MAIN = "main"
REJECTED = "rejected"
"""Folder beside the rows of an increment, with the lines of its file that do not fit."""


@dataclass
class Opened:
    """One table and its origin."""

    source: Source
    sizes: dict[Path, int]
    """Bytes of each file; of a database, the addresses of what was read."""
    rejected: pa.Table
    """Lines that do not fit: file, line, reason, text."""
    increments: dict[str, int] = field(default_factory=lambda: {"read": 0, "known": 0})
    """Number of increments that this night read, and that it knows; 0 and 0 without history."""
    before: dict[Path, tuple[int, int]] = field(default_factory=dict)
    """Size and modification time of the files that are read directly."""

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes.values())


class TableReader:
    """Reads the tables of one night.

    Parameters
    ----------
    work
        Folder for what does not fit into memory.
    wanted
        By table: names of columns that the model needs; they tell a header from titles and from data.
    zone
        Of times without one, and of dates in file names.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        model: str,
        as_of: datetime,
        settings: Settings,
        work: Path,
        wanted: Mapping[str, Collection[str]] | None = None,
        zone: str = "UTC",
    ) -> None:
        self._connection, self._model, self._as_of, self._zone = connection, model, as_of, zone
        self._settings, self._work, self._wanted = settings, work, wanted or {}

    def open(self, name: str, declared: Files | Sql, table: str, *, copy: bool = False) -> Opened:
        """Return a declared table as known at the night's date, as ``table`` of the connection: no view, if ``copy``.

        Raises
        ------
        SpecError, DataError
            Whatever keeps it from being read whole; nothing is kept of it then.
        """
        opened = self._open(name, declared, table, copy)
        opened.source.zone = self._zone
        return opened

    def _open(self, name: str, declared: Files | Sql, table: str, copy: bool) -> Opened:
        if isinstance(declared, Sql):
            return self._query(name, declared, table, copy)
        # a table that is built again from its history needs none of the files
        mart = is_address(declared.path)
        kept = not mart and is_recorded() and table_history(self._settings, self._model, name, declared).is_there()
        files = [] if kept else sources.find_files(declared, self._as_of, self._settings, self._zone)
        if kept or sources.is_incremental(declared, self._settings):
            return self._increments(name, declared, files, table, copy)
        before = sources.sizes(files)
        split = sources.partitions(files, sources.root_of(declared, self._settings))
        wanted = self._wanted.get(name, ())
        source = load(self._connection, files, declared, table=table, partitions=split, copy=copy, wanted=wanted)
        return Opened(
            source,
            {file: size for file, (size, _) in before.items()},
            rejects.table(self._connection, files),
            before=before,
        )

    def _query(self, name: str, declared: Sql, table: str, copy: bool) -> Opened:
        from pipelines.ingestion.database.sql import fetch

        history = table_history(self._settings, self._model, name, declared)
        as_of = self._as_of
        read = 0
        if not history.is_past(as_of):
            before = history.increments(as_of)
            # the whole table again where it has no growing column, or where the query was another one
            whole = declared.since is None or not before or any(item.reading != reading_of(declared) for item in before)
            mark = None if whole else history.watermark(as_of)
            fetched = fetch(declared, self._work / f"{table}-rows", mark)
            spec = Files(path=f"connection {declared.connection!r}")
            if whole:
                refuse_empty(fetched.rows, fetched.files, spec)
            if fetched.rows:
                new = load(
                    self._connection, fetched.files, spec, table=f"{table}_new", judge=False, copy=mark is not None
                )
                if declared.since is not None and mark is not None:
                    files = [file for folder in history.tables(as_of) for file in sorted(folder.glob("*.parquet"))]
                    known = load(self._connection, files, spec, table=f"{table}_known", judge=False)
                    drop_known(new, known, own_name(declared.since), mark)
                    drop(self._connection, known.table)
                watermark = mark if fetched.watermark is None else fetched.watermark
                if new.rows:
                    read = history.add(self._rows(new), as_of=as_of, watermark=watermark, whole=whole) is not None
                drop(self._connection, new.table)
            history.looked(as_of)
        return self._known(name, declared, history, table, int(read), copy)

    def _increments(self, name: str, declared: Files, files: Sequence[Path], table: str, copy: bool) -> Opened:
        history = table_history(self._settings, self._model, name, declared)
        as_of = self._as_of
        root = sources.root_of(declared, self._settings)
        new = history.plan(files, as_of, known_since(files, declared, self._zone))
        split = sources.partitions(new, root)
        wanted = self._wanted.get(name, ())
        read = [self._one(file, declared, f"{table}_new{index}", split, wanted) for index, file in enumerate(new)]
        rejects.judge(self._connection, new, sum(source.rows for source in read), declared.max_rejected)
        for file, source in zip(new, read, strict=True):
            history.add(self._rows(source, file), as_of=as_of, file=file)
            drop(self._connection, source.table)
        history.looked(as_of)
        if new:
            log.info(f"{name}: {len(new)} new or changed file(s) read")
        opened = self._known(name, declared, history, table, len(new), copy)
        opened.source.notices += [notice for source in read for notice in source.notices]
        there = {_name(file, root) for file in files}
        gone = sorted({item.name for item in history.increments(as_of)} - there)
        if gone and not is_recorded():
            opened.source.notices.append(
                f"{len(gone)} file(s) read earlier are gone from the source; their rows are kept: {', '.join(gone[:5])}"
            )
        return opened

    def _one(
        self, file: Path, declared: Files, table: str, split: dict[Path, dict[str, str | None]], wanted: Collection[str]
    ) -> Source:
        return load(self._connection, [file], declared, table=table, partitions=split, judge=False, wanted=wanted)

    def _rows(self, source: Source, file: Path | None = None) -> Any:
        def write(folder: Path) -> int:
            lines = rejects.table(self._connection, [file]) if file is not None else rejects.SCHEMA.empty_table()
            if lines.num_rows:
                storage.write_table(lines, folder.parent / REJECTED)
            return write_source(source, folder)

        return write

    def _known(self, name: str, declared: Files | Sql, history: History, table: str, read: int, copy: bool) -> Opened:
        as_of = self._as_of
        folders = history.tables(as_of)
        chosen = history.increments(as_of)
        with_rows = [folder for item, folder in zip(chosen, folders, strict=True) if item.rows]
        files = [file for folder in with_rows for file in sorted(folder.glob("*.parquet"))]
        spec = declared if isinstance(declared, Files) else Files(path=f"connection {declared.connection!r}")
        if chosen:
            refuse_empty(len(files), [item.folder for item in chosen], spec)
        else:
            raise DataError(
                "nothing is known of a table at the night's date",
                where=f"{name}: {spec.path}",
                seen="no increment",
                expected=f"rows read by {as_of.isoformat()}",
                cure="run the night at a later date",
            )
        labels = {
            file: Path(item.name).name or f"rows of {item.read_by:%Y-%m-%d}"
            for item in chosen
            for file in item.table.glob("*.parquet")
        }
        wanted = self._wanted.get(name, ())
        source = load(self._connection, files, spec, table=table, labels=labels, judge=False, copy=copy, wanted=wanted)
        source.notices += history.notices
        kept = [item.folder / REJECTED for item in chosen if (item.folder / REJECTED).is_dir()]
        lines = pa.concat_tables([storage.read_table(folder) for folder in kept] or [rejects.SCHEMA.empty_table()])
        source.rejected = lines.num_rows
        source.files = [Path(item.name) if item.name else item.folder for item in chosen]
        sizes = {file: item.bytes for file, item in zip(source.files, chosen, strict=True)}
        return Opened(source, sizes, lines, {"read": read, "known": len(chosen)})


def reading_of(declared: Files | Sql) -> str:
    """Return the digest of a table's read options."""
    files = {"header", "columns", "separator", "encoding"}
    options = declared.model_dump(include={"query", "since"} if isinstance(declared, Sql) else files)
    return hashlib.sha256(canonical_json(options).encode()).hexdigest()[:16]


def table_history(settings: Settings, model: str, name: str, declared: Files | Sql) -> History:
    """Return the history of a declared table."""
    reading = reading_of(declared)
    if isinstance(declared, Sql):
        return History(settings, model, name, reading=reading)
    root = sources.root_of(declared, settings)
    return History(
        settings, model, name, root=root, reading=reading, named=partial(sources.is_named, declared, settings)
    )


def table_digest(settings: Settings, night: Night, name: str, declared: Files | Sql) -> str:
    """Return the digest of a table's content tonight: of its files, or of the night's date for a database."""
    as_of = night.as_of
    if isinstance(declared, Sql):
        history = table_history(settings, night.model.name, name, declared)
        return history.digest(as_of) if history.is_past(as_of) else as_of.isoformat()
    if is_address(declared.path):
        return known_version(settings, declared.path, as_of).digest
    files = sources.find_files(declared, as_of, settings, night.model.zone)
    if not sources.is_incremental(declared, settings):
        return sources.content_digest(files)
    history = table_history(settings, night.model.name, name, declared)
    history.plan(files, as_of, known_since(files, declared, night.model.zone))
    return history.digest(as_of)


def write_source(source: Source, folder: Path) -> int:
    """Write a table of the connection as Parquet under its own column names; return the number of rows."""
    if not source.columns:
        return storage.write_table(pa.table({}), folder)
    schema, batches = stream_source(source)
    return storage.write_table(batches, folder, schema)


def stream_source(source: Source) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the schema and the rows of a table of the connection, under its own column names."""
    select, kinds = arrow_select(source)
    reader = source.connection.sql(f"SELECT {select} FROM {source.table}").to_arrow_reader(
        batch_rows(len(source.columns))
    )
    schema = pa.schema(
        [
            (name, pa.null() if name in source.unknown else kind)
            for name, kind in zip(source.columns, kinds, strict=True)
        ]
    )
    batches = (
        pa.RecordBatch.from_arrays(
            [
                pa.nulls(batch.num_rows) if pa.types.is_null(kind) else stored(column, kind)
                for column, kind in zip(batch.columns, schema.types, strict=True)
            ],
            schema=schema,
        )
        for batch in reader
    )
    return schema, batches


def _name(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.as_posix()
