"""Writes the assembled table, every row stamped with ``_key``, ``_time`` and ``_sealed``."""

# ruff: noqa: S608 - column names are internal ones (c0, c1, …) made by pipelines.ingestion.files.read
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.artifacts import Night
from pipelines.errors import DataError
from pipelines.inference.recipe.row_recipe import MISSING
from pipelines.ingestion import keys
from pipelines.ingestion.files.read import Source, arrow_select, stored
from pipelines.ingestion.holdout import holdout_bounds
from pipelines.ingestion.holdout.earlier_bounds import recorded
from pipelines.ingestion.holdout.groups import group_texts
from pipelines.ingestion.holdout.holdout_bounds import Bounds, Seal
from pipelines.ingestion.holdout.key_scores import Stamp, Stamps
from pipelines.ingestion.holdout.sealer import Sealer
from pipelines.ingestion.spec import IngestSpec
from pipelines.ingestion.timestamp_sql import UNTIMED, column_moment
from pipelines.ledger import Ledger
from pipelines.reserved_columns import GROUP
from pipelines.spec import ModelSpec
from pipelines.storage import ROW_GROUP, write_table
from pipelines.storage.tables import batch_rows

MOMENT = pa.timestamp("us", tz="UTC")
FARTHEST_ZONE = 14
"""Hours that the time zone farthest ahead is ahead of UTC."""


def write_snapshot(
    source: Source,
    spec: IngestSpec,
    night: Night,
    ledger: Ledger,
    folder: Path,
    *,
    own: Sequence[str],
    bounds: Bounds,
    work: Path,
) -> dict[str, Any]:
    """Write table ``source`` with ``_key``, ``_time``, ``_sealed`` and, where declared, ``_group``; return its facts.

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
        If the time column cannot be read, no row is known yet, or no entity can be sealed.
    """
    model, connection = night.model, source.connection
    time_sql = _time_sql(source, spec, model)
    known = f"WHERE {time_sql} IS NULL OR {time_sql} <= TIMESTAMPTZ '{night.as_of.isoformat()}'" if model.time else ""
    key_sql = _key_sql(source, model, ledger, own, spec.seal_group)
    start: Any = None
    decided: Seal | None = None
    stamps = None
    if not (model.time and model.key):
        stamps = Stamps(work / "stamps.arrow")
        sealer = None if model.time else Sealer(model.name, spec, bounds, classifies=model.classifies)
        asked, stamp = _first_pass(source, spec, model, sealer)
        stamps.fill(
            connection.sql(f"SELECT {', '.join([key_sql, *asked])} FROM source {known}").to_arrow_reader(ROW_GROUP),
            stamp,
        )
        decided = None if sealer is None else sealer.decide(stamps.scores(), source.notices)
    if model.time:
        start = holdout_bounds.first_sealed_day(_labelled_days(source, model, time_sql, known), spec, bounds.start)
    columns, kinds = arrow_select(source)
    ahead = ", ".join([*([key_sql] if stamps is None else []), *_group_sql(source, spec), f"{time_sql} AS _time"])
    reader = connection.sql(f"SELECT {ahead}, {columns} FROM source {known}").to_arrow_reader(
        batch_rows(len(source.columns))
    )
    given = reader.schema.names.index("_time") + 1
    schema = pa.schema(
        [
            *zip(source.columns, kinds, strict=True),
            ("_key", pa.string()),
            ("_time", MOMENT),
            ("_sealed", pa.bool_()),
            *([(GROUP, pa.string())] if spec.seal_group else []),
        ]
    )
    counts = {"sealed": 0, "untimed": 0}

    def stamped() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            keyed, scores = (_keys(batch, model), np.ones(0)) if stamps is None else stamps.take(batch.num_rows)
            when = batch.column("_time").cast(MOMENT)
            if decided is None:
                moments = when.cast(pa.int64()).fill_null(-(2**62)).to_numpy(zero_copy_only=False)
                first = int(holdout_bounds.midnight(start).timestamp()) * 1_000_000 if start else 2**62
                sealed = moments >= first
                counts["untimed"] += when.null_count
            else:
                sealed = decided.holds(scores)
            counts["sealed"] += int(sealed.sum())
            data = [stored(batch.column(given + index), kind) for index, kind in enumerate(kinds)]
            entity = _entities(batch, spec)
            marks = [keyed, when, pa.array(sealed), *([] if entity is None else [entity])]
            yield pa.RecordBatch.from_arrays([*data, *marks], schema=schema)

    rows = write_table(stamped(), folder, schema)
    if rows == 0:
        raise DataError(
            "no row is known yet at the night's date",
            where=", ".join(str(file) for file in source.files[:3]),
            seen=f"{source.rows} rows, all with {model.time!r} later",
            expected=f"rows up to {night.as_of.isoformat()}",
            cure="run the night at a later date; if these times are local, declare ModelSpec(zone='Asia/Tokyo') or so",
        )
    if rows < source.rows and model.time:
        source.notices += _perhaps_local(source, time_sql, night, source.rows - rows)
    return {
        "rows": rows,
        "not_yet_known": source.rows - rows,
        **counts,
        "seal_start": start.isoformat() if start else None,
        **recorded(decided, spec.seal_group),
    }


