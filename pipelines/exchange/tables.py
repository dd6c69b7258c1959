"""Small tables that people hand over: CSV as text, Parquet as typed, JSON as a list of objects."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from pipelines.errors import DataError

MAX_BYTES = 2_000_000_000
MAX_ROWS = 5_000_000


def read_table_file(path: Path, what: str, most: int = MAX_ROWS) -> pd.DataFrame:
    """Read a whole table.

    Parameters
    ----------
    what
        Its name in errors, such as "the samples".

    Raises
    ------
    DataError
        It is no such file, is too large, or has no rows.
    """
    kind = path.suffix.lower()
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{what}: the file is too large", where=str(path), expected=f"at most {MAX_BYTES} bytes")
        if kind == ".csv":
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        elif kind == ".parquet":
            table = pd.read_parquet(path)
        elif kind == ".json":
            rows = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise ValueError("it is no list of objects")
            table = pd.DataFrame(rows, dtype=object)
        else:
            raise DataError(
                f"{what}: the file is no table",
                where=str(path),
                seen=kind or "no ending",
                expected=".csv, .parquet or .json",
            )
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a reader of tables says of a file, it is the file's fault
        raise DataError(
            f"{what}: the file cannot be read",
            where=str(path),
            seen=f"{type(error).__name__}: {str(error)[:200]}",
            expected="a CSV file with a header, Parquet, or JSON with a list of objects",
        ) from None
    if not 0 < len(table) <= most:
        raise DataError(f"{what}: too few or too many rows", where=str(path), seen=len(table), expected=f"1 to {most}")
    return table
