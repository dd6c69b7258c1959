"""The stage ``ingest``: sources → raw snapshot, stamped with ``_key``, ``_time`` and ``_sealed``."""

# ruff: noqa: S608 - column names are internal ones (c0, c1, …) made by pipelines.ingestion.read
from __future__ import annotations

import difflib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.artifacts import Night, Outcome, canonical_json
from pipelines.errors import DataError, SpecError
from pipelines.inference.recipe import MISSING, MISSING_VALUES
from pipelines.ingestion import dates, keys, seal
from pipelines.ingestion.read import Source, connect, load
from pipelines.ingestion.sources import content_digest, find_files
from pipelines.ingestion.spec import Files, IngestSpec
from pipelines.ledger import Ledger
from pipelines.sealing import seal_scores
from pipelines.settings import Settings
from pipelines.spec import ModelSpec
from pipelines.storage import ROW_GROUP, write_table

SPEC = IngestSpec
INPUTS: tuple[str, ...] = ()
MOMENT = pa.timestamp("us", tz="UTC")
UNTIMED = (*MISSING, *MISSING_VALUES)


def fingerprint(spec: IngestSpec, night: Night, settings: Settings) -> str:
    """Give what the snapshot depends on besides the spec: the files known tonight and the bounds of the seal."""
    bounds = seal.earlier_bounds(Ledger.open(settings), night)
    earlier = bounds["seal_threshold"]
    return canonical_json({
        "files": content_digest(find_files(_only_files(spec), night.as_of, settings)),
        "as_of": night.as_of.isoformat() if night.model.time else None,
        "seal_start": bounds["seal_start"] if night.model.time else None,
        "seal_threshold": earlier if earlier is not None and earlier < spec.seal_share else None,
    })  # fmt: skip


def run(spec: IngestSpec, *, night: Night, settings: Settings, out: Path) -> Outcome:
    """Read what is known at ``as_of`` into one table and stamp it.

    Leaves ``raw/`` (all source columns as received, ``_key`` text, ``_time`` timestamp[us, UTC] or null, ``_sealed``
    bool) and ``report.json``.
    """
    ledger = Ledger.open(settings)
    main = _only_files(spec)
    files = find_files(main, night.as_of, settings)
    nbytes = sum(file.stat().st_size for file in files)
    work = out / ".work"
    connection = connect(work, nbytes, settings.cores, settings.memory_gb)
    try:
        source = load(connection, files, main)
        print(f"{len(files)} file(s), {source.rows} rows, {len(source.columns)} columns", file=sys.stderr, flush=True)
        model = night.model
        require_columns(source, model.target, model.key, model.time, model.drop)
        bounds = seal.earlier_bounds(ledger, night)
        stats = _snapshot(source, spec, night, ledger, bounds, out / "raw")
    finally:
        connection.close()
        shutil.rmtree(work, ignore_errors=True)
    for notice in source.notices:
        print(f"notice: {notice}", file=sys.stderr, flush=True)
    stats = {"files": len(files), "bytes": nbytes, **stats}
    report = {
        **stats,
        "notices": source.notices,
        "columns": dict(zip(source.columns, source.kinds, strict=True)),
        "sources": [{"name": file.name, "bytes": file.stat().st_size} for file in files],
    }
    (out / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False))
    kept = ("seal_start", "seal_threshold", "sealed")
    return Outcome(rows=stats["rows"], meta={name: stats[name] for name in kept}, stats=stats)


def _only_files(spec: IngestSpec) -> Files:
    if spec.joins or spec.derived or not isinstance(spec.source, Files):
        raise SpecError(
            "a source of this kind cannot be read",
            where="IngestSpec",
            expected="one table in files",
            cure="name a file, a folder or a glob in IngestSpec.source",
        )
    return spec.source


def require_columns(
    source: Source, target: str, key: Sequence[str] = (), time: str | None = None, drop: Sequence[str] = ()
) -> None:
    """Refuse a source that lacks a declared column; names the nearest existing one for each.

    Raises
    ------
    DataError
        Listing every missing column.
    """
    named = [("target", target), *(("key", name) for name in key), *(("drop", name) for name in drop)]
    if time:
        named.append(("time", time))
    missing = [(role, name) for role, name in named if name not in source.columns]
    if not missing:
        return
    faults = []
    lowered = {name.strip().lower(): name for name in source.columns}
    for role, name in missing:
        near = difflib.get_close_matches(name.strip().lower(), lowered, n=1, cutoff=0.5)
        faults.append(f"{role} {name!r}: not in the source" + (f"; nearest is {lowered[near[0]]!r}" if near else ""))
    shown = ", ".join(repr(name) for name in source.columns[:12]) + (" …" if len(source.columns) > 12 else "")
    raise DataError(
        "missing column" if len(missing) == 1 else f"{len(missing)} missing columns",
        where=str(source.files[0]),
        seen=f"{len(source.columns)} columns: {shown}",
        expected=", ".join(f"{name!r} ({role})" for role, name in missing),
        cure="correct the name in ModelSpec, or deliver a source that has the column",
        faults=faults,
    )


