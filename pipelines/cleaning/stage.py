"""The clean stage: reads the sampled rows, writes cleaned rows, quarantine, examples, recipe and report."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import dask
import pandas as pd
import pyarrow as pa

from pipelines import storage
from pipelines.artifacts import Artifact, Night, Outcome, write_atomic
from pipelines.cleaning.clean import clean
from pipelines.cleaning.spec import CleanSpec
from pipelines.clusters import dask_scheduler
from pipelines.inference.recipe import RowRecipe
from pipelines.settings import Settings

SPEC = CleanSpec
INPUTS = ("sampled",)
PART_ROWS = 100_000


def run(spec: CleanSpec, *, night: Night, settings: Settings, out: Path, sampled: Artifact) -> Outcome:
    """Clean the rows in ``sampled/``; see :func:`pipelines.cleaning.clean.clean`."""
    raw = storage.read_table(sampled.path / "sampled")
    with dask_scheduler(settings, raw.nbytes):
        result = clean(raw, night.model, spec, apply=apply_in_parts)
    storage.write_table(result.table, out / "cleaned")
    storage.write_table(result.quarantine, out / "quarantine")
    storage.write_table(result.examples, out / "examples")
    write_atomic(out / "recipe.json", result.recipe.to_json())
    report = result.report
    write_atomic(out / "report.json", json.dumps(report, indent=1, ensure_ascii=False))
    counts = {name: report[name] for name in ("in", "clean", "quarantined", "duplicates", "filtered", "unlabelled")}
    print(
        "in {in} = clean {clean} + quarantined {quarantined} + duplicates {duplicates} + filtered {filtered}"
        " + unlabelled {unlabelled}".format(**counts),
        file=sys.stderr,
        flush=True,
    )
    for line in (*report["notes"], *(f"{count} × {reason}" for reason, count in report["by_reason"].items())):
        print(f"  {line}", file=sys.stderr, flush=True)
    return Outcome(rows=result.table.num_rows, meta=counts, stats={**counts, "by_reason": report["by_reason"]})


def apply_in_parts(recipe: RowRecipe, table: pa.Table) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Apply a recipe to slices of a table on Dask; the result does not depend on the slices."""
    starts = range(0, max(table.num_rows, 1), PART_ROWS)
    parts = dask.compute(*[dask.delayed(recipe.apply)(table.slice(start, PART_ROWS)) for start in starts])
    clean, bad = (pd.concat([part[side] for part in parts], ignore_index=True) for side in (0, 1))
    return clean, bad
