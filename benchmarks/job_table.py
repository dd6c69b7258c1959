"""The table of the data-path benchmark: 20 columns, written as Parquet, a function of (rows, seed) alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GROUP = 500_000
FLOATS = tuple(f"f{index}" for index in range(10))
INTS = ("i0", "i1", "i2", "i3")
LEVELS = {"c5": 5, "c50": 50, "c1000": 1_000, "c20000": 20_000}
DUPLICATES = 0.01


def job_table(path: Path, rows: int, seed: int = 0) -> Path:
    """Write the table: key ``id`` (1 % of rows repeat an earlier one's), 10 floats, 4 ints, 4 categories, ``label``.

    Floats have 5 % nulls and 0.5 % outliers of a hundred times the spread; the label (yes in 20 %) depends on three of
    them and on ``c5``.
    """
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = {name: pa.array([f"{name}_{index:05d}" for index in range(size)]) for name, size in LEVELS.items()}
    partial = path.with_suffix(".partial")
    writer = None
    for start in range(0, rows, GROUP):
        table = _group(start, min(GROUP, rows - start), seed, texts)
        writer = writer or pq.ParquetWriter(partial, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=GROUP)
    if writer is None:
        raise ValueError("a table of no rows")
    writer.close()
    partial.rename(path)
    return path


def _group(start: int, rows: int, seed: int, texts: dict[str, pa.Array]) -> pa.Table:
    rng = np.random.default_rng([seed, start])
    ids = np.arange(start, start + rows, dtype=np.int64)
    again = rng.random(rows) < DUPLICATES
    ids[again] = ids[again] - rng.integers(0, 1000, again.sum()).clip(max=ids[again] - start)
    columns: dict[str, pa.Array] = {"id": pa.array(ids)}
    score = np.full(rows, -1.9)
    for index, name in enumerate(FLOATS):
        values = rng.normal(index, 1 + index, rows)
        if index < 3:
            score += 0.5 * (values - index) / (1 + index)
        outliers = rng.random(rows) < 0.005
        values[outliers] *= 100
        columns[name] = pa.array(values, mask=rng.random(rows) < 0.05)
    for index, name in enumerate(INTS):
        columns[name] = pa.array(rng.integers(-20 if index == 0 else 0, 1_000 * (index + 1), rows))
    for name, size in LEVELS.items():
        codes = np.minimum(rng.zipf(1.3, rows) - 1, size - 1) if size > 5 else rng.integers(0, 5, rows)
        if name == "c5":
            score += 0.4 * (codes == 2)
        columns[name] = texts[name].take(pa.array(codes))
    columns["label"] = pa.array(["no", "yes"]).take(pa.array((rng.random(rows) < 1 / (1 + np.exp(-score))).astype(int)))
    return pa.table(columns)
