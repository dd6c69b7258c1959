"""Both ends of a stream come to their end, whatever happens at the other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from pipelines.splitting.handed import Handed

BATCHES = [pa.record_batch({"n": [index]}) for index in range(20)]


def test_all_batches_arrive_in_order() -> None:
    stream = Handed()
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(stream.to, lambda batches: [batch["n"][0].as_py() for batch in batches])
        for batch in BATCHES:
            stream.put(batch)
        stream.end()
    assert taken.result() == list(range(20))


def test_a_failing_taker_does_not_stop_the_giver() -> None:
    def take(batches: Iterator[pa.RecordBatch]) -> None:
        next(batches)
        raise OSError("disk full")

    stream = Handed()
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(stream.to, take)
        for batch in BATCHES:
            stream.put(batch)
        stream.end()
    with pytest.raises(OSError, match="disk full"):
        taken.result()


def test_a_taker_that_read_all_is_not_waited_for() -> None:
    stream = Handed()
    stream.end()
    assert stream.to(list) == []
