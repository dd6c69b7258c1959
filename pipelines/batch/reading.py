"""Reads the rows of a batch as `aimass init` reads a source, table by table, with all columns that the model needs."""

# ruff: noqa: S608 - names of columns and tables are our own
from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import DataError
from pipelines.ingestion.derived_columns import near
from pipelines.ingestion.files import rejects, sources
from pipelines.ingestion.files.compression import content_name
from pipelines.ingestion.files.csv_dialect import first_line
from pipelines.ingestion.files.formats import is_json, is_parquet
from pipelines.ingestion.files.read import Source, arrow_select, connect, load, stored
from pipelines.ingestion.spec import Files
from pipelines.mart.address import PREFIX
from pipelines.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.inference.predictor import Predictor

READ_ROWS = 50_000
"""Rows that DuckDB hands over at a time."""
READ_MB = 500
"""Memory of what is read ahead, which is spilled beyond it; a wide table gets more."""


@dataclass(frozen=True)
class Input:
    """The files of a batch.

    Parameters
    ----------
    path
        As given, absolute.
    files
        In the order of their rows.
    before
        Size and time of change of each file when it was found.
    """

    path: str
    files: list[Path]
    before: dict[Path, tuple[int, int]]

    def digest(self) -> str:
        """Return the digest of names and contents."""
        return sources.content_digest(self.files)

    def refuse_changed(self) -> None:
        """Raise a DataError if a file is another one than when it was found."""
        sources.refuse_changed(self.before)


@dataclass(frozen=True)
class Batch:
    """The rows of a batch as received.

    Parameters
    ----------
    rows
        How many there are.
    schema
        Types of the columns that the model or the output needs, as a night stores them.
    keys
        Those of the key that the input has.
    notices
        How the files were read.
    """

    rows: int
    schema: pa.Schema
    keys: list[str]
    notices: list[str]
    _read: Source
    _select: str

    def parts(self, size: int, skipped: int) -> Iterator[pa.Table]:
        """Yield tables of ``size`` rows, the last one of fewer; a batch without rows is one table.

        Parameters
        ----------
        skipped
            Rows at the beginning that are left out.
        """
        import pyarrow as pa

        held: list[pa.RecordBatch] = []
        ready = 0
        for batch in self._batches(skipped):
            while ready + batch.num_rows >= size:
                first = size - ready
                yield pa.Table.from_batches([*held, batch.slice(0, first)], self.schema)
                held, ready, batch = [], 0, batch.slice(first)
            if batch.num_rows:
                held.append(batch)
                ready += batch.num_rows
        if held or not self.rows:
            yield pa.Table.from_batches(held, self.schema)

    def _batches(self, skipped: int) -> Iterator[pa.RecordBatch]:
        """Yield rows as DuckDB reads them, which is always in the order of files and lines."""
        import pyarrow as pa

        if not self.rows:
            return
        query = f"SELECT {self._select} FROM {self._read.table}"
        for batch in self._read.connection.sql(query).to_arrow_reader(READ_ROWS):
            left = batch.slice(min(skipped, batch.num_rows))
            skipped -= batch.num_rows - left.num_rows
            if left.num_rows:
                columns = [stored(column, kind) for column, kind in zip(left.columns, self.schema.types, strict=True)]
                yield pa.RecordBatch.from_arrays(columns, schema=self.schema)


def find_input(source: str, settings: Settings) -> Input:
    """Return the files of a file, folder, glob or address.

    Raises
    ------
    DataError
        If there is none.
    """
    path = (
        source if "://" in source or source.startswith(("home:", PREFIX)) else str(Path(source).expanduser().absolute())
    )
    files = sources.find_files(Files(path=path, max_rejected=0), datetime.now(UTC), settings)
    return Input(path, files, sources.sizes(files))


