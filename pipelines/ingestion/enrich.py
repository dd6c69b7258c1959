"""What serving adds to a request row: the tables stored with the model, and the computed columns."""

# ruff: noqa: S608 - column names are internal ones, table names are made here
from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from pipelines.errors import SpecError
from pipelines.inference.enrichment.lookup import MAX_ROWS, Lookup
from pipelines.inference.enrichment.request import Computed, Enrichment
from pipelines.inference.recipe.arrays import one_array
from pipelines.ingestion.files.kinds import arrow_type, exported
from pipelines.ingestion.files.read import Source, stored
from pipelines.ingestion.joins import Joined
from pipelines.ingestion.spec import Derived


def enrichment(main: Source, joined: Sequence[Joined], derived: Sequence[Derived], as_of: datetime) -> Enrichment:
    """Return the look-ups of joins with ``serve='embed'``, the computed columns, the hidden and the optional ones.

    Optional is what some files of ``main``, or of a table that the caller brings along, lack.

    Raises
    ------
    SpecError
        If a table is too large to travel with a model, or columns need what is not known at serving.
    """
    lookups = tuple(_lookup(join, as_of) for join in joined if join.spec.serve == "embed" and join.columns)
    computed = tuple(Computed(column.name, column.expression, column.serve) for column in derived)
    hidden = tuple(column.name for column in derived if column.serve == "never")
    optional = [*main.lacking]
    for join in joined:
        if join.spec.serve == "caller":
            optional += [final for name, final in join.columns if name in join.right.lacking]
    return Enrichment(lookups, computed, hidden, tuple(optional))


def _lookup(join: Joined, as_of: datetime) -> Lookup:
    spec, right = join.spec, join.right
    chosen = f"SELECT k, s FROM {join.keys}"
    if spec.time:
        age = ""
        if spec.max_age_hours is not None:
            hours = round(spec.max_age_hours * 3.6e9)
            age = f" HAVING TIMESTAMPTZ '{as_of.isoformat()}' <= max(w) + to_microseconds({hours})"
        chosen = f"SELECT k, arg_max(s, w) AS s FROM {join.keys} GROUP BY k{age}"
    counted = right.connection.execute(f"SELECT count(*) FROM ({chosen})").fetchall()[0]
    rows = int(counted[0]) if counted else 0
    if rows > MAX_ROWS:
        raise SpecError(
            f"table {spec.name!r} is too large to travel with a model",
            where=f"IngestSpec.joins, {spec.name}",
            seen=f"{rows} rows",
            expected=f"at most {MAX_ROWS} rows",
            cure="declare serve='caller', or join fewer of its rows",
        )
    given = [right.kind(name) for name, _ in join.columns]
    columns = ", ".join(
        exported(f"t.{right.internal(name)}", kind) for (name, _), kind in zip(join.columns, given, strict=True)
    )
    table: pa.Table = right.connection.sql(
        f"SELECT q.k, {columns} FROM ({chosen}) q JOIN (SELECT *, rowid AS s FROM {right.table}) t ON t.s = q.s "
        "ORDER BY q.k"
    ).to_arrow_table()
    names = ["_key", *(final for _, final in join.columns)]
    kinds = [pa.string(), *map(arrow_type, given, table.schema.types[1:])]
    cells = [stored(one_array(column), kind) for column, kind in zip(table.columns, kinds, strict=True)]
    return Lookup(
        spec.name,
        tuple(spec.on),
        tuple(names[1:]),
        pa.table(cells, names=names),
        as_of.isoformat(),
        "as_of" if spec.time else "static",
    )
