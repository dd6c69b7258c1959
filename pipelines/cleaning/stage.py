"""The clean stage: reads the sampled rows, writes cleaned rows, quarantine, examples, recipe and report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import dask
import pandas as pd

from pipelines import storage
from pipelines.artifacts import Artifact, Night, Outcome, write_atomic
from pipelines.cleaning.clean import clean
from pipelines.cleaning.spec import CleanSpec
from pipelines.clusters import dask_scheduler
from pipelines.inference.recipe import RowRecipe
from pipelines.settings import Settings

SPEC = CleanSpec
INPUTS = ("sampled",)


def run(spec: CleanSpec, *, night: Night, settings: Settings, out: Path, sampled: Artifact) -> Outcome:
    """Clean the rows in ``sampled/``; see :func:`pipelines.cleaning.clean.clean`."""
    folder = sampled.path / "sampled"
    raw = storage.read_table(folder)
    with dask_scheduler(settings, raw.nbytes):
        result = clean(raw, night.model, spec, apply=lambda recipe, _: apply_in_parts(recipe, folder))
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


def apply_in_parts(recipe: RowRecipe, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Apply a recipe to every row group of a table on Dask; the result is that of the whole table."""
    parts = [part for file in storage.dataset(folder).get_fragments() for part in file.split_by_row_group()]

    def one(part: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
        return recipe.apply(part.to_table(columns=recipe.names))

    read = dask.compute(*[dask.delayed(one)(part) for part in parts])
    clean, bad = (pd.concat([part[side] for part in read], ignore_index=True) for side in (0, 1))
    return clean, bad
