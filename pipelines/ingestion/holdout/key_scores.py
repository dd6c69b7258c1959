"""Key and seal score of every row, computed in a first pass over the source and kept on disk for the second.

Digests are taken key by key, which holds up all other threads of the interpreter: in a pass of their own they cost
what they cost, while the pass that writes the table is left to threads that do not wait for them. Memory does not
grow with the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

SCHEMA = pa.schema([("_key", pa.string()), ("score", pa.float64())])
Stamp = tuple[pa.Array, NDArray[np.float64]]


class Stamps:
    """Stamps of the rows of one table, in row order.

    Parameters
    ----------
    path
        File to keep them in, about 25 bytes a row; removed by the caller.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ahead: Iterator[pa.RecordBatch] = iter(())
        self._rest: pa.RecordBatch | None = None
        self.rows = 0

    def fill(self, batches: Iterable[pa.RecordBatch], stamp: Callable[[pa.RecordBatch], Stamp]) -> None:
        """Store key and score of every row; ``stamp`` returns the key texts and the scores of a batch."""
        with pa.OSFile(str(self._path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            for batch in batches:
                texts, scores = stamp(batch)
                writer.write_batch(pa.RecordBatch.from_arrays([texts, pa.array(scores)], schema=SCHEMA))
                self.rows += len(texts)
        self._ahead = self._batches()
        self._rest = None

    def scores(self) -> Iterator[NDArray[np.float64]]:
        """Yield all scores, some rows at a time."""
        for batch in self._batches():
            yield batch.column(1).to_numpy()

    def take(self, rows: int) -> Stamp:
        """Return the keys and scores of the next ``rows`` rows.

        Raises
        ------
        ValueError
            If there are fewer.
        """
        parts: list[pa.RecordBatch] = []
        missing = rows
        while missing:
            batch = self._rest if self._rest is not None else next(self._ahead, None)
            if batch is None:
                raise ValueError(f"{missing} rows more than were stamped")
            parts.append(batch.slice(0, missing))
            self._rest = batch.slice(missing) if batch.num_rows > missing else None
            missing -= parts[-1].num_rows
        table = pa.Table.from_batches(parts, SCHEMA).combine_chunks()
        keys = table.column(0)
        return keys.chunk(0) if keys.num_chunks else pa.array([], pa.string()), table.column(1).to_numpy()

    def _batches(self) -> Iterator[pa.RecordBatch]:
        with pa.OSFile(str(self._path), "rb") as source:
            reader = pa.ipc.open_file(source)
            for index in range(reader.num_record_batches):
                batch = reader.get_batch(index)
                if batch.num_rows:
                    yield batch
