"""Bytes of Parquet files that are texts: older writers (Spark, Impala, Hive) give texts no type."""

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
    """Return the kinds of columns with those of bytes as texts that hold nothing but UTF-8 texts, and a line on each.

    Parameters
    ----------
    path
        The file, quoted for SQL.
    names, kinds
        Of all columns of the file, in order.
    """
    found, said = list(kinds), []
    columns = ", ".join(f"p{place}" for place in range(len(names)))
    rows = f"read_parquet([{path}], hive_partitioning=false) AS t({columns})"
    places = [place for place, kind in enumerate(kinds) if kind.family == "bytes"]
    types = {}
    if places:
        shown = connection.execute(
            f"DESCRIBE SELECT {', '.join(f'p{place}' for place in places)} FROM {rows}"
        ).fetchall()
        types = {place: str(row[1]) for place, row in zip(places, shown, strict=True)}
    for place in places:
        if types[place] == "VARCHAR":  # an enumeration, say
            found[place] = TEXT
        if types[place] != "BLOB":
            continue
        text = f"TRY(decode(p{place}))"
        answer = connection.execute(
            f"SELECT bool_and({text} IS NOT NULL AND NOT regexp_matches({text}, '{_CONTROLS}')) "
            f"FROM {rows} WHERE p{place} IS NOT NULL"
        ).fetchall()[0][0]
        if answer is None:
            found[place] = NULL
        elif answer:
            found[place] = replace(TEXT, read="decode({})")
            said.append(f"column {names[place]!r} holds bytes that are texts in UTF-8; read as texts")
    return found, said
