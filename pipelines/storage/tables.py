"""Tables: folders of Parquet parts with page checksums, written by several threads, and one digest of their content.

The parts hold the rows in order, each at most ``PART_ROWS`` rows and about ``PART_BYTES`` of memory. Beside them lies
``_table.json``: the digest of the content, computed while the rows streamed by, bound to the sha256 of each part, so
that it stands only for these very files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.artifacts import write_json
from pipelines.errors import DataError
from pipelines.full_disk import disk_errors
from pipelines.settings import make_private
from pipelines.storage.digests import TableDigest, table_digest
from pipelines.storage.file_io import threads
from pipelines.storage.table_parts import ROW_GROUP, PartWriter

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as pads

BATCH_CELLS = 1 << 24
"""Cells in memory at once: a wide table is read fewer rows at a time."""
REPETITIVE_BYTES = 5
"""A text column of fewer bytes a row within Parquet consists of the numbers of its dictionary."""
FACTS = "_table.json"
FORMAT = 1


def batch_rows(columns: int) -> int:
    """Return how many rows of a table with so many columns are read at a time."""
    return max(1, min(ROW_GROUP, BATCH_CELLS // max(columns, 1)))


def write_table(data: pa.Table | Iterable[pa.RecordBatch], folder: Path, schema: pa.Schema | None = None) -> int:
    """Write one table as a folder of Parquet with page checksums and its digest; return its number of rows.

    Parts are encoded and columns digested by other threads while the batches stream in, at most one part's batches per
    thread held in memory.

    Parameters
    ----------
    data
        A table, or batches that share ``schema`` (required then: a stream may be empty).
    folder
        Created; holds ``part-00000.parquet``, ``part-00001.parquet`` … and ``_table.json``.
    """
    import pyarrow as pa

    make_private(folder)
    if isinstance(data, pa.Table):
        schema, batches = data.schema, iter(data.to_batches(max_chunksize=ROW_GROUP))
    elif schema is None:
        raise TypeError("a stream of batches needs its schema")
    else:
        batches = iter(data)
    with disk_errors(folder), TableDigest(schema, threads()) as digest:
        parts = PartWriter(folder, schema, threads())
        try:
            for batch in batches:
                if batch.num_rows:
                    digest.update(batch)
                    parts.write(batch)
        finally:
            files = parts.close()
        facts = {"format": FORMAT, "rows": parts.rows, "digest": digest.hexdigest(), "files": files}
        write_json(folder / FACTS, facts, sort_keys=True)
    return parts.rows


def recorded_digest(folder: Path, files: dict[str, str]) -> str | None:
    """Return the digest that was computed when a table was written, if its parts are still those; else None.

    Parameters
    ----------
    files
        Name → sha256 of the Parquet files in ``folder``.
    """
    try:
        facts = json.loads((folder / FACTS).read_text())
        if facts["format"] == FORMAT and facts["files"] == files:
            return str(facts["digest"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return None


def table_facts(folder: Path) -> dict[str, Any]:
    """Return ``rows`` and content ``digest`` of a table: as recorded beside it, else by reading it.

    The parts are taken to be those that were written; `pipelines.storage.verify` finds out.
    """
    try:
        facts = json.loads((folder / FACTS).read_text())
        return {"rows": int(facts["rows"]), "digest": str(facts["digest"])}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {"rows": dataset(folder).count_rows(), "digest": content_digest(folder)}


def content_digest(folder: Path) -> str:
    """Digest the full content of a folder of Parquet by reading it."""
    table = dataset(folder)
    batches = table.scanner(batch_size=ROW_GROUP, batch_readahead=2, fragment_readahead=1).to_batches()
    return table_digest(batches, table.schema, threads())


def dataset(folder: Path) -> pads.Dataset:
    """Open a folder of Parquet; its page checksums are verified as it is read."""
    import pyarrow.dataset as pads

    options = pads.ParquetFragmentScanOptions(page_checksum_verification=True, pre_buffer=False)
    return pads.dataset(
        sorted(str(path) for path in folder.glob("*.parquet")),
        format=pads.ParquetFileFormat(default_fragment_scan_options=options),
    )


def encoded(table: pads.Dataset) -> pads.Dataset:
    """Return the same dataset with dictionary-encoded texts read as dictionaries, so that nothing is decoded twice."""
    import pyarrow.dataset as pads

    first = next(iter(table.get_fragments()), None)
    if not isinstance(first, pads.ParquetFileFragment) or not first.num_row_groups:
        return table
    group, names = first.metadata.row_group(0), set(table.schema.names)
    columns = [group.column(index) for index in range(group.num_columns)]
    coded = [
        column.path_in_schema
        for column in columns
        if column.physical_type == "BYTE_ARRAY"
        and column.path_in_schema in names
        and column.has_dictionary_page
        and column.total_uncompressed_size < REPETITIVE_BYTES * column.num_values
    ]
    options = pads.ParquetFragmentScanOptions(page_checksum_verification=True, pre_buffer=False)
    reading = pads.ParquetFileFormat(dictionary_columns=coded, default_fragment_scan_options=options)
    return pads.dataset(table.files, format=reading)


def read_table(folder: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a whole table written by ``write_table``.

    Raises
    ------
    DataError
        If a file is damaged or is not Parquet.
    """
    import pyarrow as pa

    try:
        return dataset(folder).to_table(columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            "a table cannot be read",
            where=str(folder),
            seen=str(error).splitlines()[0],
            expected="undamaged Parquet",
            cure="run the night again, or restore the folder from a backup",
        ) from None
