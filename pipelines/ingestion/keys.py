"""The text that identifies a row."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sealing import SEPARATOR, canonical_value

_CANONICAL = r"^(?:[1-9][0-9]{0,17}|[A-Za-z_][\x21-\x7e]*)$"
"""Texts that are their own canonical text: nothing to strip, no other way to write the number."""

_FLOATS = ("FLOAT", "DOUBLE")


def declared_keys(columns: Sequence[pa.Array]) -> pa.Array:
    """Give the canonical key text of each row from its declared key columns."""
    texts = [_canonical(column) for column in columns]
    return texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, SEPARATOR)


def hashed_keys(identity: pa.Array) -> pa.Array:
    """Give hex BLAKE2b-8 of each row's identity text."""
    blake2b = hashlib.blake2b
    return pa.array(
        [blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest() for text in identity.to_pylist()],
        pa.string(),
    )


def identity_sql(columns: Sequence[tuple[str, str]]) -> str:
    """Give SQL for the identity text of a row without a key: 1, 1.0 and "1" are one value, so are null and nothing.

    Parameters
    ----------
    columns
        SQL name and DuckDB type of each identity column; name ``NULL`` for one that tonight's source lacks.
    """
    parts = []
    for name, kind in columns:
        text = f"trim({name})" if kind == "VARCHAR" else f"CAST({name} AS VARCHAR)"
        if kind == "VARCHAR" or kind in _FLOATS:
            # Only a text such as 1.50 or 1.0 is looked at twice: reading every cell as a number takes most of a night.
            short = f"CASE WHEN TRY_CAST({text} AS DOUBLE) IS NULL THEN {text} ELSE rtrim(rtrim({text}, '0'), '.') END"
            doubtful = f"contains({text}, '.') AND (suffix({text}, '0') OR suffix({text}, '.'))"
            text = f"CASE WHEN {doubtful} THEN {short} ELSE {text} END"
        parts.append(f"coalesce(nullif({text}, ''), chr(0))")
    return "concat_ws(chr(31), " + ", ".join(parts) + ")"


def _canonical(column: pa.Array) -> pa.Array:
    plain = pa.types.is_string(column.type) and not column.null_count
    if plain and pc.all(pc.match_substring_regex(column, _CANONICAL)).as_py():
        return column
    return pa.array([canonical_value(value) for value in column.to_pylist()], pa.string())
