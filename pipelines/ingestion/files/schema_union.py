"""Unites files with different columns and types: what is missing, what is read as text, and the order of rows."""

# ruff: noqa: S608 - names and paths are quoted by pipelines.ingestion.files.formats
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.ingestion.files.formats import Partition, Way, kinds_of, select
from pipelines.ingestion.files.kinds import MOST_DIGITS, Common, Kind, common

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def common_types(
    ways: Mapping[Path, Way], columns: Sequence[str], labels: Mapping[Path, str]
) -> tuple[dict[str, Common], list[str]]:
    """Return the common type of each column, and notices on mixed columns."""
    seen: dict[str, dict[Kind, Path]] = {name: {} for name in columns}
    for file, way in ways.items():
        for name, kind in kinds_of(way).items():
            if kind.family != "null":
                seen[name].setdefault(kind, file)
    types = {name: common(kinds) for name, kinds in seen.items()}
    notices = []
    for name, kinds in seen.items():
        if types[name].mixed:
            words = {kind.word: labels.get(file, file.name) for kind, file in reversed(kinds.items())}
            told = ", ".join(f"{word} in {label}" for word, label in reversed(words.items()))
            notices.append(f"{name!r} changes its type: {told}; read as text, digit for digit")
    return types, notices[:20]


def settle(
    connection: DuckDBPyConnection, types: dict[str, Common], ways: Mapping[Path, Way], copies: Mapping[Path, Path]
) -> list[str]:
    """Decide on the type of columns that are integers in some files and floats in others, by their size.

    They stay numbers where a DOUBLE holds them all, else whole numbers where every float is one; else they are texts.
    """
    notices = []
    for name, found in list(types.items()):
        if not found.doubtful:
            continue
        whole: list[bool] = []
        exact: list[bool] = []
        for file, way in ways.items():
            kind = kinds_of(way).get(name)
            if kind is None or kind.family not in ("whole", "float"):
                continue
            cells = select([copies.get(file, file)], way, [name], {}, {})
            query = f"max(abs(CAST(c0 AS HUGEINT))) <= {2**53}"
            if kind.family == "float":
                query = f"bool_and(c0 = trunc(c0) AND abs(c0) <= {2**53}) FILTER (isfinite(c0))"
            fits = connection.execute(f"SELECT {query} FROM ({cells})").fetchall()[0][0]
            (exact if kind.family == "whole" else whole).append(fits is not False)
        if all(exact):
            types[name] = Common("DOUBLE")
        elif all(whole):
            types[name] = Common(f"DECIMAL({MOST_DIGITS}, 0)")
        else:
            types[name] = Common("VARCHAR", mixed=True)
            notices.append(f"{name!r} has whole numbers of many digits beside fractions; read as text, digit for digit")
    return notices


def selects(
    files: Sequence[Path],
    columns: list[str],
    ways: Mapping[Path, Way],
    partitions: Mapping[Path, Partition],
    types: Mapping[str, Common],
    unknown: frozenset[str],
    copies: Mapping[Path, Path],
) -> list[str]:
    """Return one SELECT per run of files of the same form; rows keep the order of the files."""
    groups: list[tuple[Way, Partition, list[Path]]] = []
    for file in files:
        way, partition = ways[file], partitions.get(file, {})
        if groups and groups[-1][:2] == (way, partition):
            groups[-1][2].append(file)
        else:
            groups.append((way, partition, [file]))
    texts = [
        select([copies.get(file, file) for file in members], way, columns, partition, types)
        for way, partition, members in groups
    ]
    if unknown:
        names = [f"CAST(NULL AS VARCHAR) AS c{n}" if name in unknown else f"c{n}" for n, name in enumerate(columns)]
        texts = [f"SELECT {', '.join(names)} FROM ({text})" for text in texts]
    return texts