def _snapshot(
    source: Source, spec: IngestSpec, night: Night, ledger: Ledger, bounds: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """Write the stamped table; give its statistics."""
    model, connection = night.model, source.connection
    time_sql = _time_sql(source, spec, model)
    known = f"WHERE {time_sql} IS NULL OR {time_sql} <= TIMESTAMPTZ '{night.as_of.isoformat()}'" if model.time else ""
    key_sql = _key_sql(source, model, ledger)
    start = None
    limit = spec.seal_share
    if model.time:
        start = seal.first_sealed_day(_labelled_days(source, model, time_sql, known), spec, bounds["seal_start"])
    elif source.rows * spec.seal_share > 0.5 * spec.seal_max_rows or bounds["seal_threshold"] is not None:
        reader = connection.sql(f"SELECT {key_sql} FROM source").to_arrow_reader(ROW_GROUP)
        scores = [seal_scores(model.name, _keys(batch, model).to_pylist()) for batch in reader]
        limit = seal.threshold(np.concatenate(scores), spec, bounds["seal_threshold"])
    columns = ", ".join(f"c{place}" for place in range(len(source.columns)))
    reader = connection.sql(f"SELECT {key_sql}, {time_sql} AS _time, {columns} FROM source {known}").to_arrow_reader(
        ROW_GROUP
    )
    given = reader.schema.names.index("_time") + 1
    schema = pa.schema([
        *(pa.field(name, _plain(reader.schema.field(given + place).type)) for place, name in enumerate(source.columns)),
        ("_key", pa.string()), ("_time", MOMENT), ("_sealed", pa.bool_()),
    ])  # fmt: skip
    counts = {"sealed": 0, "untimed": 0}

    def stamped() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            keyed = _keys(batch, model)
            when = batch.column("_time").cast(MOMENT)
            if model.time:
                moments = when.cast(pa.int64()).fill_null(-(2**62)).to_numpy(zero_copy_only=False)
                first = int(seal.midnight(start).timestamp()) * 1_000_000 if start else 2**62
                sealed = moments >= first
                counts["untimed"] += when.null_count
            else:
                sealed = seal_scores(model.name, keyed.to_pylist()) < limit
            counts["sealed"] += int(sealed.sum())
            data = [batch.column(given + place).cast(schema.field(place).type) for place in range(len(source.columns))]
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
    column, kind = source.internal(model.time), source.kind(model.time)
    if kind != "VARCHAR" and not kind.startswith(("TIMESTAMP", "DATE")):
        raise DataError(
            "the time column holds no moments",
            where=f"column {model.time!r}",
            seen=kind,
            expected="text with dates, DATE or TIMESTAMP",
            cure="name another column as time, or store it as a timestamp",
        )
    formats = spec.time_formats
    if kind == "VARCHAR" and not formats:
        formats = dates.learn_formats(source.connection, "source", column, share=0.5, declared=True)
    sql = dates.moment(column, kind, formats) if formats or kind != "VARCHAR" else "CAST(NULL AS TIMESTAMPTZ)"
    given = f"{column} IS NOT NULL" + (f" AND lower(trim({column})) NOT IN {UNTIMED}" if kind == "VARCHAR" else "")
    counted = source.connection.execute(
        f"SELECT count(*), count({sql}), min({column}) FILTER ({sql} IS NULL) FROM source WHERE {given}"
    ).fetchone()
    total, read, example = counted or (0, 0, None)
    if read * 2 < total or not read:
        raise DataError(
            "the time column cannot be read",
            where=f"column {model.time!r}",
            seen=f"{total - read} of {total} values unreadable, such as {example!r}",
            expected=f"one of {', '.join(formats)}" if formats else "dates in a known notation",
            cure="correct 'time_formats' in IngestSpec (strptime), or empty it to learn them from the data",
        )
    return sql


def _key_sql(source: Source, model: ModelSpec, ledger: Ledger) -> str:
    """Give the SQL of what identifies a row: the key columns, or one text of its identity columns."""
    if model.key:
        return ", ".join(f"{source.internal(name)} AS k{place}" for place, name in enumerate(model.key))
    hidden = {model.target, *model.drop} - {model.time}  # rows of different days are different rows
    features = [name for name in source.columns if name not in hidden]
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
    target = source.internal(model.target)
    labelled = f"{target} IS NOT NULL"
    if source.kind(model.target) == "VARCHAR":
        # 'none' may be a class, but it is no number
        missing = UNTIMED if model.task == "regression" else MISSING
        labelled += f" AND lower(trim({target})) NOT IN {missing}"
    elif source.kind(model.target) in ("FLOAT", "DOUBLE"):
        labelled += f" AND NOT isnan({target})"
    return source.connection.execute(
        f"SELECT d, count(*) FROM (SELECT CAST({time_sql} AS DATE) AS d, {labelled} AS l FROM source {known}) "
        "WHERE l AND d IS NOT NULL GROUP BY d"
    ).fetchall()


def _plain(kind: pa.DataType) -> pa.DataType:
    """Give the type a column is stored in: plain strings, nulls as text."""
    if pa.types.is_null(kind) or pa.types.is_string_view(kind) or pa.types.is_large_string(kind):
        return pa.string()
    return kind.value_type if pa.types.is_dictionary(kind) else kind
