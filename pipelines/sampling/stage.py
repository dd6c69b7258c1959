"""The stage ``sample``: raw → sampled, with ``_weight`` = 1 / inclusion probability."""

# ruff: noqa: S608 - paths are quoted
from __future__ import annotations

import difflib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from pipelines.artifacts import Artifact, Night, Outcome
from pipelines.errors import SpecError
from pipelines.sampling.sample import choose
from pipelines.sampling.spec import SampleSpec
from pipelines.settings import Settings
from pipelines.storage import ROW_GROUP, dataset, write_table

SPEC = SampleSpec
INPUTS = ("raw",)


def run(spec: SampleSpec, *, night: Night, settings: Settings, out: Path, raw: Artifact) -> Outcome:
    """Choose among the unsealed rows; all sealed rows pass.

    Leaves ``sampled/`` (the columns of ``raw/`` and ``_weight`` float64, rows in their order) and ``report.json``.
    """
    folder = raw.path / "raw"
    table = dataset(folder)
    columns = [name for name in table.schema.names if name not in ("_key", "_time", "_sealed")]
    _require(spec, columns)
    sealed = table.to_table(columns=["_sealed"])["_sealed"].to_numpy()
    rows, unsealed = len(sealed), int((~sealed).sum())
    weights = np.ones(rows)
    strata = [{"rows": unsealed, "kept": unsealed}]
    fraction = max(spec.fraction, min(1.0, spec.min_rows / max(1, unsealed)))
    if unsealed and (fraction < 1 or (spec.max_rows is not None and spec.max_rows < unsealed)):
        work = out / ".work"
        connection = _connect(work, settings)
        try:
            files = ", ".join("'" + str(path).replace("'", "''") + "'" for path in sorted(folder.glob("*.parquet")))
            numbered = f"(SELECT *, row_number() OVER () - 1 AS rn FROM read_parquet([{files}]))"
            places, chosen, strata = choose(
                connection, f"(SELECT * FROM {numbered} WHERE NOT _sealed)",
                by=[_quoted(name) for name in spec.by], content=[_quoted(name) for name in columns],
                fraction=fraction, max_rows=spec.max_rows, seed=spec.seed,
            )  # fmt: skip
        finally:
            connection.close()
            shutil.rmtree(work, ignore_errors=True)
        weights = np.where(sealed, 1.0, 0.0)
        weights[places] = chosen
    schema = table.schema.append(pa.field("_weight", pa.float64()))

    def kept() -> Iterator[pa.RecordBatch]:
        start = 0
        for batch in table.scanner(batch_size=ROW_GROUP, use_threads=False).to_batches():
            part = weights[start : start + batch.num_rows]
            start += batch.num_rows
            whole = pa.RecordBatch.from_arrays([*batch.columns, pa.array(part)], schema=schema)
            yield whole if part.all() else whole.filter(pa.array(part > 0))

    written = write_table(kept(), out / "sampled", schema)
    stats = {"in": rows, "sealed": rows - unsealed, "unsealed": unsealed, "kept": written - (rows - unsealed)}
    print(f"{stats['kept']} of {unsealed} unsealed rows kept, {stats['sealed']} sealed", file=sys.stderr, flush=True)
    (out / "report.json").write_text(json.dumps({**stats, "strata": strata[:200]}, indent=1))
    return Outcome(rows=written, stats={**stats, "strata": len(strata)})


def _require(spec: SampleSpec, columns: list[str]) -> None:
    missing = [name for name in spec.by if name not in columns]
    if not missing:
        return
    faults = []
    for name in missing:
        near = difflib.get_close_matches(name, columns, n=1, cutoff=0.5)
        faults.append(f"{name!r} is no column" + (f"; nearest is {near[0]!r}" if near else ""))
    raise SpecError(
        "cannot sample by a column that is not there",
        where="SampleSpec.by",
        seen=", ".join(repr(name) for name in missing),
        expected="columns of the source",
        cure="correct 'by' at the top of the DAG file",
        faults=faults,
    )


def _connect(work: Path, settings: Settings) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "threads": str(settings.cores),
            "memory_limit": f"{max(0.5, settings.memory_gb * 0.6):.1f}GB",
            "temp_directory": str(work),
        }
    )
    connection.execute("SET enable_progress_bar = false")
    return connection


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
