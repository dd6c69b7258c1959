from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.holdout import seal_scores
from pipelines.ingestion.holdout.key_scores import Stamp, Stamps
from pipelines.ingestion.keys import declared_keys


def filled(path: Path) -> Stamps:
    stamps = Stamps(path)
    batches = (pa.record_batch({"k": list(range(start, start + 7))}) for start in range(0, 42, 7))

    def stamp(batch: pa.RecordBatch) -> Stamp:
        keys = declared_keys([batch.column(0)])
        return keys, seal_scores("demo", keys)

    stamps.fill(batches, stamp)
    return stamps


@pytest.mark.parametrize("size", [1, 5, 7, 42])
def test_rows_come_back_in_order_whatever_the_batches(tmp_path: Path, size: int) -> None:
    stamps = filled(tmp_path / "s.arrow")
    expected = seal_scores("demo", [str(n) for n in range(42)])
    assert stamps.rows == 42
    assert np.array_equal(np.concatenate(list(stamps.scores())), expected)
    keys, scores = [], []
    for start in range(0, 42, size):
        texts, part = stamps.take(min(size, 42 - start))
        keys += texts.to_pylist()
        scores += part.tolist()
    assert keys == [str(n) for n in range(42)]
    assert scores == expected.tolist()
    assert stamps.take(0)[0].to_pylist() == []
    with pytest.raises(ValueError, match="1 rows more"):
        stamps.take(1)
