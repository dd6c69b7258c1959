"""R5: the sampler under 1,000 generated tables: shares kept, no stratum lost, nothing but seed and rows decides."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.sampling.sample import Sampler
from pipelines.sampling.spec import SampleSpec
from pipelines.storage import dataset

TABLES = 1_000 if os.environ.get("AIMASS_FULL") else 40


def generated(rng: np.random.Generator) -> tuple[pa.Table, dict[str, Any]]:
    """A table of 1 to 3,000 rows with skewed strata, nulls and odd texts, and settings for it."""
    rows = int(rng.choice([1, 2, 7, 60, 700, 3000]))
    classes = np.array(["yes", "no ", "", "a | b", "Ω", "NA", "x" * 300, "0"][: int(rng.integers(1, 9))], dtype=object)
    skew = rng.dirichlet(np.full(len(classes), 0.4))
    label = rng.choice(classes, rows, p=skew)
    label[rng.random(rows) < 0.1 * rng.integers(0, 2)] = None
    table = pa.table(
        {
            "label": pa.array(label, pa.string()),
            "group": pa.array(rng.integers(0, rng.integers(1, 5), rows)),
            "_key": pa.array([f"k{number}" for number in rng.permutation(10**6)[:rows]]),
            "_sealed": pa.array(rng.random(rows) < 0.1 * rng.integers(0, 3)),
        }
    )
    spec = {
        "fraction": float(rng.choice([0.01, 0.1, 0.37, 0.9])),
        "seed": int(rng.integers(0, 3)),
        "by": [("label",), ("label", "group"), ("group",), ()][int(rng.integers(0, 4))],
    }
    return table, spec


def drawn(table: pa.Table, spec: dict[str, Any], folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Draw from several files; return the unsealed rows in order of key, and the strata."""
    folder.mkdir()
    step = max(1, table.num_rows // 3)
    for index, start in enumerate(range(0, table.num_rows, step)):
        pq.write_table(table.slice(start, step), folder / f"{index:02}.parquet", row_group_size=97)
    work = folder / "work"
    work.mkdir()
    sample = Sampler(dataset(folder), SampleSpec(**spec), work, time=None).draw()
    rows = [row for batch in sample.batches() for row in batch.to_pylist()]
    assert sum(row["_sealed"] for row in rows) == sum(table["_sealed"].to_pylist())
    return sorted((row for row in rows if not row["_sealed"]), key=lambda row: row["_key"]), sample.strata()


@pytest.mark.fault
def test_shares_strata_and_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for number in range(TABLES):
        table, spec = generated(rng)
        rows, strata = drawn(table, spec, tmp_path / f"{number}")
        unsealed = [row for row in table.to_pylist() if not row["_sealed"]]

        def stratum(row: dict[str, Any], by: tuple[str, ...] = spec["by"]) -> tuple[str, ...]:
            return tuple(str(row[name]).strip() for name in by)

        whole, kept = Counter(map(stratum, unsealed)), Counter(map(stratum, rows))
        assert kept.keys() == whole.keys(), (number, spec)
        assert sorted((one["rows"], one["kept"]) for one in strata) == sorted((whole[s], kept[s]) for s in whole)
        if all(size * spec["fraction"] >= 1 for size in whole.values()):
            assert all(abs(kept[s] / len(rows) - whole[s] / len(unsealed)) <= 1 / len(rows) for s in whole)
        assert all(row["_weight"] == pytest.approx(whole[stratum(row)] / kept[stratum(row)]) for row in rows)
        shuffled = table.take(rng.permutation(table.num_rows))
        assert drawn(shuffled, spec, tmp_path / f"{number}-shuffled") == (rows, strata)
