"""Detects texts among bytes columns of Parquet: older writers (Spark, Impala, Hive) mark no text type."""

# ruff: noqa: S608 - the path is quoted, columns are numbered
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.ingestion.files.kinds import NULL, TEXT, Kind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_CONTROLS = r"[\x00-\x08\x0e-\x1f]"


def with_texts(
    connection: DuckDBPyConnection, path: str, names: Sequence[str], kinds: Sequence[Kind]
) -> tuple[list[Kind], list[str]]:
    """Return the kinds of columns, with bytes columns of pure UTF-8 text as texts, and a notice on each.

    Parameters
    ----------
    path
        The file, quoted for SQL.
    names, kinds
        Of all columns of the file, in order.
    """
    found, said = list(kinds), []
    columns = ", ".join(f"p{index}" for index in range(len(names)))
    rows = f"read_parquet([{path}], hive_partitioning=false) AS t({columns})"
    indices = [index for index, kind in enumerate(kinds) if kind.family == "bytes"]
    types = {}
    if indices:
        shown = connection.execute(
            f"DESCRIBE SELECT {', '.join(f'p{index}' for index in indices)} FROM {rows}"
        ).fetchall()
        types = {index: str(row[1]) for index, row in zip(indices, shown, strict=True)}
    for index in indices:
        if types[index] == "VARCHAR":  # an enumeration, say
            found[index] = TEXT
        if types[index] != "BLOB":
            continue
        text = f"TRY(decode(p{index}))"
        decodable = connection.execute(
            f"SELECT bool_and({text} IS NOT NULL AND NOT regexp_matches({text}, '{_CONTROLS}')) "
            f"FROM {rows} WHERE p{index} IS NOT NULL"
        ).fetchall()[0][0]
        if decodable is None:
            found[index] = NULL
        elif decodable:
            found[index] = replace(TEXT, read="decode({})")
            said.append(f"column {names[index]!r} holds bytes that are texts in UTF-8; read as texts")
    return found, said
