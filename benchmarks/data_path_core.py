"""The job of the data-path benchmark on the product's own functions, in one process: ``data_path_core.py IN OUT``.

Sampler, cleaner and feature plan as the stages call them, without snapshot, manifests and digests.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from data_path_job import CLEAN, FEATURES, MODEL, SAMPLE
from job_table import LEVELS

from pipelines.cleaning.clean import clean_parts
from pipelines.cleaning.parts import FolderParts
from pipelines.cleaning.stage import Writer
from pipelines.clusters import dask_scheduler
from pipelines.features.fit import fit_plan
from pipelines.features.stage import (
    class_list,
    partitions,
    summarise_parts,
    table_schema,
    training_data,
    transform_parts,
)
from pipelines.inference.enrichment import EMPTY
from pipelines.sampling.sample import Sampler
from pipelines.settings import load
from pipelines.storage import write_table


def core(source: Path, target: Path, work: Path) -> None:
    """Sample, clean, learn the features and write them."""
    settings = load(home=work / "home").ensure()
    table = pads.dataset(source)
    for name in ("sample", "fit"):
        (work / name).mkdir()
    sampler = Sampler(table, SAMPLE, work / "sample", key="id", sealed=None, time=None, together=True)
    with dask_scheduler(settings, 0):
        write_table(_stamped(sampler.draw().batches(), table.schema), work / "sampled", _schema(table.schema))
        result = clean_parts(FolderParts(work / "sampled"), MODEL, CLEAN, Writer(work), work / "fit")
        parts = _folded(partitions(work / "cleaned", [*LEVELS])[0], work / "train")
        data = training_data(parts, MODEL, class_list(parts, MODEL), work / "fit")
        learned = fit_plan(result.recipe, summarise_parts(parts, result.recipe.kept), FEATURES, data, EMPTY)
        schema = table_schema(learned, {})
        write_table(transform_parts(learned, {}, schema, 2 * settings.cores), target, schema)


def _schema(source: pa.Schema) -> pa.Schema:
    stamps = [("_key", pa.string()), ("_time", pa.timestamp("us", "UTC")), ("_sealed", pa.bool_())]
    return pa.schema([*source, *stamps, ("_weight", pa.float64())])


def _stamped(batches: Iterator[pa.RecordBatch], source: pa.Schema) -> Iterator[pa.RecordBatch]:
    schema = _schema(source)
    for batch in batches:
        rows = batch.num_rows
        given = [batch.column(name) for name in source.names]
        nothing = [pa.nulls(rows, pa.timestamp("us", "UTC")), pa.array(np.zeros(rows, bool))]
        stamps = [batch.column("id").cast(pa.string()), *nothing, batch.column("_weight")]
        yield pa.RecordBatch.from_arrays([*given, *stamps], schema=schema)


def _folded(parts: list[pads.Fragment], folder: Path) -> list[pads.Fragment]:
    """Write the training rows with a fold, as the split does."""
    folder.mkdir()
    for place, part in enumerate(parts):
        rows = part.to_table()
        rows = rows.append_column("_fold", pa.array((np.arange(rows.num_rows) % 5).astype(np.int8)))
        pq.write_table(rows, folder / f"part-{place:05d}.parquet", use_dictionary=[*LEVELS])
    return partitions(folder, [*LEVELS])[0]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="aimass-bench-", dir=Path(sys.argv[2]).parent) as folder:
        started = time.monotonic()
        core(Path(sys.argv[1]), Path(sys.argv[2]), Path(folder))
        print(f"job {time.monotonic() - started}")
