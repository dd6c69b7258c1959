"""Duplicates: which rows of a key, or of equal rows, are superseded, and what older rows of a key fill in.

Two keys, or two rows, are taken for one when 128 bits of hash agree. Only a hash per row is kept in memory; rows whose
hash is alone are looked at no further.
"""

# ruff: noqa: S608 - column names are internal ones (c0, c1, …), paths are quoted
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from pipelines.cleaning.declared_columns import source_columns
from pipelines.cleaning.parts import Parts
from pipelines.cleaning.rules import Judged
from pipelines.dask_files import give, take
from pipelines.quoting import literal
from pipelines.row_hash import distinct, key_hash

WIDTH = 200
"""Columns hashed in one call."""
Hashes = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]


@dataclass
class Duplicates:
    """Which rows are superseded, and the file with the cells that they fill in."""

    superseded: Mask
    fills: Path | None = None
    filled: int = field(default=0)

    def fill(self, typed: pd.DataFrame, start: int) -> pd.DataFrame:
        """Fill the missing cells of a part's kept rows; ``start`` is the index of the part's first row."""
        if self.fills is None:
            return typed
        row = pads.field("_row")
        rows = pads.dataset(take(self.fills)).to_table(filter=(row >= start) & (row < start + len(typed)))
        if not rows.num_rows:
            return typed
        older = rows.select([f"n{index}" for index in range(typed.shape[1])]).to_pandas()
        older.columns = typed.columns
        older = older.astype({name: kind for name, kind in typed.dtypes.items() if older[name].dtype != kind})
        older.index = pd.Index(rows["_row"].to_numpy() - start)
        return typed.fillna(older)


