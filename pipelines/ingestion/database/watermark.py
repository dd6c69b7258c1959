"""Removes the rows at the watermark that a new read of a database returns again."""

# ruff: noqa: S608 - column names are internal ones, table names are made here
from __future__ import annotations

from typing import Any

from pipelines.ingestion.files.read import Source
from pipelines.quoting import is_number_type


def drop_known(new: Source, known: Source, column: str, mark: Any) -> int:
    """Remove from ``new`` (a table) the rows at the watermark that are known; return the number of those that are left.

    Several rows may share the largest value of a growing column, and some of them be written only after it was read:
    a read begins at that value, not beyond it. What is equal in every common column was read before, each as often as
    it is known.
    """
    common = [name for name in new.columns if name in known.columns]
    sides = []
    for source in (new, known):
        row = "rowid" if source is new else "NULL"
        cells = ", ".join(_comparable(source, new, known, name) for name in common)
        sides.append(
            f"SELECT r, h, row_number() OVER (PARTITION BY h) AS n FROM "
            f"(SELECT {row} AS r, hash({cells}) AS h FROM {source.table} WHERE {source.internal(column)} = $mark)"
        )
    new.connection.execute(
        f"DELETE FROM {new.table} WHERE rowid IN (SELECT a.r FROM ({sides[0]}) a JOIN ({sides[1]}) b USING (h, n))",
        {"mark": mark},
    )
    left = new.connection.execute(f"SELECT count(*) FROM {new.table}").fetchall()[0]
    new.rows = int(left[0]) if left else 0
    return new.rows


def _comparable(source: Source, new: Source, known: Source, name: str) -> str:
    kinds = {new.kind(name), known.kind(name)}
    if len(kinds) == 1:
        return source.internal(name)
    numbers = all(map(is_number_type, kinds))
    return f"CAST({source.internal(name)} AS {'DOUBLE' if numbers else 'VARCHAR'})"
