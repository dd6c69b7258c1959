"""Which strptime formats read the dates of a column."""

# ruff: noqa: S608 - column names are internal ones, formats are quoted literals
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_DAYS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y",
    "%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%y",
)  # fmt: skip
_CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p")
_ZONED = tuple(
    f"%Y-%m-%d{between}{clock}{zone}"
    for between in ("T", " ")
    for clock in ("%H:%M:%S", "%H:%M:%S.%f", "%H:%M")
    for zone in ("Z", "%z", " %z")
)
CANDIDATES = (
    *_DAYS,
    *(f"{day} {clock}" for day in _DAYS for clock in _CLOCKS),
    *(f"%Y-%m-%dT{clock}" for clock in _CLOCKS[:3]),
    *_ZONED,
    "%Y-%m",
)
DIGITS = ("%Y%m%d", "%Y%m%d%H%M%S", "%Y%m%d%H%M")
"""Formats that read bare numbers: only for a column declared as time."""
MOST = 4
NUMBER = r"[-+]?[0-9]*[.]?[0-9]*([eE][-+]?[0-9]+)?"


def learn_formats(
    connection: duckdb.DuckDBPyConnection, table: str, column: str, *, share: float = 0.95, declared: bool = False
) -> tuple[str, ...]:
    """Learn from all rows which formats read a text column.

    The format that reads most rows comes first; further ones are added for rows it leaves, as long as each reads at
    least 0.1 % of all. Of day-first and month-first only one is ever chosen: the one that reads more rows.

    Parameters
    ----------
    table, column
        Quoted SQL names; the column is text.
    share
        Least share of the non-missing values that must be readable.
    declared
        The column is known to hold moments: bare digits may be dates.

    Returns
    -------
    tuple of str
        In the order to be tried; empty if the values are no dates.
    """
    text = f"trim({column})"
    given = f"{column} IS NOT NULL AND lower({text}) NOT IN ('', '?', 'na', 'n/a', 'nan', 'null', 'none', '-')"
    digits = "" if declared else f" AND NOT regexp_full_match({text}, '{NUMBER}')"
    sample = connection.execute(
        f"SELECT DISTINCT v FROM (SELECT {text} AS v FROM {table} WHERE {given}{digits} LIMIT 20000) LIMIT 2000"
    ).fetchall()
    if not sample or not any(any(mark.isdigit() for mark in value) for (value,) in sample):
        return ()
    connection.execute("CREATE OR REPLACE TEMP TABLE _dates AS SELECT unnest(?) AS v", [[value for (value,) in sample]])
    candidates = (*CANDIDATES, *DIGITS) if declared else CANDIDATES
    hits = connection.execute("SELECT " + _counts(candidates, "v") + " FROM _dates").fetchall()[0] or ()
    if not any(hits):
        return ()
    # What no sampled value fits may still occur in the rest: months first or days first is decided on all rows.
    alive = [name for name, hit in zip(candidates, hits, strict=True) if hit]
    alive += [name for name in candidates if name not in alive and _swapped(name) in alive]
    total = connection.execute(f"SELECT count(*) FROM {table} WHERE {given}").fetchall()[0]
    rows = total[0] if total else 0
    chosen: list[str] = []
    read = 0
    while len(chosen) < MOST and alive:
        rest = f"{given} AND try_strptime({text}, {_list(chosen)}) IS NULL" if chosen else given
        counts = connection.execute(f"SELECT {_counts(alive, text)} FROM {table} WHERE {rest}").fetchall()[0] or ()
        best = max(range(len(alive)), key=lambda place: counts[place])
        if not counts[best] or counts[best] < (0.001 * rows if chosen else 1):
            break
        chosen.append(alive[best])
        read += counts[best]
        alive = [name for name in alive if name != chosen[-1] and not _clash(name, chosen)]
    return tuple(chosen) if rows and read >= share * rows else ()


def moment(column: str, kind: str, formats: tuple[str, ...]) -> str:
    """Give the SQL that reads a column as a moment in UTC; unreadable values become null."""
    if kind == "VARCHAR":
        return f"CAST(try_strptime(trim({column}), {_list(formats)}) AS TIMESTAMPTZ)"
    return f"CAST({column} AS TIMESTAMPTZ)"


def _list(formats: tuple[str, ...] | list[str]) -> str:
    return "[" + ", ".join("'" + name.replace("'", "''") + "'" for name in formats) + "]"


def _counts(formats: tuple[str, ...] | list[str], text: str) -> str:
    return ", ".join(f"count(try_strptime({text}, {_list([name])}))" for name in formats)


def _swapped(name: str) -> str:
    """Give the format with day and month in the other order."""
    if name.startswith("%Y"):
        return name
    return name.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")


def _clash(name: str, chosen: list[str]) -> bool:
    """Tell whether a chosen format reads day and month in the other order than ``name`` does."""
    order = _order(name)
    return bool(order) and any(_order(other) and _order(other) != order for other in chosen)


def _order(name: str) -> str:
    if name.startswith("%Y") or "%m" not in name:
        return ""
    return "month" if name.index("%m") < name.index("%d") else "day"
