"""The features stage: learns the plan from training rows on Dask, and writes the plan and the rows as numbers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import storage
from pipelines.artifacts import Artifact, Night, Outcome, write_atomic
from pipelines.clusters import dask_scheduler
from pipelines.features.fit import fit_plan
from pipelines.features.spec import FeatureSpec
from pipelines.features.summary import ColumnSummary, merge, summarise
from pipelines.inference.plan import FeaturePlan
from pipelines.inference.recipe import Column, RowRecipe
from pipelines.settings import Settings
from pipelines.spec import ModelSpec

SPEC = FeatureSpec
INPUTS = ("split", "cleaned")
STAMPS = ("_key", "_fold", "_weight", "_y")
Part = Any
"""One partition: a fragment of a Parquet data set that holds one row group."""


def run(
    spec: FeatureSpec, *, night: Night, settings: Settings, out: Path, split: Artifact, cleaned: Artifact
) -> Outcome:
    """Fit the plan on ``train/`` of the split and transform those rows."""
    parts, nbytes = partitions(split.path / "train")
    recipe = RowRecipe.from_json((cleaned.path / "recipe.json").read_bytes())
    classes = class_list(storage.read_table(split.path / "train", ["_y"])["_y"], night.model)
    with dask_scheduler(settings, nbytes):
        plan, left_out = fit_plan(recipe, summarise_parts(parts, recipe.kept), spec)
        schema = table_schema(plan)
        batches = transform_parts(parts, plan, classes, schema, wave=2 * settings.cores)
        rows = storage.write_table(batches, out / "train", schema)
    plan.save(out / "plan")
    columns = {"features": plan.describe(), "classes": classes}
    write_atomic(out / "columns.json", json.dumps(columns, indent=1, ensure_ascii=False))
    report = {"rows": rows, "features": plan.describe(), "left_out": left_out, "partitions": len(parts)}
    write_atomic(out / "report.json", json.dumps(report, indent=1, ensure_ascii=False))
    print(f"{len(plan.features)} features of {len(plan.sources)} columns, {rows} rows", file=sys.stderr, flush=True)
    for name, reason in left_out.items():
        print(f"  left out {name!r}: {reason}", file=sys.stderr, flush=True)
    counts = {"features": len(plan.features), "left_out": len(left_out)}
    return Outcome(rows=rows, meta={**counts, "classes": len(classes or ())}, stats={**counts, "reasons": left_out})


def partitions(folder: Path) -> tuple[list[Part], int]:
    """Give the partitions of a table in row order, and its size in memory in bytes."""
    parts = [part for file in storage.dataset(folder).get_fragments() for part in file.split_by_row_group()]
    return parts, sum(group.total_byte_size for part in parts for group in part.row_groups)


def summarise_parts(parts: list[Part], columns: tuple[Column, ...]) -> dict[str, ColumnSummary]:
    """Summarise all partitions in parallel and merge the summaries in a tree."""

    def one(part: Part) -> dict[str, ColumnSummary]:
        return summarise(part.to_table(columns=[column.name for column in columns]), columns)

    level: list[Any] = [dask.delayed(one)(part) for part in parts]
    while len(level) > 1:
        pairs = [dask.delayed(merge)(*level[place : place + 2]) for place in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    result: dict[str, ColumnSummary] = dask.compute(level[0])[0]
    return result


def transform_parts(
    parts: list[Part], plan: FeaturePlan, classes: list[str] | None, schema: pa.Schema, wave: int
) -> Iterator[pa.RecordBatch]:
    """Transform the partitions in row order; at most ``wave`` of them are in memory."""

    def one(part: Part) -> pa.Table:
        return transform_part(part.to_table(columns=[*STAMPS, *plan.sources]), plan, classes, schema)

    for start in range(0, len(parts), wave):
        for table in dask.compute(*[dask.delayed(one)(part) for part in parts[start : start + wave]]):
            yield from table.to_batches()


def transform_part(table: pa.Table, plan: FeaturePlan, classes: list[str] | None, schema: pa.Schema) -> pa.Table:
    """Give the typed columns of one partition: the stamps, ``_y`` as a number or class index, and the features."""
    matrix = plan.transform(table.select(plan.sources).to_pandas())
    y = table["_y"]
    if classes is not None:
        y = pc.index_in(y, value_set=pa.array(classes, y.type))
    columns = [table["_key"], table["_fold"], table["_weight"], y]
    columns += [pa.array(matrix[:, place]) for place in range(matrix.shape[1])]
    return pa.table([column.cast(field.type) for column, field in zip(columns, schema, strict=True)], schema=schema)


def table_schema(plan: FeaturePlan) -> pa.Schema:
    """Give the schema of the written rows."""
    stamps = [("_key", pa.string()), ("_fold", pa.int8()), ("_weight", pa.float64()), ("_y", pa.float64())]
    return pa.schema([*stamps, *((name, pa.float64()) for name in plan.features)])


def class_list(labels: pa.ChunkedArray, model: ModelSpec) -> list[str] | None:
    """Give the labels whose index is ``_y``: the positive one last (binary), else by size or alphabet."""
    if model.task == "regression":
        return None
    texts: list[str] = pc.unique(labels).to_pylist()
    if model.task == "binary":
        return sorted(texts, key=lambda text: (text == model.positive, text))
    try:
        return sorted(texts, key=lambda text: (float(text), text))
    except ValueError:
        return sorted(texts)
