"""The stage ``sample``: raw → sampled, with ``_weight`` = 1 / inclusion probability."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from pipelines.artifacts import Artifact, Night, Outcome, write_json
from pipelines.errors import SpecError
from pipelines.reserved_columns import INGESTED
from pipelines.sampling.rows import batches
from pipelines.sampling.sample import Sampler
from pipelines.sampling.spec import SampleSpec
from pipelines.settings import Settings
from pipelines.storage import dataset, scratch, write_table
from pipelines.storage.file_io import link_tree

log = logging.getLogger(__name__)

SHOWN = 200


def run(spec: SampleSpec, *, night: Night, settings: Settings, out: Path, raw: Artifact) -> Outcome:
    """Choose among the unsealed rows; sealed rows pass, up to ``max_sealed``.

    Leaves ``sampled/`` (the columns of ``raw/`` and ``_weight`` float64, rows in their order), ``report.json`` and,
    where the raw snapshot has one, ``enrichment/``.
    """
    table = dataset(raw.path / "raw")
    columns = [name for name in table.schema.names if name not in INGESTED]
    _require(spec, columns, dated=night.model.time is not None)
    rows = sealed = 0
    for batch in batches(table, ["_sealed"]):
        rows += batch.num_rows
        sealed += pc.sum(batch.column(0)).as_py() or 0
    unsealed = rows - sealed
    schema = table.schema.append(pa.field("_weight", pa.float64()))
    if _all_pass(spec, unsealed, sealed):
        strata = [{"stratum": "", "rows": unsealed, "kept": unsealed}]
        write_table(_whole(table, schema), out / "sampled", schema)
        kept = [sealed, unsealed]
    else:
        with scratch(out) as folder:
            sample = Sampler(table, spec, folder, together=bool(night.model.key)).draw()
            strata = sample.strata()
            write_table((batch.cast(schema) for batch in sample.batches()), out / "sampled", schema)
            kept = [int(sample.kept[0]), int(sample.kept[1:].sum())]
    link_tree(raw.path / "enrichment", out / "enrichment")
    stats = {"in": rows, "sealed": kept[0], "unsealed": unsealed, "kept": kept[1]}
    notices = _unseen(spec, [str(one["stratum"]) for one in strata])
    if kept[0] < sealed:
        notices.append(f"{kept[0]} of {sealed} sealed rows drawn (max_sealed)")
    log.info(f"{kept[1]} of {unsealed} unsealed rows kept, {kept[0]} sealed")
    for notice in notices:
        log.info(f"notice: {notice}")
    report = {**stats, "by": [*spec.by, *spec.by_volume], "strata": strata[:SHOWN], "notices": notices}
    write_json(out / "report.json", report)
    return Outcome(rows=sum(kept), stats={**stats, "strata": len(strata)})


def _all_pass(spec: SampleSpec, unsealed: int, sealed: int) -> bool:
    if sealed > spec.max_sealed or (spec.max_rows is not None and spec.max_rows < unsealed):
        return False
    return (spec.fraction == 1 and spec.allocation == "proportional") or spec.min_rows >= unsealed


def _whole(table: pads.Dataset, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in batches(table):
        weight = pa.array(np.ones(batch.num_rows))
        yield pa.RecordBatch.from_arrays([*batch.columns, weight], [*batch.schema.names, "_weight"]).cast(schema)


def _require(spec: SampleSpec, columns: list[str], *, dated: bool) -> None:
    """Refuse columns that are not there, and a half-life where rows have no moment."""
    named = [("by", name) for name in spec.by] + [("by_volume", name) for name in spec.by_volume]
    missing = [(field, name) for field, name in named if name not in columns]
    if missing:
        faults = []
        for _, name in missing:
            near = difflib.get_close_matches(name, columns, n=1, cutoff=0.5)
            faults.append(f"{name!r} is no column" + (f"; nearest is {near[0]!r}" if near else ""))
        raise SpecError(
            "cannot sample by a column that is not there",
            where=" and ".join(sorted({f"SampleSpec.{field}" for field, _ in missing})),
            seen=", ".join(repr(name) for _, name in missing),
            expected="columns of the source",
            cure="correct the name at the top of the DAG file",
            faults=faults,
        )
    if spec.half_life_days is not None and not dated:
        raise SpecError(
            "recent rows cannot be preferred, because rows have no moment",
            where="SampleSpec.half_life_days",
            seen="a model without 'time'",
            expected="ModelSpec.time, the column with the moment a row happened",
            cure="declare the model's time, or leave half_life_days out",
        )


def _unseen(spec: SampleSpec, found: list[str]) -> list[str]:
    """Name the strata of the spec that did not occur tonight: a rare class may be absent, a name may be wrong."""
    notices = []
    for name in () if isinstance(spec.allocation, str) else spec.allocation:
        if name not in found:
            near = difflib.get_close_matches(name, found, n=1, cutoff=0.5)
            notices.append(f"no row is in stratum {name!r}" + (f"; nearest is {near[0]!r}" if near else ""))
    return notices
