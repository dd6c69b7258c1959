"""A keyed table that travels with a model: what it adds to a request row, as of a stated moment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.errors import DataError, SpecError
from pipelines.holdout import SEPARATOR
from pipelines.inference.enrichment.lookup_keys import key_text, key_texts

KEY: Final = "_key"
MAX_ROWS: Final = 500_000
MAX_BYTES: Final = 40 * 1024 * 1024
MAX_UNPACKED: Final = 1024 * 1024 * 1024
FEW: Final = 5_000
"""Up to this many distinct keys go through the dictionary of the single rows, which is built once."""
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True, eq=False)
class Lookup:
    """Columns that are looked up by a key of the request row.

    Parameters
    ----------
    name
        Of the joined table; lower case, digits and underscores.
    on
        Columns of the request row that make the key, in order.
    columns
        Columns that it adds.
    table
        ``_key`` (the text of :func:`pipelines.holdout.canonical_key`, unique, never null) and ``columns``, of plain
        types: the types of the joined training rows, so that the row recipe reads the same cells.
    as_of
        ISO moment that the content was known at: its stated age.
    kind
        ``static``: all rows of the table; ``as_of``: the last row of each key known then.
    """

    name: str
    on: tuple[str, ...]
    columns: tuple[str, ...]
    table: pa.Table
    as_of: str
    kind: Literal["static", "as_of"] = "static"

    def __post_init__(self) -> None:
        if NAME.fullmatch(self.name) is None:
            raise SpecError("a look-up has a bad name", seen=repr(self.name), expected=NAME.pattern)
        if not self.on or self.table.column_names != [KEY, *self.columns]:
            raise DataError(
                "a look-up table has other columns than it says",
                where=self.name,
                seen=", ".join(self.table.column_names),
                expected=", ".join((KEY, *self.columns)),
            )
        if strange := [f"{f.name}: {f.type}" for f in self.table.schema if not _is_plain(f.type)]:
            raise DataError(
                "a look-up table holds columns of types that no row has",
                where=self.name,
                faults=strange,
                expected="texts, numbers, truths, dates and moments",
            )

    def __eq__(self, other: object) -> bool:
        """Equal content, whatever the order of the rows."""
        if not isinstance(other, Lookup):
            return NotImplemented
        return self.facts() == other.facts() and bool(self.table.sort_by(KEY).equals(other.table.sort_by(KEY)))

    def __hash__(self) -> int:
        return hash((self.name, self.on, self.columns, self.as_of))

    def check(self) -> None:
        """Raise unless every key is there once."""
        keys = self.table[KEY]
        if keys.null_count or len(pc.unique(keys)) != len(keys):
            counted = pc.value_counts(keys.combine_chunks())
            many = counted.filter(pc.greater(counted.field("counts"), 1))
            raise DataError(
                f"table {self.name!r} has several rows for a key, or a row without one",
                where=self.name,
                seen=", ".join(map(repr, many.field("values")[:5].to_pylist())) or "a null key",
                expected="one row per key",
                cure="make the keys unique, or name more columns in `on`",
            )

    def subset(self, columns: Sequence[str]) -> Lookup:
        """Return the look-up of these of its columns only."""
        kept = tuple(name for name in self.columns if name in set(columns))
        return Lookup(self.name, self.on, kept, self.table.select([KEY, *kept]), self.as_of, self.kind)

    def find(self, columns: Mapping[str, Any]) -> list[pa.Array]:
        """Return the added columns of many rows; null where the key is not known.

        Parameters
        ----------
        columns
            The ``on`` columns as Series or Arrow arrays of equal length.
        """
        keys = key_texts([columns[name] for name in self.on])
        encoded = keys.dictionary_encode()
        distinct = encoded.dictionary
        if len(distinct) <= FEW:
            rows_of = pa.array([self._row_of.get(key) for key in distinct.to_pylist()], pa.int64())
        else:
            rows_of = pc.index_in(distinct, value_set=self._keys)
        rows = rows_of.take(encoded.indices)
        return [column.take(rows) for column in self._arrays]

    def find_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the added columns of one row."""
        texts = [key_text(row.get(name)) for name in self.on]
        index = self._row_of.get(SEPARATOR.join([text for text in texts if text is not None]))
        if None in texts:
            index = None
        if index is None:
            return dict.fromkeys(self.columns)
        return {name: array[index].as_py() for name, array in zip(self.columns, self._arrays, strict=True)}

    @cached_property
    def _keys(self) -> pa.Array:
        return _one(self.table[KEY]).cast(pa.large_string())

    @cached_property
    def _arrays(self) -> list[pa.Array]:
        """The added columns in one piece each; NaN is null, as everywhere in a raw row."""
        arrays = [_one(self.table[name]) for name in self.columns]
        return [_without_nan(array) if pa.types.is_floating(array.type) else array for array in arrays]

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {key: index for index, key in enumerate(self._keys.to_pylist())}

    def save(self, folder: Path) -> None:
        """Write ``<name>.parquet``, sorted by key, with page checksums.

        Raises
        ------
        SpecError
            The table is too large to travel with a model.
        """
        self.check()
        path = folder / f"{self.name}.parquet"
        if self.table.num_rows <= MAX_ROWS:
            table = self.table.sort_by(KEY).replace_schema_metadata(None)
            pq.write_table(table, path, compression="zstd", write_page_checksum=True)
            path.chmod(0o600)
        size = path.stat().st_size if path.exists() else 0
        if self.table.num_rows > MAX_ROWS or size > MAX_BYTES:
            raise SpecError(
                f"table {self.name!r} is too large to travel with a model",
                where=f"ingest.joins, {self.name}",
                seen=f"{self.table.num_rows} rows" + (f", {size / 2**20:.0f} MB" if size else ""),
                expected=f"at most {MAX_ROWS} rows and {MAX_BYTES / 2**20:.0f} MB",
                cure="declare serve='caller', or join fewer of its columns",
            )

    @classmethod
    def load(cls, folder: Path, facts: Mapping[str, Any]) -> Lookup:
        """Read what :meth:`save` wrote, page checksums verified."""
        name = facts["name"]
        if not isinstance(name, str) or NAME.fullmatch(name) is None:
            raise DataError("a look-up has a bad name", where=str(folder), seen=repr(name)[:80])
        path = folder / f"{name}.parquet"
        try:
            if path.stat().st_size > MAX_BYTES:
                raise DataError("a look-up table is too large", where=str(path), expected=f"{MAX_BYTES} bytes")
            meta = pq.read_metadata(path)
            unpacked = sum(meta.row_group(index).total_byte_size for index in range(meta.num_row_groups))
            if meta.num_rows > MAX_ROWS or unpacked > MAX_UNPACKED:
                raise DataError(
                    "a look-up table is too large",
                    where=str(path),
                    seen=f"{meta.num_rows} rows, {unpacked} bytes unpacked",
                    expected=f"at most {MAX_ROWS} rows and {MAX_UNPACKED} bytes",
                )
            table = pq.read_table(path, page_checksum_verification=True, partitioning=None)
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                "a look-up table cannot be read",
                where=str(path),
                seen=str(error).splitlines()[0][:200],
                expected="undamaged Parquet",
                cure="restore the folder from a backup, or run the night again",
            ) from None
        lookup = cls(name, tuple(facts["on"]), tuple(facts["columns"]), table, facts["as_of"], facts["kind"])
        lookup.check()
        return lookup

    def facts(self) -> dict[str, Any]:
        """Return what stands in ``enrichment.json``."""
        stated = {"name": self.name, "on": list(self.on), "columns": list(self.columns)}
        return {**stated, "as_of": self.as_of, "kind": self.kind, "rows": self.table.num_rows}


def _is_plain(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_boolean,
        pa.types.is_decimal,
        pa.types.is_date,
        pa.types.is_timestamp,
        pa.types.is_null,
    )
    return any(test(kind) for test in tests)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _without_nan(array: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
