"""The SQL that reads each file of a table: CSV, Parquet or JSON lines."""

# ruff: noqa: S608 - names and paths are quoted by identifier and literal
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.ingestion.files.csv_dialect import Dialect
from pipelines.ingestion.files.json_lines import JsonLines, cells_of, transformed
from pipelines.ingestion.files.kinds import TEXT, Common, Kind, text_of
from pipelines.ingestion.files.parquet_files import Parquet
from pipelines.ingestion.files.sources import plain_name
from pipelines.quoting import literal, options_of

JSON_LINES = (".jsonl", ".ndjson", ".json")
LINE_ENDS = {"\n": r"'\n'", "\r": r"'\r'", "\r\n": r"'\r\n'"}
"""How DuckDB's option ``new_line`` writes them."""
Partition = Mapping[str, str | None]
Way = Dialect | Parquet | JsonLines


def kinds_of(way: Way) -> dict[str, Kind]:
    """Return the kind of each column of a file."""
    if isinstance(way, Dialect):
        return dict.fromkeys(way.columns, TEXT)
    return dict(zip(way.columns, way.kinds, strict=True))


def is_parquet(file: Path) -> bool:
    """Tell whether a file is Parquet, by its name."""
    return file.suffix.lower() == ".parquet"


def is_json(file: Path) -> bool:
    """Tell whether a file holds JSON lines, by its name."""
    return plain_name(file.name).lower().endswith(JSON_LINES)


def select(
    files: Sequence[Path], way: Way, columns: Sequence[str], partition: Partition, types: Mapping[str, Common]
) -> str:
    """Return the SELECT that reads files of the same form as columns ``c0``, ``c1`` and so on."""
    paths = "[" + ", ".join(literal(str(file)) for file in files) + "]"
    if isinstance(way, Dialect):
        cells = {name: f"s{index}" for name, index in zip(way.columns, way.positions, strict=True)}
        shape = ", ".join(f"'s{index}': 'VARCHAR'" for index in range(way.width))
        options = {
            "auto_detect": "false",
            "header": str(way.header).lower(),
            **({"skip": str(way.skip)} if way.skip else {}),
            **({"new_line": LINE_ENDS[way.line_end]} if way.line_end else {}),
            "delim": literal(way.separator),
            "quote": literal('"'),
            "escape": literal(way.escape),
            "encoding": literal(way.encoding),
            "allow_quoted_nulls": "false",
            "columns": f"{{{shape}}}",
            "store_rejects": "true",
            "rejects_limit": "0",
        }
        reader = f"read_csv({paths}, {options_of(options)})"
    elif isinstance(way, Parquet):
        cells = {name: f"p{index}" for name, index in zip(way.columns, way.positions, strict=True)}
        reader = f"read_parquet({paths}, hive_partitioning=false) AS t({', '.join(f'p{n}' for n in range(way.width))})"
    else:
        cells = cells_of(way)
        reader = f"({transformed(way)})"
    kinds = kinds_of(way)

    def value(name: str) -> str:
        wanted = types[name].cast if name in types else None
        if name in cells and kinds[name].family != "null":
            cell = kinds[name].read.replace("{}", cells[name])
            if wanted == "VARCHAR":
                return cell if kinds[name].family == "text" else text_of(cell, kinds[name])
            cast = "TRY_CAST" if kinds[name].family == "float" else "CAST"  # not a number is no whole number
            return cell if wanted is None else f"{cast}({cell} AS {wanted})"
        given = partition.get(name) if name not in cells else None
        return "NULL" if given is None else literal(given)

    return f"SELECT {', '.join(f'{value(name)} AS c{index}' for index, name in enumerate(columns))} FROM {reader}"
