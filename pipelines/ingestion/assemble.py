"""Builds the model's table: reads its sources as known tonight, adds derived columns, joins further tables."""

# ruff: noqa: S608 - table names are made here
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from pipelines.errors import DataError
from pipelines.inference.enrichment.request import EMPTY, Enrichment
from pipelines.inference.expressions.columns import Expression
from pipelines.ingestion import derived_columns
from pipelines.ingestion.enrich import enrichment
from pipelines.ingestion.files import sources
from pipelines.ingestion.files.read import Source, drop
from pipelines.ingestion.joins import Joined, join_all, numbered, plan
from pipelines.ingestion.spec import IngestSpec
from pipelines.ingestion.tables import MAIN, Opened, TableReader
from pipelines.settings import Settings


@dataclass
class Assembled:
    """The table ``source`` of the connection, and what it was made from."""

    source: Source
    opened: dict[str, Opened]
    """By name: ``main`` and the joins."""
    own: list[str]
    """Columns of the main table itself."""
    joined: list[Joined] = field(default_factory=list)
    enrichment: Enrichment = EMPTY

    def rejected(self) -> pa.Table:
        """Return the lines that do not fit: table, file, line, reason, text."""
        parts = [
            opened.rejected.add_column(0, "table", pa.array([name] * opened.rejected.num_rows, pa.string()))
            for name, opened in self.opened.items()
        ]
        return pa.concat_tables(parts)

    def refuse_changed(self) -> None:
        """Raise if a file changed while it was read."""
        sources.refuse_changed(
            {file: facts for opened in self.opened.values() for file, facts in opened.before.items()}
        )


def assemble(
    spec: IngestSpec,
    connection: duckdb.DuckDBPyConnection,
    *,
    model: str,
    as_of: datetime,
    time: str | None,
    settings: Settings,
    work: Path,
    wanted: Collection[str] = (),
    zone: str = "UTC",
) -> Assembled:
    """Read the sources and build the model's table.

    Derived columns that need no joined column are computed before the joins; the others after.

    Parameters
    ----------
    time
        The model's time column: when a row happened, for as-of joins.
    work
        Folder for what does not fit into memory.
    wanted
        Names of columns that the model needs; they tell a header from titles and from data.
    zone
        Of times without one, and of dates in file names.

    Raises
    ------
    SpecError, DataError
        What keeps a source from being read, or does not fit together.
    """
    parsed = derived_columns.parse(spec)
    reader = TableReader(connection, model, as_of, settings, work, _wanted(spec, parsed, wanted, time), zone)
    opened = {MAIN: reader.open(MAIN, spec.source, "t_main", copy=bool(spec.joins))}
    source = numbered(opened[MAIN].source) if spec.joins else opened[MAIN].source
    columns = list(source.columns)
    first = derived_columns.before_joins(spec, parsed, columns) if spec.joins else list(spec.derived)
    source = derived_columns.add(source, first, parsed)
    joined: list[Joined] = []
    if spec.joins:
        for number, join in enumerate(spec.joins):
            opened[join.name] = reader.open(join.name, join.source, f"t_join{number}", copy=True)
        rights = [(join, opened[join.name].source) for join in spec.joins]
        joined = plan(source, rights, [column.name for column in spec.derived])
        source = join_all(source, joined, as_of, time, spec.time_formats)
        source = derived_columns.add(source, [column for column in spec.derived if column not in first], parsed)
        for name in opened.keys() - {MAIN}:
            source.notices += [f"{name}: {notice}" for notice in opened[name].source.notices]
    drop(connection, "source")
    connection.execute(f"CREATE VIEW source AS SELECT * FROM {source.table}")
    source.table = "source"
    return Assembled(source, opened, columns, joined, enrichment(opened[MAIN].source, joined, spec.derived, as_of))


def _wanted(
    spec: IngestSpec, parsed: Mapping[str, Expression], wanted: Collection[str], time: str | None
) -> dict[str, set[str]]:
    """Return the names of columns that each table is known to need."""
    main = {*wanted, *([time] if time else []), *(name for join in spec.joins for name in join.on)}
    main |= {name for expression in parsed.values() for name in expression.columns}
    return {MAIN: main} | {join.name: {*join.on.values(), *join.columns} for join in spec.joins}


def require_columns(
    source: Source,
    target: str,
    key: Sequence[str] = (),
    time: str | None = None,
    drop: Sequence[str] = (),
    private: Iterable[str] = (),
) -> None:
    """Raise if a source lacks declared columns; suggests the nearest name for each. An empty target is not required.

    Raises
    ------
    DataError
        Listing every missing column.
    """
    named = [*(("key", name) for name in key), *(("drop", name) for name in drop)]
    named += [("private", name) for name in private]
    if target:
        named.insert(0, ("target", target))
    if time:
        named.append(("time", time))
    missing = [(role, name) for role, name in named if name not in source.columns]
    if not missing:
        return
    faults = []
    for role, name in missing:
        faults.append(f"{role} {name!r}: not in the source{derived_columns.near(name, source.columns)}")
    shown = ", ".join(repr(name) for name in source.columns[:12]) + (" …" if len(source.columns) > 12 else "")
    raise DataError(
        "missing column" if len(missing) == 1 else f"{len(missing)} missing columns",
        where=str(source.files[0]),
        seen=f"{len(source.columns)} columns: {shown}",
        expected=", ".join(f"{name!r} ({role})" for role, name in missing),
        cure="correct the name in ModelSpec, or deliver a source that has the column",
        faults=faults,
    )
