"""Compares two tables of one model out of core: rows by key, columns, and the values of columns."""

# ruff: noqa: S608 - names and paths are quoted by identifier and literal
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from pipelines.quoting import identifier, is_number_type, literal
from pipelines.reserved_columns import INGESTED

TOP = 5
"""Categories of a column that are compared, the most frequent ones of either table."""
MEMORY = "1GB"


@contextmanager
def opened(before: Path, after: Path, work: Path, cores: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open two folders of Parquet as the views ``a`` and ``b``; what does not fit into memory spills to ``work``."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "threads": str(cores),
            "memory_limit": MEMORY,
            "temp_directory": str(work),
            "preserve_insertion_order": "false",
        },
    )
    try:
        connection.execute("SET timezone = 'UTC'; SET enable_progress_bar = false")
        for name, folder in (("a", before), ("b", after)):
            files = ", ".join(literal(str(path)) for path in sorted(folder.glob("*.parquet")))
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{files}], union_by_name = true)")
        yield connection
    finally:
        connection.close()


def compare(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Compare the views ``a`` and ``b``, both with ``_key``.

    Returns
    -------
    dict
        ``rows``: {before, after, added, removed, changed}; rows of a key that are in one table only are added or
        removed, those in both with another content in a column that both have in one kind are changed.
        ``columns``: {added, removed, kinds: {column: [before, after]}}.
        ``values``: for each common column whose content differs {column, nulls: [before, after] as shares,
        mean: the same for numbers, top: {category: shares} for texts}.
    """
    kinds = [_kinds(connection, name) for name in ("a", "b")]
    before, after = kinds
    common = [name for name in before if name in after and name not in INGESTED]
    alike = [name for name in common if before[name] == after[name]]
    return {
        "rows": _rows(connection, alike),
        "columns": {
            "added": [name for name in after if name not in before],
            "removed": [name for name in before if name not in after],
            "kinds": {name: [before[name], after[name]] for name in common if before[name] != after[name]},
        },
        "values": [
            change for name in common if (change := _values(connection, name, (before[name], after[name]))) is not None
        ],
    }


def _kinds(connection: duckdb.DuckDBPyConnection, view: str) -> dict[str, str]:
    return {str(row[0]): str(row[1]) for row in connection.execute(f"DESCRIBE {view}").fetchall()}


def _rows(connection: duckdb.DuckDBPyConnection, columns: list[str]) -> dict[str, int]:
    """Count rows by key; the rows of a key are compared as a multiset, by their number and the sum of their hashes."""
    names = ", ".join(identifier(name) for name in columns)
    digest = f"hash({names})" if names else "0"
    sides = [
        f"(SELECT _key, count(*) AS n, sum({digest}::HUGEINT) AS h FROM {view} GROUP BY _key)" for view in ("a", "b")
    ]
    counted = connection.execute(
        "SELECT coalesce(sum(a.n), 0), coalesce(sum(b.n), 0), "
        "coalesce(sum(greatest(coalesce(b.n, 0) - coalesce(a.n, 0), 0)), 0), "
        "coalesce(sum(greatest(coalesce(a.n, 0) - coalesce(b.n, 0), 0)), 0), "
        "coalesce(sum(CASE WHEN a.n = b.n AND a.h <> b.h THEN a.n END), 0) "
        f"FROM {sides[0]} a FULL JOIN {sides[1]} b ON a._key = b._key"
    ).fetchone()
    assert counted is not None
    return dict(zip(("before", "after", "added", "removed", "changed"), map(int, counted), strict=True))


def _values(connection: duckdb.DuckDBPyConnection, column: str, kinds: tuple[str, str]) -> dict[str, Any] | None:
    """Return what differs in a column's nulls, mean or categories; None if nothing does."""
    name = identifier(column)
    numbers = all(map(is_number_type, kinds))
    number = f"TRY_CAST({name} AS DOUBLE)"
    texts = all(kind == "VARCHAR" for kind in kinds)
    given = (
        # isnan() of Parquet is taken from its statistics, which know of none
        f"{name} IS NOT NULL AND ({number} IS NULL OR isfinite({number}) OR isinf({number}))"
        if numbers
        else f"{name} IS NOT NULL"
    )
    asked = [f"count(*) FILTER ({given})", "count(*)"]
    mean = f"avg({number}) FILTER (isfinite({number}))" if numbers or texts else "NULL"
    asked += [mean, f"count({number})" if numbers or texts else "0"]
    asked += [f"approx_top_k({name}, {TOP})" if texts else "NULL"]
    found = [connection.execute(f"SELECT {', '.join(asked)} FROM {view}").fetchone() or () for view in ("a", "b")]
    change: dict[str, Any] = {"column": column, "nulls": [1 - side[0] / side[1] if side[1] else None for side in found]}
    # texts of which nearly all are numbers, as CSV gives them, are numbers
    readable = numbers or all(side[3] >= 0.9 * side[0] for side in found)
    if (numbers or texts) and readable and any(side[0] for side in found):
        change["mean"] = [side[2] for side in found]
    elif texts:
        wanted = sorted({value for side in found for value in side[4] or ()})
        shares = [_shares(connection, view, name, wanted, side[1]) for view, side in zip("ab", found, strict=True)]
        change["top"] = {value: [side.get(value, 0.0) for side in shares] for value in wanted}
    pairs = [change["nulls"], *change.get("top", {}).values(), *([change["mean"]] if "mean" in change else [])]
    return change if any(one != other for one, other in pairs) else None


def _shares(
    connection: duckdb.DuckDBPyConnection, view: str, name: str, values: list[str], rows: int
) -> dict[str, float]:
    if not values or not rows:
        return {}
    counted = connection.execute(
        f"SELECT {name}, count(*) FROM {view} WHERE list_contains($values, {name}) GROUP BY {name}", {"values": values}
    ).fetchall()
    return {str(value): count / rows for value, count in counted}
