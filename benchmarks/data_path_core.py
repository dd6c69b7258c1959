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

from pipelines.cleaning.clean import clean_parts
from pipelines.cleaning.parts import TableParts
from pipelines.clusters import dask_scheduler
from pipelines.features.fit import fit_plan
from pipelines.features.stage import class_list, summarise_parts, table_schema, training_data, transform_parts
from pipelines.inference.enrichment.request import EMPTY
from pipelines.sampling.sample import Sampler
from pipelines.settings import load
from pipelines.storage import ways_of_writing


def core(source: Path, target: Path, work: Path) -> None:
    """Sample, clean, learn the features and write them; the sample stays in memory, as with the others."""
    settings = load(home=work / "home").ensure()
    table = pads.dataset(source)
    for name in ("sample", "fit"):
        (work / name).mkdir()
    sampler = Sampler(table, SAMPLE, work / "sample", key="id", sealed=None, time=None, together=True)
    clean: dict[int, pa.Table] = {}

    def keep(index: int, rows: pa.Table, held: pa.Table) -> None:
        clean[index] = rows

    with dask_scheduler(settings, 0):
        sampled = pa.Table.from_batches(_stamped(sampler.draw().batches(), table.schema), _schema(table.schema))
        result = clean_parts(TableParts(sampled), MODEL, CLEAN, keep, work / "fit")
        del sampled
        parts = [_folded(clean.pop(index)) for index in sorted(clean)]
        data = training_data(parts, MODEL, class_list(parts, MODEL), work / "fit")
        learned = fit_plan(result.recipe, summarise_parts(parts, result.recipe.kept), FEATURES, data, EMPTY)
        schema = table_schema(learned, {})
        target.mkdir()
        batches = transform_parts(learned, {}, schema, 2 * settings.cores)
        first = next(batches)
        with pq.ParquetWriter(target / "part-00000.parquet", schema, **ways_of_writing(schema, first)) as file:
            file.write_batch(first)
            for batch in batches:
                file.write_batch(batch)


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


def _folded(rows: pa.Table) -> pads.Fragment:
    """Add a fold to the rows, as the split does."""
    rows = rows.append_column("_fold", pa.array((np.arange(rows.num_rows) % 5).astype(np.int8)))
    (part,) = pads.InMemoryDataset(rows.combine_chunks()).get_fragments()
    return part


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="aimass-bench-", dir=Path(sys.argv[2]).parent) as folder:
        started = time.monotonic()
        core(Path(sys.argv[1]), Path(sys.argv[2]), Path(folder))
        print(f"job {time.monotonic() - started}")