def _first_pass(
    source: Source, spec: IngestSpec, model: ModelSpec, sealer: Sealer | None
) -> tuple[list[str], Callable[[pa.RecordBatch], Stamp]]:
    """Return the SQL of what is read besides the key, and the function of key and score; no scores without a sealer."""
    if sealer is None:
        return [], lambda batch: (_keys(batch, model), np.zeros(batch.num_rows))
    labels = []
    if sealer.wants_labels and model.supervised:
        text = f"trim(CAST({source.internal(model.target)} AS VARCHAR))" if model.classifies else "''"
        labels = [f"CASE WHEN {_labelled_sql(source, model)} THEN {text} END AS label"]

    def stamp(batch: pa.RecordBatch) -> Stamp:
        keyed = _keys(batch, model)
        return keyed, sealer.score(keyed, _entities(batch, spec), batch.column("label") if labels else None)

    return [*_group_sql(source, spec), *labels], stamp


def _group_sql(source: Source, spec: IngestSpec) -> list[str]:
    return [f"{source.internal(name)} AS g{index}" for index, name in enumerate(spec.seal_group)]


def _entities(batch: pa.RecordBatch, spec: IngestSpec) -> pa.Array | None:
    """Return the text of each row's entity; None if none is declared."""
    if not spec.seal_group:
        return None
    return group_texts([batch.column(f"g{index}") for index in range(len(spec.seal_group))])


def _time_sql(source: Source, spec: IngestSpec, model: ModelSpec) -> str:
    """Return the SQL of ``_time``; raise if the time column cannot be read."""
    if not model.time:
        return "CAST(NULL AS TIMESTAMPTZ)"
    return column_moment(source, model.time, spec.time_formats)


def _perhaps_local(source: Source, time_sql: str, night: Night, later: int) -> list[str]:
    """Say so if the rows that are not known yet lie ahead by no more than the clocks of a time zone can be."""
    bound = f"TIMESTAMPTZ '{night.as_of.isoformat()}'"
    ((hours,),) = source.connection.execute(
        f"SELECT ceil(epoch(max({time_sql}) - {bound}) / 3600) FROM source"
    ).fetchall()
    if hours > FARTHEST_ZONE:
        return []
    return [
        f"{later} row(s) wait for a later night: {night.model.time!r} is up to {hours:.0f} h ahead of UTC; if that is "
        "local time, declare its zone, such as ModelSpec(zone='Asia/Tokyo')"
    ]


def _key_sql(source: Source, model: ModelSpec, ledger: Ledger, own: Sequence[str], group: Sequence[str]) -> str:
    """Return the SQL that identifies a row: the key columns, or one text of its identity columns."""
    if model.key:
        return ", ".join(f"{source.internal(name)} AS k{index}" for index, name in enumerate(model.key))
    # rows of different days, or of different entities, are different rows
    hidden = {model.target, *model.drop} - {model.time, *group}
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
        return keys.declared_keys([batch.column(index) for index in range(len(model.key))])
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
        return f"(isfinite({target}) OR isinf({target}))"  # isnan() of Parquet is taken from its statistics
    return labelled