def repeated(hashes: Hashes) -> Mask:
    """Mark the hashes that occur more than once, shape (n,)."""
    ordered = np.sort(hashes)
    twice = distinct(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(twice):
        return np.zeros(len(hashes), dtype=bool)
    indices = np.minimum(np.searchsorted(twice, hashes), len(twice) - 1)
    return np.asarray(twice[indices] == hashes)


def exact_duplicates(parts: Parts) -> Mask:
    """Mark every row that equals an earlier one in all source columns, shape (rows,)."""
    names = [name for name in source_columns(parts.schema) if not _is_odd(parts.schema.field(name).type)]
    if not names:
        return np.zeros(parts.rows, dtype=bool)

    starts = parts.starts()
    with _duckdb(None) as connection:
        first = _hashed(parts, lambda index: row_hash(connection, parts.read(index, names)))
        again = repeated(first)
        if not again.any():
            return again

        def second(index: int) -> Hashes:
            among = again[starts[index] : starts[index] + parts.sizes[index]]
            if not among.any():
                return np.empty(0, np.uint64)
            return row_hash(connection, parts.read(index, names).filter(pa.array(among)), "2")

        others = parts.each(second, here=True)
    rows = np.flatnonzero(again)
    frame = pd.DataFrame({"a": first[rows], "b": np.concatenate(others)})
    out = np.zeros(parts.rows, dtype=bool)
    out[rows[frame.duplicated(keep="first").to_numpy()]] = True
    return out


def _hashed(parts: Parts, hashed: Callable[[int], Hashes]) -> Hashes:
    """Hash all rows, part by part; shape (rows,)."""
    hashes, starts = np.empty(parts.rows, np.uint64), parts.starts()

    def one(index: int) -> None:
        hashes[starts[index] : starts[index] + parts.sizes[index]] = hashed(index)

    parts.each(one, here=True)
    return hashes


def row_hash(connection: duckdb.DuckDBPyConnection, table: pa.Table, salt: str = "") -> Hashes:
    """Hash every row of a table by all its cells, shape (n,); threads may share the connection."""
    names = [f"c{index}" for index in range(table.num_columns)]
    groups = [", ".join(names[start : start + WIDTH]) for start in range(0, len(names), WIDTH)]
    if salt:
        groups = [f"{group}, '{salt}', md5_number_lower(CAST(row({group}) AS VARCHAR))" for group in groups]
    whole = ", ".join(f"hash({group})" for group in groups)
    with connection.cursor() as cursor:
        cursor.register("part", table.rename_columns(names))
        result = cursor.execute(f"SELECT hash({whole}) AS h FROM part").fetchnumpy()
    return np.asarray(result["h"], dtype=np.uint64)


def key_duplicates(parts: Parts, judge: Callable[[pa.Table], Judged], work: Path | None) -> Duplicates:
    """Decide which row of every key is kept: labelled before unlabelled, then the latest, then the last.

    Rows held back take no part.

    Parameters
    ----------
    judge
        Judges rows by what stands in them.
    work
        Empty folder for the cells of older rows, where these shall fill gaps; None: they shall not.
    """
    starts = parts.starts()

    first = _hashed(parts, lambda index: key_hash(parts.read(index, ["_key"])["_key"], 0))
    again = repeated(first)
    superseded = np.zeros(parts.rows, dtype=bool)
    if not again.any():
        return Duplicates(superseded)

    def candidates(index: int) -> pd.DataFrame:
        start = starts[index]
        rows = np.flatnonzero(again[start : start + parts.sizes[index]])
        table = parts.read(index).take(pa.array(rows)) if len(rows) else parts.schema.empty_table()
        judged = judge(table)
        frame = pd.DataFrame(
            {
                "a": first[start + rows],
                "b": key_hash(table["_key"], 1),
                "labelled": judged.labelled,
                "time": pc.fill_null(
                    table["_time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()), -(2**63)
                ).to_numpy(),
                "row": start + rows,
            }
        )
        usable = ~judged.held.mask
        if work is not None and usable.any():
            cells = {f"c{n}": pa.array(judged.typed.iloc[:, n], from_pandas=True) for n in range(judged.typed.shape[1])}
            stamps: dict[str, pa.Array] = {str(name): pa.array(frame[name]) for name in frame}
            whole = pa.table({**stamps, **cells}).filter(pa.array(usable))
            pq.write_table(whole, work / f"part-{index:05d}.parquet", compression="zstd")
        return frame[usable]

    frame = pd.concat(parts.each(candidates, here=True), ignore_index=True)
    frame = frame.sort_values(["labelled", "time", "row"], kind="stable")
    superseded[frame["row"][frame.duplicated(["a", "b"], keep="last")].to_numpy()] = True
    if work is None or not superseded.any():
        return Duplicates(superseded)
    names = list(judge(parts.schema.empty_table()).typed.columns)
    fills, filled = _fills(work, names)
    return Duplicates(superseded, fills, filled)


def _fills(work: Path, names: list[str]) -> tuple[Path, int]:
    """Write the newest non-missing cell of every column, for each kept row of a repeated key."""
    path = work / "fills.parquet"
    files = literal(str(work / "part-*.parquet"))
    newest = ", ".join(f"max_by(c{n}, rank) FILTER (WHERE c{n} IS NOT NULL) AS n{n}" for n in range(len(names)))
    missing = " + ".join(f"(max_by(c{n} IS NULL, rank) AND count(c{n}) > 0)::INT" for n in range(len(names))) or "0"
    with _duckdb(work / "spill") as connection:
        connection.execute(
            f'COPY (SELECT max_by("row", rank) AS _row, {missing} AS _gaps, {newest} FROM ('
            'SELECT *, row_number() OVER (PARTITION BY a, b ORDER BY labelled, time, "row") AS rank '
            f"FROM read_parquet({files})) GROUP BY a, b HAVING count(*) > 1 ORDER BY _row) "
            f"TO '{str(path).replace(chr(39), chr(39) * 2)}' (FORMAT parquet)"
        )
        counted = connection.execute(f"SELECT coalesce(sum(_gaps), 0) FROM read_parquet('{path}')").fetchone()
    give(path)
    return path, int(counted[0]) if counted else 0


@contextmanager
def _duckdb(spill: Path | None) -> Iterator[duckdb.DuckDBPyConnection]:
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "threads": "1" if spill is None else "2",
        "memory_limit": "1GB",
        **({"temp_directory": str(spill)} if spill is not None else {}),
    }
    connection = duckdb.connect(config=config)
    try:
        yield connection
    finally:
        connection.close()


def _is_odd(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_null(kind))
