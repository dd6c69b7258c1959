"""A table of any size, read by partition, several partitions at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as pads

from pipelines import storage
from pipelines.dask_cluster import on_each
from pipelines.dask_files import StoredFolder
from pipelines.errors import DataError

T = TypeVar("T")


class Parts(ABC):
    """A table in partitions of about :data:`storage.ROW_GROUP` rows; their order is the order of the rows."""

    schema: pa.Schema
    sizes: list[int]

    @abstractmethod
    def read(self, index: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Read one partition, all or some of its columns."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(self.sizes)

    def starts(self) -> list[int]:
        """Return the index of the first row of each partition."""
        return [0, *np.cumsum(self.sizes[:-1]).tolist()] if self.sizes else []

    def each(self, work: Callable[[int], T], *, here: bool = False) -> list[T]:
        """Call ``work(index)`` for every partition on Dask; return the results in order.

        Only as many partitions as there are workers are in memory at a time, so the results must be small.

        Parameters
        ----------
        here
            In this process in any case, see :func:`pipelines.dask_cluster.on_each`.
        """
        return on_each(work, range(len(self.sizes)), here=here)

    def flags(self, column: str) -> npt.NDArray[np.bool_]:
        """Read one column of truth values as a whole, shape (rows,)."""
        parts = [self.read(index, [column])[column].to_numpy() for index in range(len(self.sizes))]
        return np.concatenate([np.empty(0, dtype=bool), *parts]).astype(bool)


@dataclass
class TableParts(Parts):
    """A table in memory."""

    table: pa.Table
    size: int = storage.ROW_GROUP
    schema: pa.Schema = field(init=False)
    sizes: list[int] = field(init=False)

    def __post_init__(self) -> None:
        rows = self.table.num_rows
        self.schema = self.table.schema
        self.sizes = [min(self.size, rows - start) for start in range(0, rows, self.size)]

    def read(self, index: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a slice."""
        part = self.table.slice(index * self.size, self.sizes[index])
        return part if columns is None else part.select(list(columns))


class FolderParts(Parts):
    """A folder of Parquet; neighbouring small row groups are one partition. Other processes open it by themselves.

    Attributes
    ----------
    nbytes
        Size in memory, as Parquet tells it.
    """

    def __init__(self, folder: Path, size: int = storage.ROW_GROUP) -> None:
        self.folder, self.size = folder, size
        self.sizes, self.nbytes = [], 0
        self._open(folder)

    def _open(self, folder: Path) -> None:
        self._fragments: list[list[pads.ParquetFileFragment]] = []
        self.sizes, self.nbytes = [], 0
        with _readable(folder):
            data = storage.dataset(folder)
            self.schema = data.schema
            for file in data.get_fragments():
                for group in file.split_by_row_group():
                    rows = group.row_groups[0].num_rows
                    self.nbytes += group.row_groups[0].total_byte_size
                    if self.sizes and self.sizes[-1] + rows <= self.size:
                        self._fragments[-1].append(group)
                        self.sizes[-1] += rows
                    elif rows:
                        self._fragments.append([group])
                        self.sizes.append(rows)

    def __getstate__(self) -> dict[str, Any]:
        """Return where it is; whoever gets it reads the files."""
        stored = self.__dict__.get("_stored") or StoredFolder(self.folder, None).told()
        return {"stored": stored, "size": self.size}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Remember where it is; nothing is read before it is used, for only then is it known who shares files."""
        self._stored, self.size = state["stored"], state["size"]

    def __getattr__(self, name: str) -> Any:
        """Open it when it is first used in another process."""
        if name not in ("_fragments", "sizes", "schema", "nbytes", "folder") or "_stored" not in self.__dict__:
            raise AttributeError(name)
        self.folder = self._stored.here()
        self._open(self.folder)
        return getattr(self, name)

    def read(self, index: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Read the row groups of one partition, on this thread: partitions are read side by side."""
        groups = self._fragments[index]
        wanted = {"schema": self.schema, "columns": None if columns is None else list(columns), "use_threads": False}
        with _readable(self.folder):
            tables = [group.to_table(**wanted) for group in groups]
        return tables[0] if len(tables) == 1 else pa.concat_tables(tables)


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            "a table cannot be read",
            where=str(folder),
            seen=(str(error).splitlines() or [type(error).__name__])[0],
            expected="undamaged Parquet",
            cure="run the night again, or restore the folder from a backup",
        ) from None
