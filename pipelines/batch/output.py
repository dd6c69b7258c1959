"""Writes the parts of a batch as one file, which appears whole; the same parts give the same bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import storage

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from pipelines.batch.work import Part

UNITS = ("D", "s", "ms", "us", "ns")
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def write_output(paths: Sequence[Path], parts: Sequence[Part], target: Path) -> None:
    """Write the file.

    Parameters
    ----------
    paths
        The parts' files, in the order of their rows; at least one.
    parts
        What is known of them: how a column is written depends on all of its cells.
    target
        ``.csv`` or ``.parquet``.
    """
    partial = target.with_name(f".{target.name}.{os.getpid()}{target.suffix}")
    try:
        with storage.disk_errors(target):
            if target.suffix == ".csv":
                _write_csv(paths, parts, partial)
            else:
                _write_parquet(paths, parts, partial)
            storage.file_io.flush(partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def gaps_of(table: pa.Table) -> list[str]:
    """Return the columns that have a null."""
    return [name for name, column in zip(table.column_names, table.columns, strict=True) if column.null_count]


def units_of(table: pa.Table) -> dict[str, str]:
    """Return for each column of moments the coarsest unit that shows every one of them whole."""
    import pyarrow as pa

    found = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_timestamp(column.type):
            counts = column.drop_null().cast(pa.int64()).to_numpy()
            per = PER_SECOND[column.type.unit]
            steps = {"D": per * 86_400, **{unit: per // each for unit, each in PER_SECOND.items() if each <= per}}
            found[name] = next(unit for unit in UNITS if not (counts % steps[unit]).any())
    return found


def _write_csv(paths: Sequence[Path], parts: Sequence[Part], partial: Path) -> None:
    import pyarrow.parquet as pq

    from pipelines.inference.recipe.arrays import frame_of

    units: dict[str, str] = {}
    for part in parts:
        for name, unit in part.units.items():
            units[name] = max(unit, units.get(name, "D"), key=UNITS.index)
    with partial.open("w", encoding="utf-8", newline="") as stream:
        for index, path in enumerate(paths):
            frame = frame_of(pq.read_table(path))
            texts = {name: _moments(frame[name], unit) for name, unit in units.items()}
            texts |= {str(name): cells.map(_text) for name, cells in frame.items() if cells.dtype == object}
            frame.assign(**texts).to_csv(stream, index=False, header=index == 0, lineterminator="\n")


def _write_parquet(paths: Sequence[Path], parts: Sequence[Part], partial: Path) -> None:
    import pyarrow.parquet as pq

    gaps = {name for part in parts for name in part.gaps}
    schema = _schema(pq.read_schema(paths[0]), gaps)
    with pq.ParquetWriter(partial, schema) as writer:
        for path in paths:
            writer.write_table(pq.read_table(path).cast(schema))


def _schema(schema: pa.Schema, gaps: set[str]) -> pa.Schema:
    """Return a schema from which pandas reads whole numbers with gaps as whole numbers."""
    import pyarrow as pa

    from pipelines.inference.recipe.arrays import frame_of

    plain = schema.remove_metadata()
    with_gaps = frame_of(pa.table({name: pa.nulls(1, plain.field(name).type) for name in sorted(gaps)}))
    empty = frame_of(plain.empty_table()).assign(**{str(name): cells[:0] for name, cells in with_gaps.items()})
    return plain.with_metadata(pa.Schema.from_pandas(empty, preserve_index=False).metadata)


def _moments(cells: pd.Series[Any], unit: str) -> pd.Series[Any]:
    """Return moments as texts, all with as much of the time as one of them needs."""
    import numpy as np
    import pandas as pd

    zone = "+00:00" if isinstance(cells.dtype, pd.DatetimeTZDtype) else ""
    values = cells.dt.tz_convert(None).to_numpy() if zone else cells.to_numpy()
    shown = "s" if zone and unit == "D" else unit
    texts = np.char.add(np.char.replace(np.datetime_as_string(values.astype(f"M8[{shown}]")), "T", " "), zone)
    return pd.Series(texts, index=cells.index, dtype=object).where(cells.notna(), None)


def _text(cell: Any) -> Any:
    """Return a key's cell with all digits of a decimal number, and bytes in hexadecimal digits."""
    if isinstance(cell, bytes):
        return cell.hex()
    return format(cell, "f") if isinstance(cell, Decimal) else cell
