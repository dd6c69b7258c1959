"""Detects how each file of one table is written, aligns the column names of all files, and makes notices."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import AimassError, DataError
from pipelines.ingestion.files.copies import Copies
from pipelines.ingestion.files.csv_dialect import EMPTY, Dialect, sniff
from pipelines.ingestion.files.formats import Partition, Way, is_json, is_parquet
from pipelines.ingestion.files.json_lines import json_way
from pipelines.ingestion.files.names import matched
from pipelines.ingestion.files.parquet_files import parquet_way
from pipelines.ingestion.files.peek import is_blank
from pipelines.ingestion.spec import Files

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SHOWN = 20


def find_ways(
    connection: DuckDBPyConnection,
    files: Sequence[Path],
    copies: Copies,
    spec: Files,
    table: str,
    wanted: Collection[str],
    labels: Mapping[Path, str],
) -> tuple[dict[Path, Way], list[str]]:
    """Detect how files are written; return notices on renamed columns.

    Parameters
    ----------
    wanted
        Names of columns that the model needs.
    """
    ways: dict[Path, Way] = {}
    for index, file in enumerate(files):
        try:
            way = _way(connection, file, copies, spec, f"{table}_lines{index}", wanted)
        except AimassError as error:
            error.where = error.where.replace(str(copies.path(file)), str(file))
            raise
        if isinstance(way, Dialect) and way.copied:
            way = copies.rewrite(file, way)
        ways[file] = way
    return _aligned(ways, labels, wanted)


def _way(
    connection: DuckDBPyConnection, file: Path, copies: Copies, spec: Files, table: str, wanted: Collection[str]
) -> Way:
    path = copies.path(file)
    if path.stat().st_size == 0 or (is_json(path) and is_blank(path)):
        return EMPTY
    if is_parquet(path):
        return parquet_way(connection, path, wanted)
    if not is_json(path):
        return sniff(path, spec, wanted=wanted)
    try:
        return json_way(connection, path, spec, table, wanted)
    except DataError:
        if copies.align(file, spec.encoding or "utf-8"):
            return json_way(connection, copies.path(file), spec, table, wanted)
        raise


def _aligned(
    ways: dict[Path, Way], labels: Mapping[Path, str], wanted: Collection[str]
) -> tuple[dict[Path, Way], list[str]]:
    """Unite under one name, with a notice, columns whose names differ only in case, blanks or Unicode form.

    It is the wanted one, else that of the first file. A file with both names has two columns.
    """
    known = dict.fromkeys(wanted)
    notices: dict[tuple[str, str], str] = {}
    for file, way in ways.items():
        other = matched(way.columns, known) if set(way.columns) - known.keys() else {}
        if other:
            ways[file] = way = replace(way, columns=tuple(other.get(name, name) for name in way.columns))
        for given, name in other.items():
            told = f"column {given!r} of {labels.get(file, file.name)} is taken for {name!r}"
            notices.setdefault((given, name), told)
        known |= dict.fromkeys(way.columns)
    return ways, list(notices.values())[:SHOWN]


def columns_of(ways: Mapping[Path, Way], partitions: Mapping[Path, Partition]) -> dict[Path, tuple[str, ...]]:
    """Return the columns of each file that may have rows, including those in its path."""
    return {
        file: (*way.columns, *partitions.get(file, ()))
        for file, way in ways.items()
        if way.columns and not (isinstance(way, Dialect) and not way.rows)
    }


def lacking(known: Mapping[Path, Collection[str]], labels: Mapping[Path, str]) -> tuple[dict[str, int], list[str]]:
    """Count for each column the files that lack it, and name them, or those that have it if they are fewer."""
    sets = {file: frozenset(names) for file, names in known.items()}
    counts: dict[str, int] = {}
    told: dict[tuple[bool, tuple[Path, ...]], list[str]] = {}
    columns = dict.fromkeys(name for names in known.values() for name in names)
    for name in columns if len(set(sets.values())) > 1 else ():
        have = tuple(file for file, names in sets.items() if name in names)
        counts[name] = len(sets) - len(have)
        rare = 2 * len(have) < len(sets)
        if counts[name]:
            shown = have if rare else tuple(file for file, names in sets.items() if name not in names)
            told.setdefault((rare, shown), []).append(name)
    notices = []
    for (rare, shown), names in told.items():
        files = ", ".join(labels.get(file, file.name) for file in shown[:3]) + (" …" if len(shown) > 3 else "")
        shown_names = ", ".join(map(repr, names[:5])) + (" …" if len(names) > 5 else "")
        notices.append(
            f"{shown_names}: in {len(shown)} of {len(sets)} files only ({files}); missing elsewhere"
            if rare
            else f"{files} lacks {shown_names}; missing there"
        )
    return {name: count for name, count in counts.items() if count}, notices[:SHOWN]


def said_of(ways: Mapping[Path, Way], labels: Mapping[Path, str]) -> list[str]:
    """Return notices on how files were read, and on files without rows."""
    blank = [labels.get(file, file.name) for file, way in ways.items() if isinstance(way, Dialect) and not way.rows]
    told = [f"{labels.get(file, file.name)}: {text}" for file, way in ways.items() for text in way.said]
    if len(told) > SHOWN:
        told = [*told[: SHOWN - 1], f"… and {len(told) - SHOWN + 1} more notices of this kind"]
    if blank:
        told.append(f"{', '.join(blank[:5])}{' …' if len(blank) > 5 else ''}: no row")
    return told
