"""The stage ``ingest``: sources → raw snapshot, stamped with ``_key``, ``_time`` and ``_sealed``."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path
from typing import Any

from pipelines.artifacts import Night, Outcome, canonical_json, write_json
from pipelines.ingestion.assemble import Assembled, assemble, require_columns
from pipelines.ingestion.files.read import connect
from pipelines.ingestion.holdout.earlier_bounds import earlier_bounds
from pipelines.ingestion.holdout.groups import check_group
from pipelines.ingestion.holdout.sealer import begins_anew
from pipelines.ingestion.snapshot import write_snapshot
from pipelines.ingestion.spec import Files, IngestSpec
from pipelines.ingestion.tables import MAIN, table_digest
from pipelines.ledger import Ledger
from pipelines.ledger.mart import MartRow
from pipelines.mart.address import is_address
from pipelines.mart.tables import known_version
from pipelines.settings import Settings
from pipelines.storage import scratch, write_table
from pipelines.storage.tables import table_facts

log = logging.getLogger(__name__)


def fingerprint(spec: IngestSpec, night: Night, settings: Settings) -> str:
    """Return what the snapshot depends on besides the spec: what is known tonight and the bounds of the seal."""
    with Ledger.open(settings) as ledger:
        bounds, _ = earlier_bounds(ledger, night, spec.seal_group)
    earlier, grouped = bounds.threshold, bool(spec.seal_group)
    first = night.model.classifies and bounds.extra is None  # then classes are looked after
    return canonical_json(
        {
            "tables": {name: table_digest(settings, night, name, source) for name, source in spec.tables.items()},
            "as_of": night.as_of.isoformat() if night.model.time or spec.joins else None,
            "seal_start": bounds.start if night.model.time else None,
            "seal_threshold": earlier if earlier is not None and (grouped or earlier < spec.seal_share) else None,
            "seal_passed": sorted(bounds.passed),
            "seal_extra": None if first else sorted(bounds.extra or ()),
        }
    )


def run(spec: IngestSpec, *, night: Night, settings: Settings, out: Path) -> Outcome:
    """Read what is known at ``as_of`` into one table and stamp it.

    Leaves ``raw/`` (all columns as received, joined and derived; ``_key`` text, ``_time`` timestamp[us, UTC] or null,
    ``_sealed`` bool), ``report.json``, where there are any ``rejected/`` (lines that do not fit: table, file, line,
    reason, text), and with joins or derived columns ``enrichment/`` (what serving adds to a request row).
    """
    model = night.model
    read = published(spec, night, settings)
    spec = spec.at({name: row.address for name, row in read.items()})  # a version that appears meanwhile is not read
    with (
        scratch(out) as work,
        Ledger.open(settings) as ledger,
        closing(connect(work, settings.cores, settings.memory_gb)) as connection,
    ):
        found = assemble(
            spec,
            connection,
            model=model.name,
            as_of=night.as_of,
            time=model.time,
            settings=settings,
            work=work,
            wanted=_wanted(spec, night, ledger),
            zone=model.zone,
        )
        source = found.source
        known = len(found.opened[MAIN].source.files)
        log.info(f"{known} file(s), {source.rows} rows, {len(source.columns)} columns")
        require_columns(source, model.target, model.key, model.time, model.drop, model.private)
        check_group(source, spec.seal_group, model.target)
        bounds, other = earlier_bounds(ledger, night, spec.seal_group)
        if other and not model.time:
            source.notices.append(begins_anew(spec.seal_group))
        stats = write_snapshot(source, spec, night, ledger, out / "raw", own=found.own, bounds=bounds, work=work)
        found.refuse_changed()
    for notice in source.notices:
        log.info(f"notice: {notice}")
    stats = {"files": known, "bytes": sum(opened.nbytes for opened in found.opened.values()), **stats}
    stats["digest"] = table_facts(out / "raw")["digest"]
    if read:
        stats["mart"] = {
            name: {"name": row.name, "version": row.version, "digest": row.digest} for name, row in read.items()
        }
    report = {**stats, **_report(found), "columns": dict(zip(source.columns, source.kinds, strict=True))}
    rejected = found.rejected()
    if rejected.num_rows:
        write_table(rejected, out / "rejected")
    found.enrichment.save(out / "enrichment")
    write_json(out / "report.json", report, default=str)
    kept = ("seal_start", "seal_threshold", "seal_group", "sealed")
    stats["rejected"] = rejected.num_rows
    return Outcome(rows=stats["rows"], meta={name: stats[name] for name in kept if name in stats}, stats=stats)


def published(spec: IngestSpec, night: Night, settings: Settings) -> dict[str, MartRow]:
    """Return the versions of published tables that a night reads, by table."""
    named = {name: source.path for name, source in spec.tables.items() if isinstance(source, Files)}
    return {name: known_version(settings, path, night.as_of) for name, path in named.items() if is_address(path)}


def _wanted(spec: IngestSpec, night: Night, ledger: Ledger) -> list[str]:
    """Return the columns that the model names, and those that identified its rows from the first night on."""
    model = night.model
    row = ledger.model(model.name)
    identity = (row.identity or ()) if row is not None and not model.key else ()
    named = (model.target, model.time, *model.key, *model.drop, *model.private, *spec.seal_group, *identity)
    return [name for name in named if name]


def _report(found: Assembled) -> dict[str, Any]:
    """Return what report.json says of the sources, the joins and the increments."""
    opened = found.opened
    return {
        "rejected": sum(each.rejected.num_rows for each in opened.values()),
        "notices": found.source.notices,
        "lacking": {name: each.source.lacking for name, each in opened.items() if each.source.lacking},
        "sources": [
            {"table": name, "name": file.name, "bytes": nbytes}
            for name, each in opened.items()
            for file, nbytes in each.sizes.items()
        ],
        "joins": [
            {
                "name": join.spec.name,
                "how": "as-of" if join.spec.time else "left",
                "serve": join.spec.serve,
                "rows": join.right.rows,
                "matched": join.matched,
                "unmatched": join.unmatched,
                "columns": [final for _, final in join.columns],
            }
            for join in found.joined
        ],
        "increments": {kind: sum(each.increments[kind] for each in opened.values()) for kind in ("read", "known")},
        "derived": {column.name: column.expression for column in found.enrichment.computed},
    }
