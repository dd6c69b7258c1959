"""The clean stage: reads the sampled rows, writes cleaned rows, quarantine, examples, recipe and report."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import storage
from pipelines.artifacts import Artifact, Night, Outcome, write_atomic, write_json
from pipelines.cleaning.before import changes, read_before
from pipelines.cleaning.clean import clean_parts
from pipelines.cleaning.counts import OUTCOMES
from pipelines.cleaning.declared_columns import target_columns
from pipelines.cleaning.parts import FolderParts
from pipelines.cleaning.profile import profile
from pipelines.cleaning.spec import CleanSpec
from pipelines.cleaning.table import describe
from pipelines.clusters import dask_scheduler
from pipelines.dask_files import give, take_all, to_write
from pipelines.inference.enrichment.request import Enrichment
from pipelines.settings import Settings, make_private
from pipelines.storage.file_io import link_tree

log = logging.getLogger(__name__)


def fingerprint(spec: CleanSpec, night: Night, settings: Settings) -> str:
    """Return what the result depends on besides the rows: how a release before this one read them, if one did."""
    before = read_before(settings, night.model.name)
    return "" if before is None else before.to_json()


def run(spec: CleanSpec, *, night: Night, settings: Settings, out: Path, sampled: Artifact) -> Outcome:
    """Clean the rows in ``sampled/``; see :func:`pipelines.cleaning.clean.clean_parts`.

    Leaves ``cleaned/``, ``quarantine/`` (raw rows with ``_reason``), ``examples/``, ``recipe.json``, ``report.json``
    and, where the input has one, ``enrichment/``.
    """
    model = night.model
    enrichment = Enrichment.load(sampled.path / "enrichment")
    hidden = set(enrichment.hidden) - {model.target}
    parts = FolderParts(sampled.path / "sampled")
    # threads where there is no cluster: the tables lie on this machine and stream through its memory
    with storage.scratch(out) as work, dask_scheduler(settings, parts.nbytes, processes=False):
        result = clean_parts(parts, model, spec, Writer(out), work, hidden, enrichment.optional)
        for name in Writer.FOLDERS:
            take_all(out / name)
        result.report["profile"] = profile(FolderParts(out / "cleaned"), result.recipe)
        before = read_before(settings, model.name)
        result.report["notes"] += [] if before is None else changes(before, result.recipe)
        result.report["columns"] = describe(
            result.recipe, model, result.examples, result.report["profile"], hidden, target_columns(model, spec)
        )
    storage.write_table(result.examples, out / "examples")
    write_atomic(out / "recipe.json", result.recipe.to_json())
    report = result.report
    write_json(out / "report.json", report)
    link_tree(sampled.path / "enrichment", out / "enrichment")
    counts = {name: report[name] for name in ("in", *OUTCOMES)}
    log.info(
        "in {in} = clean {clean} + quarantined {quarantined} + duplicates {duplicates} + filtered {filtered}"
        " + unlabelled {unlabelled}".format(**counts)
    )
    reasons = [f"{count} × {reason}" for name in ("by_reason", "filtered_by") for reason, count in report[name].items()]
    for line in (*report["notes"], *reasons):
        log.info(line)
    stats = {**counts, "by_reason": report["by_reason"], "notes": report["notes"]}
    return Outcome(rows=report["clean"], meta=counts, stats=stats)


class Writer:
    """Writes the clean and the held rows of every part to a file of its own, where they were made."""

    FOLDERS = ("cleaned", "quarantine")

    def __init__(self, out: Path) -> None:
        self.folders = [make_private(out / name) for name in self.FOLDERS]

    def __call__(self, index: int, *tables: pa.Table) -> None:
        """Write the tables of one part; a part without rows leaves no file, but the first one always does."""
        for folder, table in zip(self.folders, tables, strict=True):
            if table.num_rows or index == 0:
                path = folder / f"part-{index:05d}.parquet"
                texts = [
                    field.name for field in table.schema if pa.types.is_string(field.type) and field.name != "_key"
                ]
                ways = storage.ways_of_writing(table.schema, table, texts)  # distinct numbers are not looked for
                target = to_write(path)
                with storage.disk_errors(target):
                    pq.write_table(table, target, row_group_size=storage.ROW_GROUP, **ways)
                if target != path:
                    give(path)
