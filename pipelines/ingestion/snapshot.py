"""Writes the assembled table, every row stamped with ``_key``, ``_time`` and ``_sealed``."""

# ruff: noqa: S608 - column names are internal ones (c0, c1, …) made by pipelines.ingestion.read
from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.artifacts import Night
from pipelines.errors import DataError
from pipelines.inference.recipe import MISSING
from pipelines.ingestion import keys, seal
from pipelines.ingestion.moments import UNTIMED, column_moment
from pipelines.ingestion.read import Source
from pipelines.ingestion.spec import IngestSpec
from pipelines.ingestion.stamps import Stamps
from pipelines.ingestion.tables import plain_type
from pipelines.ledger import Ledger
from pipelines.spec import ModelSpec
from pipelines.storage import ROW_GROUP, write_table
from pipelines.tables import batch_rows

MOMENT = pa.timestamp("us", tz="UTC")


def write_snapshot(
    source: Source,
    spec: IngestSpec,
    night: Night,
    ledger: Ledger,
    folder: Path,
    *,
    own: Sequence[str],
    bounds: dict[str, Any],
    work: Path,
) -> dict[str, Any]:
    """Write the table ``source`` with ``_key``, ``_time`` and ``_sealed``; give its statistics.

    Parameters
    ----------
    own
        Columns of the main table itself: without a declared key they identify a row.
    bounds
        What earlier nights sealed.
    work
        Folder for what does not fit into memory.

    Raises
    ------
    DataError
        If the time column cannot be read, or no row is known yet.
    """
    model, connection = night.model, source.connection
    time_sql = _time_sql(source, spec, model)
    known = f"WHERE {time_sql} IS NULL OR {time_sql} <= TIMESTAMPTZ '{night.as_of.isoformat()}'" if model.time else ""
    key_sql = _key_sql(source, model, ledger, own)
    start = None
    limit = spec.seal_share
    stamps = None
    if not (model.time and model.key):
        stamps = Stamps(work / "stamps.arrow", None if model.time else model.name)
        reader = connection.sql(f"SELECT {key_sql} FROM source {known}").to_arrow_reader(ROW_GROUP)
        stamps.fill(reader, lambda batch: _keys(batch, model))
    if model.time:
        start = seal.first_sealed_day(_labelled_days(source, model, time_sql, known), spec, bounds["seal_start"])
    elif stamps is not None:
        limit = seal.threshold(stamps.scores(), spec, bounds["seal_threshold"])
    columns = ", ".join(f"c{place}" for place in range(len(source.columns)))
    given_keys = f"{key_sql}, " if stamps is None else ""
    reader = connection.sql(f"SELECT {given_keys}{time_sql} AS _time, {columns} FROM source {known}").to_arrow_reader(
        batch_rows(len(source.columns))
    )
    given = reader.schema.names.index("_time") + 1
    kinds = list(map(plain_type, reader.schema.types[given:]))
    schema = pa.schema([
        *zip(source.columns, kinds, strict=True),
        ("_key", pa.string()), ("_time", MOMENT), ("_sealed", pa.bool_()),
    ])  # fmt: skip
    counts = {"sealed": 0, "untimed": 0}

    def stamped() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            keyed, scores = (_keys(batch, model), np.ones(0)) if stamps is None else stamps.take(batch.num_rows)
            when = batch.column("_time").cast(MOMENT)
            if model.time:
                moments = when.cast(pa.int64()).fill_null(-(2**62)).to_numpy(zero_copy_only=False)
                first = int(seal.midnight(start).timestamp()) * 1_000_000 if start else 2**62
                sealed = moments >= first
                counts["untimed"] += when.null_count
            else:
                sealed = scores < limit
            counts["sealed"] += int(sealed.sum())
            data = [batch.column(given + place).cast(kind) for place, kind in enumerate(kinds)]
            yield pa.RecordBatch.from_arrays([*data, keyed, when, pa.array(sealed)], schema=schema)

    rows = write_table(stamped(), folder, schema)
    if rows == 0:
        raise DataError(
            "no row is known yet at the night's date",
            where=", ".join(str(file) for file in source.files[:3]),
            seen=f"{source.rows} rows, all with {model.time!r} later",
            expected=f"rows up to {night.as_of.isoformat()}",
            cure="run the night at a later date",
        )
    return {
        "rows": rows,
        "not_yet_known": source.rows - rows,
        **counts,
        "seal_start": start.isoformat() if start else None,
        "seal_threshold": None if model.time else limit,
    }


def _time_sql(source: Source, spec: IngestSpec, model: ModelSpec) -> str:
    """Give the SQL of ``_time``; refuses a time column that cannot be read."""
    if not model.time:
        return "CAST(NULL AS TIMESTAMPTZ)"
    return column_moment(source, model.time, spec.time_formats)


def _key_sql(source: Source, model: ModelSpec, ledger: Ledger, own: Sequence[str]) -> str:
    """Give the SQL of what identifies a row: the key columns, or one text of its identity columns."""
    if model.key:
        return ", ".join(f"{source.internal(name)} AS k{place}" for place, name in enumerate(model.key))
    hidden = {model.target, *model.drop} - {model.time}  # rows of different days are different rows
    features = [name for name in own if name not in hidden]
    identity = ledger.remember_model(model, features) or features
    lost = [name for name in identity if name not in source.columns]
    if lost:
        source.notices.append(f"identity columns {lost[:5]} are gone; rows get the key of a missing value there")
    pairs = [
        (source.internal(name), source.kind(name)) if name in source.columns else ("NULL", "NULL") for name in identity
    ]
    return keys.identity_sql(pairs) + " AS k0"


def _keys(batch: pa.RecordBatch, model: ModelSpec) -> pa.Array:
    if model.key:
        return keys.declared_keys([batch.column(place) for place in range(len(model.key))])
    return keys.hashed_keys(batch.column(0))


def _labelled_days(source: Source, model: ModelSpec, time_sql: str, known: str) -> list[tuple[Any, int]]:
    labelled = _labelled_sql(source, model) if model.supervised else "true"
    return source.connection.execute(
        f"SELECT d, count(*) FROM (SELECT CAST({time_sql} AS DATE) AS d, {labelled} AS l FROM source {known}) "
        "WHERE l AND d IS NOT NULL GROUP BY d"
    ).fetchall()


def _labelled_sql(source: Source, model: ModelSpec) -> str:
    target = source.internal(model.target)
    labelled = f"{target} IS NOT NULL"
    if source.kind(model.target) == "VARCHAR":
        # 'none' may be a class, but it is no number
        missing = UNTIMED if model.task == "regression" else MISSING
        return f"{labelled} AND lower(trim({target})) NOT IN {missing}"
    if source.kind(model.target) in ("FLOAT", "DOUBLE"):
        return f"{labelled} AND NOT isnan({target})"
    return labelled
