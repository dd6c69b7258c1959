"""The text that identifies a row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.holdout import MISSING, SEPARATOR, canonical_value, digest_heads
from pipelines.inference.recipe.arrays import without_infinite

_PRINTED = r"[\x20-\x7e]*[\x21-\x7e]"
"""Printable ASCII without a trailing blank."""
_NEVER_IN_NUMBERS = r"[\x21-\x2a\x2c/\x3a-\x44\x46-\x5e\x60-\x64\x66-\x7e]"
_CANONICAL = (
    rf"^(?:[1-9][0-9]{{0,17}}|0[0-9]*|[A-Za-z_](?:{_PRINTED})?|[0-9][\x20-\x7e]*{_NEVER_IN_NUMBERS}(?:{_PRINTED})?)$"
)
"""Texts that are their own canonical text: nothing to strip, and either no number or the one way to write it."""
_EXACT = 2.0**53
"""Whole floats below it print like integers."""

_FRACTIONS = ("FLOAT", "DOUBLE", "DECIMAL")


def declared_keys(columns: Sequence[pa.Array]) -> pa.Array:
    """Return the canonical key text of each row from its declared key columns."""
    texts = [_canonical(column) for column in columns]
    return texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, SEPARATOR)


def hashed_keys(identity: pa.Array) -> pa.Array:
    """Return hex BLAKE2b-8 of each row's identity text."""
    heads = digest_heads(identity, digest_size=8)
    offsets = np.arange(0, 2 * len(heads) + 1, 16, dtype=np.int32)
    return pa.StringArray.from_buffers(len(identity), pa.py_buffer(offsets), pa.py_buffer(heads.hex().encode()))


def identity_sql(columns: Sequence[tuple[str, str]]) -> str:
    """Return SQL for the identity text of a row without a key: 1, 1.0 and "1" are one value, so are null and nothing.

    Parameters
    ----------
    columns
        SQL name and DuckDB type of each identity column; name ``NULL`` for one that tonight's source lacks.
    """
    parts = []
    for name, kind in columns:
        # no number is nothing, and there is one zero
        cell = f"CASE WHEN NOT isnan({name}) THEN {name} + 0 END" if kind in ("FLOAT", "DOUBLE") else name
        text = f"nfc_normalize(trim({name}))" if kind == "VARCHAR" else f"CAST({cell} AS VARCHAR)"
        if kind == "VARCHAR" or kind.startswith(_FRACTIONS):
            # Only a text such as 1.50 or 1.0 is looked at twice: reading every cell as a number takes most of a night.
            short = f"CASE WHEN TRY_CAST({text} AS DOUBLE) IS NULL THEN {text} ELSE rtrim(rtrim({text}, '0'), '.') END"
            doubtful = f"contains({text}, '.') AND (suffix({text}, '0') OR suffix({text}, '.'))"
            text = f"CASE WHEN {doubtful} THEN {short} ELSE {text} END"
        parts.append(f"coalesce(nullif({text}, ''), chr(0))")
    return "concat_ws(chr(31), " + ", ".join(parts) + ")"


def _canonical(column: pa.Array) -> pa.Array:
    """Return `canonical_value` of every cell: vectorised if its text is surely canonical, else once per value."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        texts = _canonical(column.dictionary)
        return texts.take(column.indices).fill_null(MISSING)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return column.cast(pa.string()).fill_null(MISSING)
    if pa.types.is_float32(kind) or pa.types.is_float64(kind):
        whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), _EXACT)).fill_null(False)
        texts = pc.if_else(whole, column, pa.scalar(0, kind)).cast(pa.int64()).cast(pa.string())
        return _replaced(texts, column, whole)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        texts = column.cast(pa.string())
        return _replaced(texts, texts, pc.match_substring_regex(texts, _CANONICAL).fill_null(False))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        column, infinite = without_infinite(column)
        texts = _replaced(pa.nulls(len(column), pa.string()), column, pa.repeat(pa.scalar(False), len(column)))
        return texts if infinite is None else pc.coalesce(infinite, texts)
    if kind.num_fields or pa.types.is_null(kind):
        return pa.array([canonical_value(value) for value in column.to_pylist()], pa.string())
    return _replaced(pa.nulls(len(column), pa.string()), column, pa.repeat(pa.scalar(False), len(column)))


def _replaced(texts: pa.Array, column: pa.Array, right: pa.Array) -> pa.Array:
    """Return ``texts`` where they are ``right``, and elsewhere the canonical text of the cell."""
    if right.true_count == len(right):
        return texts
    wrong = pc.invert(right)
    coded = column.filter(wrong).dictionary_encode()
    values = pa.array([canonical_value(value) for value in coded.dictionary.to_pylist()], pa.string())
    return pc.replace_with_mask(texts, wrong, values.take(coded.indices).fill_null(MISSING))