@contextmanager
def open_batch(found: Input, predictor: Predictor, settings: Settings, work: Path) -> Iterator[Batch]:
    """Read the files as `aimass init` reads them, and yield their rows; an empty batch is valid.

    Files without a header are recognised by their first line and its number of cells.

    Parameters
    ----------
    work
        Folder for what does not fit into memory; removed.

    Raises
    ------
    DataError
        If a line does not fit, or a column is missing that the model needs.
    """
    texts = [file for file in found.files if file.stat().st_size and not _is_typed(Path(content_name(file)))]
    spec = Files(path=found.path, max_rejected=0)
    names = _names_of_all(texts, spec, predictor)
    if texts:
        spec = Files(path=found.path, header=not names, columns=names, max_rejected=0)
    wanted = tuple(dict.fromkeys((*predictor.requested, *predictor.schema.key)))
    split = sources.partitions(found.files, sources.root_of(spec, settings))
    connection = connect(work, memory_gb=settings.memory_gb)
    try:
        connection.execute(f"SET memory_limit = '{READ_MB}MB'")
        read = load(connection, found.files, spec, partitions=split, judge=False, wanted=wanted)
        rejects.judge(connection, found.files, read.rows, spec.max_rejected)
        _refuse_missing(read.columns or list(wanted), predictor, found.path)
        yield _batch(read, wanted, predictor)
    finally:
        connection.close()
        shutil.rmtree(work, ignore_errors=True)


def _refuse_missing(columns: Sequence[str], predictor: Predictor, path: str) -> None:
    missing = predictor.missing_columns(columns)
    if missing:
        raise DataError(
            "the input lacks columns that the model needs",
            where=path,
            seen=", ".join(map(str, columns))[:400],
            expected=", ".join(missing),
            cure="add these columns; extra columns are ignored",
            faults=[f"missing column {column!r}{near(column, columns)}" for column in missing],
        )


def _batch(read: Source, wanted: Sequence[str], predictor: Predictor) -> Batch:
    """Return the rows of the columns that are wanted; of files without a line none is missing."""
    import pyarrow as pa

    if not read.columns:
        schema = pa.schema([(name, pa.string()) for name in wanted])
        return Batch(0, schema, list(predictor.schema.key), read.notices, read, "")
    present = set(read.columns)
    names = [name for name in wanted if name in present]
    read = _infinite_as_text(read, names)
    select, kinds = arrow_select(read, names)
    keys = [name for name in predictor.schema.key if name in names]
    return Batch(read.rows, pa.schema(list(zip(names, kinds, strict=True))), keys, read.notices, read, select)


def _infinite_as_text(read: Source, names: Sequence[str]) -> Source:
    """Return the source with columns of dates as texts where a date is infinite, which pandas does not know."""
    dates = [read.internal(name) for name in names if read.kind(name) == "DATE"]
    if not dates:
        return read
    asked = ", ".join(f"bool_or(isinf({column}))" for column in dates)
    found = read.connection.execute(f"SELECT {asked} FROM {read.table}").fetchall()[0]
    texts = [column for column, infinite in zip(dates, found, strict=True) if infinite]
    if not texts:
        return read
    cast = ", ".join(f"CAST({column} AS VARCHAR) AS {column}" for column in texts)
    read.connection.execute(f"CREATE VIEW readable AS SELECT * REPLACE ({cast}) FROM {read.table}")
    kinds = ["VARCHAR" if f"c{index}" in texts else kind for index, kind in enumerate(read.kinds)]
    return replace(read, table="readable", kinds=kinds)


def _is_typed(file: Path) -> bool:
    return is_parquet(file) or is_json(file)


def _names_of_all(files: Sequence[Path], spec: Files, predictor: Predictor) -> tuple[str, ...]:
    """Return the column names of text files without a header; none if they have one."""
    firsts = {file: first_line(file, spec) for file in files}
    found = {file: names_without_header(first, predictor) for file, first in firsts.items() if first}
    if len(set(found.values())) > 1:
        bare = [file.name for file, names in found.items() if names]
        raise DataError(
            "some files of the input have a header and others have none",
            where=spec.path,
            seen=f"{len(bare)} of {len(found)} without a header: {', '.join(bare[:5])}",
            expected="all files alike",
            cure="predict them one by one, or deliver all with a header",
        )
    return next(iter(found.values()), ())


def names_without_header(first: list[str], predictor: Predictor) -> tuple[str, ...]:
    """Return the column names of a file without a header line; empty if the file has a header."""
    whole = predictor.schema.source_columns
    without_target = tuple(name for name in whole if name != predictor.schema.target)
    if sum(name in whole for name in first) * 2 >= min(len(first), len(whole)):
        return ()
    names = next((names for names in (whole, without_target) if len(names) == len(first)), ())
    numbers = [column.name for column in predictor.recipe.kept if column.kind == "number" and column.name in names]
    unreadable = predictor.recipe.read_row(dict(zip(names, first, strict=False)))[1]
    # Names where numbers should be: a header, only that of another table.
    return () if len(numbers) > 1 and all(name in unreadable for name in numbers) else names
