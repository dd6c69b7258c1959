"""Private columns of a table that is published: left out, or in their place a keyed hash."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.errors import SpecError
from pipelines.private_columns import hashed
from pipelines.spec import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

DROP, HASH = "drop", "hash"


def rules_of(
    columns: Sequence[str], private: Mapping[str, str], drop: Sequence[str], hash_: Sequence[str], where: str
) -> dict[str, str]:
    """Return what happens to which column: ``drop`` or ``hash``.

    Parameters
    ----------
    private
        What the model's spec says, for any columns.
    drop, hash_
        What was asked for in addition.

    Raises
    ------
    SpecError
        Listing columns that are not there or named twice, and what the spec would not allow.
    """
    faults = [
        f"{name!r}: no such column{did_you_mean(name, columns)}" for name in (*drop, *hash_) if name not in columns
    ]
    faults += [f"{name!r}: to be dropped and hashed" for name in drop if name in hash_]
    faults += [f"{name!r}: private, the spec has it dropped" for name in hash_ if private.get(name) == DROP]
    if faults:
        raise SpecError(
            "columns cannot be made private like that",
            where=where,
            seen=", ".join(columns)[:300],
            expected="columns of the table, each dropped or hashed",
            cure="correct --drop and --hash",
            faults=faults,
        )
    rules = {name: rule for name, rule in private.items() if name in columns}
    rules |= dict.fromkeys(hash_, HASH) | dict.fromkeys(drop, DROP)
    if columns and all(rules.get(name) == DROP for name in columns):
        raise SpecError("no column of the table is left", where=where, seen="all are dropped", expected="one or more")
    return rules


def masked_schema(schema: pa.Schema, rules: Mapping[str, str]) -> pa.Schema:
    """Return the schema of the table as it is published; a hashed column is text."""
    import pyarrow as pa

    kept = [field for field in schema if rules.get(field.name) != DROP]
    return pa.schema([pa.field(field.name, pa.string() if field.name in rules else field.type) for field in kept])


def masker(schema: pa.Schema, rules: Mapping[str, str], key: bytes) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """Return what makes a batch of the published table of one of the source; equal values have equal hashes."""
    import pyarrow as pa

    target = masked_schema(schema, rules)

    def mask(batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [batch.column(field.name) for field in target]
        made = [
            _hashed(column, key) if field.name in rules else column
            for field, column in zip(target, columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(made, schema=target)

    return mask


def _hashed(column: pa.Array, key: bytes) -> pa.Array:
    """Hash each value once."""
    import pyarrow as pa

    if pa.types.is_nested(column.type) or pa.types.is_null(column.type):
        return pa.array([hashed(cell, key) for cell in column.to_pylist()], pa.string())
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    hashes = pa.array([hashed(cell, key) for cell in coded.dictionary.to_pylist()], pa.string())
    return hashes.take(coded.indices)
