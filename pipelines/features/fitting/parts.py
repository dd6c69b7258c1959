"""Partitions of the training rows, which other processes read from the storage by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
from pyarrow.fs import LocalFileSystem

from pipelines import storage
from pipelines.dask_files import StoredFolder


@dataclass(frozen=True)
class StoredPart:
    """One row group of a Parquet file; ``categories`` are read encoded."""

    folder: StoredFolder
    file: str
    group: int
    rows: int
    nbytes: int
    categories: tuple[str, ...]

    @cached_property
    def _fragment(self) -> Any:
        path = self.folder.here() / self.file
        return _format(self.categories).make_fragment(str(path), LocalFileSystem(), row_groups=[self.group])

    def to_table(self, columns: Sequence[str] | None = None, use_threads: bool = False) -> pa.Table:
        """Read it, all columns or some; page checksums are verified."""
        return self._fragment.to_table(columns=None if columns is None else list(columns), use_threads=use_threads)

    def count_rows(self) -> int:
        """Return the number of its rows."""
        return self.rows

    def __getstate__(self) -> dict[str, Any]:
        """Return where it is; whoever gets it opens the file."""
        kept = {name: value for name, value in self.__dict__.items() if name != "_fragment"}
        return {**kept, "folder": self.folder.told()}


def partitions(folder: Path, categories: Sequence[str]) -> tuple[list[StoredPart], int]:
    """Return partitions of a table in row order, and its size in memory in bytes; ``categories`` are read encoded."""
    stored, parts = StoredFolder(folder, None), list[StoredPart]()
    files = pads.dataset(storage.dataset(folder).files, format=_format(categories)).get_fragments()
    for file in files:
        name = Path(file.path).name
        for group in file.split_by_row_group():
            (info,) = group.row_groups
            part = StoredPart(stored, name, info.id, info.num_rows, info.total_byte_size, tuple(categories))
            part.__dict__["_fragment"] = group  # it knows its file's metadata already
            parts.append(part)
    return parts, sum(part.nbytes for part in parts)


def _format(categories: Sequence[str]) -> pads.ParquetFileFormat:
    options = pads.ParquetFragmentScanOptions(page_checksum_verification=True, pre_buffer=False)
    return pads.ParquetFileFormat(dictionary_columns=list(categories), default_fragment_scan_options=options)
