"""A stratified choice of rows that depends on nothing but seed, keys and counts."""

# ruff: noqa: S608 - names are quoted by the caller
from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
from numpy.typing import NDArray


def allocate(sizes: Sequence[int], fraction: float, max_rows: int | None = None) -> list[int]:
    """Give how many rows of each stratum are kept, by largest remainder.

    Shares differ from those of the whole by at most one row; every stratum keeps a row, which adds rows only where
    its quota is below one.

    Parameters
    ----------
    sizes
        Rows per stratum, each ≥ 1.
    fraction
        Share kept, in (0, 1].
    max_rows
        Upper limit of the sum, at least ``len(sizes)``.

    Examples
    --------
    >>> allocate([70, 25, 5], 0.1)
    [7, 2, 1]
    >>> allocate([990, 1], 0.1)
    [99, 1]
    """
    total = sum(sizes)
    wanted = fraction * total if max_rows is None else min(fraction * total, max_rows)
    rows = max(1, round(wanted)) if total else 0
    quotas = [size * rows / total for size in sizes]
    kept = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(sizes)), key=lambda place: (kept[place] - quotas[place], -sizes[place], place))
    for place in by_remainder[: rows - sum(kept)]:
        kept[place] += 1
    kept = [max(1, count) for count in kept]
    while max_rows is not None and sum(kept) > max_rows:
        largest = max(range(len(kept)), key=lambda place: (kept[place], -place))
        kept[largest] -= 1
    return kept


def choose(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    *,
    by: Sequence[str],
    content: Sequence[str],
    fraction: float,
    max_rows: int | None,
    seed: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], list[dict[str, int]]]:
    """Choose rows of a table, stratum by stratum, those with the lowest keyed hash first.

    Neither the order of rows nor of files matters: rows of one key are told apart by their content.

    Parameters
    ----------
    table
        SQL of a relation with ``rn`` (row number), ``_key`` and all columns named below.
    by, content
        Quoted SQL names of the strata's columns and of all source columns.

    Returns
    -------
    rows : ndarray of int64
        Row numbers of the chosen rows.
    weights : ndarray of float64
        n/k of their stratum.
    strata : list of dict
        {"rows": n, "kept": k} of each stratum, largest first.
    """
    stratum = "concat_ws(chr(31), " + ", ".join(f"coalesce(trim(CAST({name} AS VARCHAR)), chr(0))" for name in by) + ")"
    whole = (
        "md5(concat_ws(chr(31), " + ", ".join(f"coalesce(CAST({name} AS VARCHAR), chr(0))" for name in content) + "))"
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE ranked AS SELECT rn, stratum, "
        f"row_number() OVER (PARTITION BY stratum ORDER BY h, w) AS place FROM (SELECT rn, "
        f"{stratum if by else chr(39) * 2} AS stratum, md5('{seed}' || chr(31) || _key) AS h, "
        f"{whole} AS w FROM {table})"
    )
    counted = "SELECT stratum, count(*) FROM ranked GROUP BY 1 ORDER BY 2 DESC, 1"
    sizes = connection.execute(counted).fetchall()
    limit = None if max_rows is None else max(max_rows, len(sizes))
    kept = allocate([size for _, size in sizes], fraction, limit)
    connection.execute("CREATE OR REPLACE TEMP TABLE strata (stratum VARCHAR, n BIGINT, k BIGINT)")
    connection.executemany(
        "INSERT INTO strata VALUES (?, ?, ?)",
        [(name, size, count) for (name, size), count in zip(sizes, kept, strict=True)],
    )
    chosen = connection.execute(
        "SELECT rn, n / k AS weight FROM ranked JOIN strata USING (stratum) WHERE place <= k"
    ).fetchnumpy()
    strata = [{"rows": size, "kept": count} for (_, size), count in zip(sizes, kept, strict=True)]
    return np.asarray(chosen["rn"], np.int64), np.asarray(chosen["weight"], np.float64), strata
