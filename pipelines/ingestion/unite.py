"""How files with other columns and types become one table: what is missing, what is read as text, in which order."""

# ruff: noqa: S608 - names and paths are quoted by pipelines.ingestion.formats
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.ingestion.formats import Partition, Way, families, select
from pipelines.ingestion.sniff import refuse_doubled


def name_notices(
    files: Sequence[Path], columns: list[str], known: Mapping[Path, Sequence[str]], labels: Mapping[Path, str]
) -> list[str]:
    """Refuse names that differ in case only; give notices of the columns that files lack."""
    lowered: dict[str, str] = {}
    for name in columns:
        if lowered.setdefault(name.lower(), name) != name:
            refuse_doubled((lowered[name.lower()], name), files[-1])
    notices: list[str] = []
    seen: set[tuple[str, ...]] = set()
    for file in files:
        absent = tuple(name for name in columns if name not in known[file])
        if absent and (len(notices) < 20 or absent not in seen):
            notices.append(
                f"{labels.get(file, file.name)} lacks {', '.join(repr(name) for name in absent[:5])}; missing there"
            )
            seen.add(absent)
    return notices[:20]


def columns_as_text(
    ways: Mapping[Path, Way], columns: Sequence[str], labels: Mapping[Path, str]
) -> tuple[dict[str, bool], list[str]]:
    """Give the columns to read as text: spans of time, and values of several kinds; and a notice for the latter."""
    first: dict[str, dict[str, Path]] = {name: {} for name in columns}
    for file, way in ways.items():
        for name, family in families(way).items():
            if family != "null":
                first[name].setdefault(family, file)
    mixed = {name: found for name, found in first.items() if len(found) > 1}
    notices = [
        f"{name!r} changes its type: "
        + ", ".join(f"{family} in {labels.get(file, file.name)}" for family, file in found.items())
        + "; read as text"
        for name, found in mixed.items()
    ]
    spans = [name for name, found in first.items() if "interval" in found]
    return dict.fromkeys([*mixed, *spans], True), notices[:20]


def selects(
    files: Sequence[Path],
    columns: list[str],
    ways: Mapping[Path, Way],
    partitions: Mapping[Path, Partition],
    as_text: Mapping[str, bool],
    unknown: frozenset[str],
    copies: Mapping[Path, Path],
) -> list[str]:
    """Give one SELECT per run of files written alike: rows keep the order of the files."""
    groups: list[tuple[Way, Partition, list[Path]]] = []
    for file in files:
        way, partition = ways[file], partitions.get(file, {})
        if groups and groups[-1][:2] == (way, partition):
            groups[-1][2].append(file)
        else:
            groups.append((way, partition, [file]))
    texts = [
        select([copies.get(file, file) for file in members], way, columns, partition, as_text)
        for way, partition, members in groups
    ]
    if unknown:
        names = [f"CAST(NULL AS VARCHAR) AS c{n}" if name in unknown else f"c{n}" for n, name in enumerate(columns)]
        texts = [f"SELECT {', '.join(names)} FROM ({text})" for text in texts]
    return texts
