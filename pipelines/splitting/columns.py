"""The cleaned table, one column at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from pipelines.errors import SpecError
from pipelines.holdout import SEPARATOR
from pipelines.reserved_columns import GROUP, LABELLED
from pipelines.row_hash import key_hash
from pipelines.spec import ModelSpec

BATCH = 1 << 17
DAY = 86_400_000_000
"""Microseconds."""
Mask = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]


def batches(table: pads.Dataset, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Read a Parquet table in order, a few batches ahead and no file as a whole."""
    scanner = table.scanner(
        columns=None if columns is None else list(columns),
        batch_size=BATCH,
        batch_readahead=2,
        fragment_readahead=1,
        use_threads=True,
        fragment_scan_options=pads.ParquetFragmentScanOptions(pre_buffer=False, page_checksum_verification=True),
    )
    yield from (batch for batch in scanner.to_batches() if batch.num_rows)


def numbers_of(table: pads.Dataset, name: str, kind: Any) -> npt.NDArray[Any]:
    """Read a column of numbers, moments or bools; nulls of floats are NaN."""
    parts = [batch.column(0).to_numpy(zero_copy_only=False) for batch in batches(table, [name])]
    return np.concatenate([np.empty(0, kind), *(part.astype(kind, copy=False) for part in parts)])


def days_of(table: pads.Dataset) -> npt.NDArray[np.int64]:
    """Read the day of every row, in days since 1970; rows without a time get the first day."""
    parts = [batch.column(0).cast(pa.timestamp("us", "UTC")).cast(pa.int64()) for batch in batches(table, ["_time"])]
    moments = pa.chunked_array(parts, pa.int64())
    return np.asarray(moments.fill_null(-(2**62)).to_numpy() // DAY)


def labels_of(table: pads.Dataset) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Return the index of each row's label (-1 where there is none), and all labels, sorted."""
    codes: list[npt.NDArray[np.int32]] = []
    known: dict[str | None, int] = {}
    for batch in batches(table, ["_y"]):
        encoded = batch.column(0).cast(pa.string()).dictionary_encode("encode")
        local = [known.setdefault(text, len(known)) for text in encoded.dictionary.to_pylist()]
        codes.append(np.array(local, np.int32)[encoded.indices.to_numpy(zero_copy_only=False)])
    labels = sorted(label for label in known if label is not None)
    indices = {label: index for index, label in enumerate(labels)}
    rank = np.array([-1 if label is None else indices[label] for label in known], np.int32)
    return (rank[np.concatenate(codes)] if codes else np.empty(0, np.int32)), labels


def key_hashes(table: pads.Dataset) -> Hashes:
    """Hash every row's key."""
    parts = [key_hash(batch.column(0), 0) for batch in batches(table, ["_key"])]
    return np.concatenate([np.empty(0, np.uint64), *parts])


def group_hashes(table: pads.Dataset, group: Sequence[str], model: ModelSpec, keys: Hashes) -> Hashes:
    """Hash every row's entity, which ingestion stamped; rows without one are entities of their own.

    A table that was not stamped is looked into: clean columns, or parts of the model's key.

    Raises
    ------
    SpecError
        If a group column is neither.
    """
    known = [name for name in table.schema.names if name not in LABELLED]
    stamped = GROUP in table.schema.names
    missing = [name for name in group if not stamped and name not in known and name not in model.key]
    if missing:
        raise SpecError(
            "cannot group by a column that is not there",
            where="SplitSpec.group",
            seen=", ".join(map(repr, missing)),
            expected="clean columns or parts of the model's key",
            cure="correct the name; let the night begin with its first stage, which stamps each row with its entity",
        )
    whole = np.zeros(len(keys), np.uint64)
    lone = np.ones(len(keys), np.bool_)
    start = 0
    for batch in batches(table, entity_columns(table, group)):
        rows = slice(start, start + batch.num_rows)
        start += batch.num_rows
        for text in entity_texts(batch, group, model):
            whole[rows] = whole[rows] * np.uint64(0x9E3779B185EBCA87) ^ key_hash(text, 1)
            lone[rows] &= text.is_null().to_numpy(zero_copy_only=False)
    whole[lone] = keys[lone]
    return whole


def entity_columns(table: pads.Dataset, group: Sequence[str]) -> list[str]:
    """Return the columns that identify the entities."""
    names = table.schema.names
    return [GROUP] if GROUP in names else [*(name for name in group if name in names), "_key"]


def entity_texts(batch: pa.RecordBatch, group: Sequence[str], model: ModelSpec) -> list[pa.Array]:
    """Return the texts that identify a row's entity: the stamp, or the group columns."""
    if GROUP in batch.schema.names:
        return [batch.column(GROUP)]
    return [_group_text(batch, name, model) for name in group]


def _group_text(batch: pa.RecordBatch, name: str, model: ModelSpec) -> pa.Array:
    """Return a group column as text: the clean column, or that part of the key."""
    if name in batch.schema.names:
        column = batch.column(name)
        return column if pa.types.is_string(column.type) else column.cast(pa.string())
    key = batch.column("_key")
    if len(model.key) == 1:
        return key
    return pc.list_element(pc.split_pattern(key, SEPARATOR), model.key.index(name))
