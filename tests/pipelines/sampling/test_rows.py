"""Rows are worked on by several threads and come back in their order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from pipelines.sampling import rows
from pipelines.sampling.rows import batches, worked
from pipelines.storage import dataset


@pytest.fixture
def table(tmp_path: Path) -> pads.Dataset:
    for index in range(3):
        first = index * 1_000
        part = pa.table({"n": np.arange(first, first + 1_000), "t": ["a", "b", None, "a"] * 250})
        pq.write_table(part, tmp_path / f"part-{index}.parquet", row_group_size=170)
    return dataset(tmp_path)


def test_results_come_in_the_order_of_the_rows(table: pads.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "threads", lambda: 3)
    monkeypatch.setattr(rows, "BATCH", 50)
    seen = list(worked(table, ["n", "t", "n"], lambda start, batch: (start, batch)))
    assert [batch.schema.names for _, batch in seen] == [["n", "t"]] * len(seen)
    assert [start for start, _ in seen] == [batch.column("n")[0].as_py() for _, batch in seen]
    assert np.array_equal(np.concatenate([batch.column("n") for _, batch in seen]), np.arange(3_000))
    plain = [text for batch in batches(table, ["t"]) for text in batch.column("t").to_pylist()]
    assert [text for _, batch in seen for text in batch.column("t").to_pylist()] == plain


def test_a_table_in_memory_is_worked_on_too() -> None:
    table = pads.dataset(pa.table({"n": np.arange(500)}))
    found = list(worked(table, ["n"], lambda start, batch: start + batch.num_rows))
    assert found[-1] == 500


def test_a_fault_is_told_and_the_rest_is_left(table: pads.Dataset) -> None:
    def work(start: int, batch: pa.RecordBatch) -> int:
        if start > 500:
            raise ValueError("no more")
        return start

    with pytest.raises(ValueError, match="no more"):
        list(worked(table, ["n"], work))


def test_who_asks_for_no_more_gets_no_more(table: pads.Dataset) -> None:
    assert next(worked(table, ["n"], lambda start, batch: batch.num_rows)) == 170
