"""The features stage: learns the plan from training rows on Dask, and writes the plan and the rows as numbers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import storage
from pipelines.artifacts import Artifact, Night, Outcome, write_json
from pipelines.clusters import dask_scheduler
from pipelines.dask_cluster import lanes, later, on_each
from pipelines.errors import SpecError
from pipelines.features.fit import Learned, fit_plan
from pipelines.features.fitting import TrainingData
from pipelines.features.fitting.data import Part
from pipelines.features.fitting.parts import partitions
from pipelines.features.folds import describe_folds, extra_columns, extra_part, fold_columns
from pipelines.features.spec import FeatureSpec
from pipelines.features.summary import ColumnSummary, merge, summarise
from pipelines.inference.enrichment.request import Enrichment
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.settings import Settings
from pipelines.spec import ModelSpec

log = logging.getLogger(__name__)

STAMPS = ("_key", "_fold", "_weight")
Folds = dict[int, dict[str, str]]
"""By fold, the column of each feature: what :func:`fold_columns` gives."""


def run(
    spec: FeatureSpec, *, night: Night, settings: Settings, out: Path, split: Artifact, cleaned: Artifact
) -> Outcome:
    """Fit the plan on ``train/`` of the split and transform those rows.

    Raises
    ------
    SpecError
        If a declared step reads a target that the model does not have, or names a column that is not there.
    """
    _refuse_target_steps(spec, night.model)
    recipe = RowRecipe.from_json((cleaned.path / "recipe.json").read_bytes())
    categories = [column.name for column in recipe.kept if column.kind == "category"]
    parts, nbytes = partitions(split.path / "train", categories)
    enrichment = Enrichment.load(cleaned.path / "enrichment")
    classes = class_list(parts, night.model)
    with storage.scratch(out) as scratch, dask_scheduler(settings, nbytes):
        data = training_data(parts, night.model, classes, scratch)
        learned = fit_plan(recipe, summarise_parts(parts, recipe.kept), spec, data, enrichment)
        folds = fold_columns(learned.data)
        schema = table_schema(learned, folds, night.model.supervised)
        batches = transform_parts(learned, folds, schema, 2 * lanes(settings))
        rows = storage.write_table(batches, out / "train", schema)
    plan, left_out = learned.plan, learned.left_out
    plan.save(out / "plan")
    columns: dict[str, Any] = {"features": plan.describe(), "classes": classes}
    if folds:
        columns["folds"] = describe_folds(learned.data, folds)
    write_json(out / "columns.json", columns)
    report = {"rows": rows, "features": learned.told, "left_out": left_out, "partitions": len(parts)}
    write_json(out / "report.json", report)
    log.info(f"{len(plan.features)} features of {len(plan.sources)} columns, {rows} rows")
    for name, reason in left_out.items():
        log.info(f"left out {name!r}: {reason}")
    counts = {"features": len(plan.features), "left_out": len(left_out)}
    return Outcome(rows=rows, meta={**counts, "classes": len(classes or ())}, stats={**counts, "reasons": left_out})


def _refuse_target_steps(spec: FeatureSpec, model: ModelSpec) -> None:
    faults = [f"step {index + 1}: {step.kind}" for index, step in enumerate(spec.steps) if step.of_target]
    if faults and not model.supervised:
        raise SpecError(
            f"a {model.task} model has no target for a step to read",
            where="FeatureSpec.steps",
            seen=f"{len(faults)} steps that read it",
            expected="steps that look at the columns alone",
            cure="leave these steps out; Select(by='variance') and Select(by='correlation') need no target",
            faults=faults,
        )


def training_data(parts: Sequence[Part], model: ModelSpec, classes: list[str] | None, scratch: Path) -> TrainingData:
    """Return the training rows to fit on, before any step."""
    return TrainingData(tuple(parts), {}, classes, model.seed, scratch, time=model.time, target=model.target)


def summarise_parts(parts: Sequence[Part], columns: tuple[Column, ...]) -> dict[str, ColumnSummary]:
    """Summarise all partitions in parallel and merge the summaries in a tree."""

    def one(part: Part) -> dict[str, ColumnSummary]:
        return summarise(part.to_table(columns=[column.name for column in columns], use_threads=False), columns)

    level = later(one, parts)
    while len(level) > 1:
        pairs = [dask.delayed(merge)(*level[index : index + 2]) for index in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    result: dict[str, ColumnSummary] = dask.compute(level[0])[0]
    return result


def transform_parts(learned: Learned, folds: Folds, schema: pa.Schema, wave: int) -> Iterator[pa.RecordBatch]:
    """Transform the partitions in row order, some while others are written; at most ``wave`` are in memory."""

    def one(index: int) -> pa.Table:
        return transform_part(learned.data, folds, index, schema)

    def some(start: int) -> list[pa.Table]:
        return on_each(one, indices[start : start + half])

    indices, half = range(len(learned.data.parts)), max(1, wave // 2)
    with ThreadPoolExecutor(1, "transform") as ahead:
        coming = ahead.submit(some, 0)
        for start in indices[::half]:
            tables = coming.result()
            if start + half < len(indices):
                coming = ahead.submit(some, start + half)
            while tables:  # each is let go as soon as it was taken
                yield from tables.pop(0).to_batches()


def transform_part(data: TrainingData, folds: Folds, index: int, schema: pa.Schema) -> pa.Table:
    """Return the typed columns of one partition: the stamps, ``_y`` as a number or class index, and the features.

    A model without target has no ``_y``.
    """
    stamps = (*STAMPS, "_y") if "_y" in schema.names else STAMPS
    columns = data.part(index, data.outputs, stamps) | extra_part(data, folds, index)
    if data.classes is not None:
        columns["_y"] = pc.index_in(columns["_y"], value_set=pa.array(data.classes, columns["_y"].type))
    arrays = [
        column.cast(field.type) if isinstance(column := columns[field.name], pa.Array) else pa.array(column, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


def table_schema(learned: Learned, folds: Folds, labelled: bool = True) -> pa.Schema:
    """Return the schema of the written rows; without labels there is no ``_y``."""
    extra = extra_columns(learned.data, folds)
    stamps = [("_key", pa.string()), ("_fold", pa.int8()), ("_weight", pa.float64())]
    label = [("_y", pa.float64())] if labelled else []
    return pa.schema([*stamps, *label, *((name, pa.float64()) for name in (*learned.plan.features, *extra))])


def class_list(parts: Sequence[Part], model: ModelSpec) -> list[str] | None:
    """Return the labels whose index is ``_y``: the positive one last (binary), else by size or alphabet."""
    if not model.classifies:
        return None
    found = pa.chunked_array([pc.unique(part.to_table(columns=["_y"])["_y"]) for part in parts])
    return sorted_classes(pc.unique(found).to_pylist(), model)


def sorted_classes(texts: list[str], model: ModelSpec) -> list[str]:
    """Return the labels in the order of their index."""
    if model.task == "binary":
        return sorted(texts, key=lambda text: (text == model.positive, text))
    try:
        return sorted(texts, key=lambda text: (float(text), text))
    except ValueError:
        return sorted(texts)
