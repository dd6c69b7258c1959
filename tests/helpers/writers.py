"""One table of every plain kind of column, written as the programs write it that people keep data with.

Polars, Spark, Snowflake, BigQuery,
R and Excel are not in the environment: their files are made here as they lay them out.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

Rows = list[dict[str, Any]]
FIRST_ID = 2**53 + 1
"""From here on a float tells no two odd numbers apart."""
TOWNS = ("Zürich", "Genève", "Łódź", "New York")
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("amount", pa.float64()),
        ("count", pa.int64()),
        ("price", pa.decimal128(10, 2)),
        ("town", pa.string()),
        ("flag", pa.bool_()),
        ("day", pa.date32()),
        ("seen", pa.timestamp("us")),
        ("span", pa.duration("us")),
        ("clock", pa.time64("us")),
        ("code", pa.string()),
        ("label", pa.string()),
    ]
)
NAMES = SCHEMA.names
FEATURES = NAMES[1:-1]


def table_rows(count: int, seed: int = 0) -> Rows:
    """Make rows; each column but key and label has gaps, and each has its part in the label."""
    random = np.random.default_rng(seed)
    rows: Rows = []
    for index in range(count):
        row: dict[str, Any] = {
            "id": FIRST_ID + 2 * index,
            "amount": round(float(random.normal(1_500, 900)), 2),
            "count": int(random.poisson(4)),
            "price": Decimal(int(random.integers(100, 250_000))) / 100,
            "town": TOWNS[int(random.integers(0, len(TOWNS)))],
            "flag": bool(random.integers(0, 2)),
            "day": date(2024, 1, 1) + timedelta(days=int(random.integers(0, 400))),
            "seen": datetime(2024, 1, 1) + timedelta(seconds=int(random.integers(0, 400 * 86_400))),  # noqa: DTZ001 - naive UTC
            "span": timedelta(seconds=int(random.integers(1, 4 * 86_400))),
            "clock": (datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=int(random.integers(0, 86_400)))).time(),
            "code": f"{int(random.integers(0, 12)):03d}",
        }
        score = (
            (row["amount"] - 1_500) / 900
            + (row["count"] - 4) / 2
            + (float(row["price"]) - 1_250) / 700
            + TOWNS.index(row["town"])
            - 1.5
            + 1.2 * row["flag"]
            + (row["day"].month > 6)
            - (row["seen"].hour > 12)
            + row["span"].total_seconds() / 86_400
            - 2
            + (row["clock"].hour < 8)
            + (int(row["code"]) % 3 - 1)
        )
        row["label"] = "yes" if score + random.normal(0, 0.3) > 0.6 else "no"
        for gap, name in enumerate(FEATURES):
            if (index + 3 * gap) % 29 == 5:
                row[name] = None
        rows.append(row)
    return rows


def arrow(rows: Rows, schema: pa.Schema = SCHEMA) -> pa.Table:
    """Return the rows as an Arrow table."""
    return pa.table({name: pa.array([row[name] for row in rows], SCHEMA.field(name).type) for name in NAMES}).cast(
        schema
    )


def _changed(**kinds: pa.DataType) -> pa.Schema:
    return pa.schema([(name, kinds.get(name, SCHEMA.field(name).type)) for name in NAMES])


# --- Parquet


def pyarrow_parquet(rows: Rows, path: Path) -> Path:
    """Write as pyarrow does unasked."""
    pq.write_table(arrow(rows), path / "rows.parquet")
    return path / "rows.parquet"


def polars_parquet(rows: Rows, path: Path) -> Path:
    """Write large texts, categories of 32 unsigned bits, nanoseconds since midnight and 128-bit decimals."""
    large = pa.large_string()
    schema = _changed(
        town=pa.dictionary(pa.uint32(), large),
        code=large,
        label=large,
        clock=pa.time64("ns"),
        count=pa.uint8(),
        price=pa.decimal128(38, 2),
        seen=pa.timestamp("us", "UTC"),
        id=pa.uint64(),
    )
    table = arrow(rows, schema).append_column("tags", pa.array([[1, 2]] * len(rows), pa.large_list(pa.int64())))
    pq.write_table(table, path / "rows.parquet", compression="zstd", row_group_size=64)
    return path / "rows.parquet"


def units_parquet(unit: str) -> Callable[[Rows, Path], Path]:
    """Return the writer whose spans and moments count in a unit."""

    def write(rows: Rows, path: Path) -> Path:
        clock = {"s": pa.time32("s"), "ms": pa.time32("ms"), "us": pa.time64("us"), "ns": pa.time64("ns")}[unit]
        schema = _changed(
            span=pa.duration(unit), seen=pa.timestamp(unit, "Europe/Berlin"), clock=clock, day=pa.date64()
        )
        pq.write_table(arrow(rows, schema), path / "rows.parquet")
        return path / "rows.parquet"

    return write


def spark_folder(rows: Rows, path: Path) -> Path:
    """Write a partitioned folder with moments of 96 bits, texts without a type, and a default partition for no town."""
    folder = path / "table"
    names = [name for name in NAMES if name not in ("town", "span", "clock")]
    for number, town in enumerate([*TOWNS, None]):
        part = folder / f"town={town.replace(' ', '%20') if town else '__HIVE_DEFAULT_PARTITION__'}"
        part.mkdir(parents=True)
        found = [row for row in rows if row["town"] == town]
        table = arrow(found).select(names)
        # Spark knows no times of day; spans are its own intervals, which go out as texts
        spans = [None if row["span"] is None else f"{row['span'].days} days {_clock(row['span'])}" for row in found]
        clocks = [None if row["clock"] is None else row["clock"].isoformat() for row in found]
        for name, texts in {"span": spans, "clock": clocks}.items():
            table = table.append_column(name, pa.array(texts, pa.string()))
        texts_as_bytes = pa.schema(
            [(field.name, pa.binary() if pa.types.is_string(field.type) else field.type) for field in table.schema]
        )
        file = part / f"part-{number:05d}-1c9f.c000.snappy.parquet"
        pq.write_table(table.cast(texts_as_bytes), file, use_deprecated_int96_timestamps=True, store_schema=False)
        (part / f".{file.name}.crc").write_bytes(b"crc\0")
    (folder / "_SUCCESS").touch()
    return folder


def snowflake_parquet(rows: Rows, path: Path) -> Path:
    """Write names in capitals, and every number without a fraction as NUMBER(38,0)."""
    schema = _changed(
        id=pa.decimal128(38, 0), count=pa.decimal128(38, 0), price=pa.decimal128(20, 2), seen=pa.timestamp("ms")
    )
    seconds = pa.array([None if row["span"] is None else int(row["span"].total_seconds()) for row in rows])
    table = arrow(rows, schema).set_column(NAMES.index("span"), "span", seconds.cast(pa.decimal128(38, 0)))
    pq.write_table(table.rename_columns([name.upper() for name in NAMES]), path / "DATA_0_0_0.parquet")
    return path / "DATA_0_0_0.parquet"


def _frame(rows: Rows) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=NAMES)
    for name in ("seen", "day"):
        frame[name] = pd.to_datetime(frame[name])
    frame["span"] = pd.to_timedelta(frame["span"])
    return frame


def pandas_parquet(rows: Rows, path: Path) -> Path:
    """Write a frame: whole numbers with gaps are floats, days are moments."""
    _frame(rows).to_parquet(path / "rows.parquet", index=False)
    return path / "rows.parquet"


def pandas_nullable_parquet(rows: Rows, path: Path) -> Path:
    """Write a frame of pandas' own types that know gaps, with the index of a filtered frame."""
    frame = _frame(rows).convert_dtypes()
    frame["town"] = frame["town"].astype("category")
    frame.index = pd.RangeIndex(10, 10 + 3 * len(frame), 3).to_series().sample(frac=1, random_state=0).to_numpy()
    frame.to_parquet(path / "rows.parquet")
    return path / "rows.parquet"


def duckdb_file(kind: str) -> Callable[[Rows, Path], Path]:
    """Return the writer that copies a DuckDB table to Parquet, CSV or JSON."""

    def write(rows: Rows, path: Path) -> Path:
        file = path / f"rows.{kind}"
        with duckdb.connect() as connection:
            connection.register("given", arrow(rows))
            connection.execute(
                "CREATE TYPE town AS ENUM ('Zürich', 'Genève', 'Łódź', 'New York');"
                "CREATE TABLE t AS SELECT * REPLACE (id::UBIGINT AS id, count::UTINYINT AS count, town::town AS town, "
                "CAST(seen AS TIMESTAMP_S) AS seen, to_microseconds(epoch_us(span)) AS span) FROM given"
            )
            connection.execute(f"COPY t TO '{file}' (FORMAT {kind.replace('jsonl', 'json')})")
        return file

    return write


# --- text


def _clock(span: timedelta) -> str:
    seconds = span.seconds
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def pandas_csv(rows: Rows, path: Path) -> Path:
    """Write a frame with its index: 4.0 for 4 beside gaps, True and False, 0 days 00:01:00."""
    _frame(rows).to_csv(path / "rows.csv")
    return path / "rows.csv"


def pandas_json(rows: Rows, path: Path) -> Path:
    """Write a frame as lines: numbers as numbers, moments and spans in ISO 8601."""
    frame = _frame(rows).astype({"price": float, "clock": str}).replace({"clock": {"None": None, "nan": None}})
    frame.to_json(path / "rows.jsonl.gz", orient="records", lines=True, date_format="iso", double_precision=15)
    return path / "rows.jsonl.gz"


def _text(value: Any, **words: str) -> str:
    if value is None:
        return words.get("gap", "")
    if isinstance(value, bool):
        return words.get("true", "true") if value else words.get("false", "false")
    if isinstance(value, datetime):
        return value.strftime(words.get("moment", "%Y-%m-%d %H:%M:%S"))
    if isinstance(value, date):
        return value.strftime(words.get("day", "%Y-%m-%d"))
    if isinstance(value, timedelta):
        return words.get("span", "{days} day, {clock}").format(
            days=value.days, clock=_clock(value), seconds=int(value.total_seconds())
        )
    return str(value)


def _lines(header: Iterable[str], rows: Iterable[Sequence[str]], **how: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text, **{"lineterminator": "\n", **how})
    writer.writerow(list(header))
    writer.writerows(rows)
    return text.getvalue()


def plain_csv(rows: Rows, path: Path) -> Path:
    """Write what people call a CSV."""
    (path / "rows.csv").write_text(_lines(NAMES, ([_text(row[name]) for name in NAMES] for row in rows)))
    return path / "rows.csv"


def decomposed_csv(rows: Rows, path: Path) -> Path:
    """Write as programs on a Mac may: letters and their accents apart, a tab between cells, CR at the end of lines."""
    import unicodedata

    words = {"true": "YES", "false": "NO", "gap": "n/a", "span": "PT{seconds}S"}
    lines = ([unicodedata.normalize("NFD", _text(row[name], **words)) for name in NAMES] for row in rows)
    text = _lines(NAMES, lines, delimiter="\t", lineterminator="\r")
    (path / "rows.txt").write_bytes(text.encode())
    return path / "rows.txt"


def spark_csv(rows: Rows, path: Path) -> Path:
    """Write a folder of parts, each with a header, with moments of milliseconds and quotes escaped by a backslash."""
    folder = path / "csv"
    folder.mkdir()
    words = {"moment": "%Y-%m-%dT%H:%M:%S.000Z", "gap": '""', "span": "INTERVAL"}
    for number, part in enumerate((rows[: len(rows) // 2], [], rows[len(rows) // 2 :])):
        cells = (
            [
                str(row[name].total_seconds()) if name == "span" and row[name] else _text(row[name], **words)
                for name in NAMES
            ]
            for row in part
        )
        text = "".join(",".join(line) + "\n" for line in [NAMES, *cells])
        (folder / f"part-{number:05d}.csv").write_text(text if part else "")
    (folder / "_SUCCESS").touch()
    return folder


def bigquery_json(rows: Rows, path: Path) -> Path:
    """Write lines with whole numbers, decimals and truth values as texts, and without the keys of gaps."""
    kinds = {"moment": "%Y-%m-%d %H:%M:%S UTC", "span": "{seconds}"}
    with (path / "rows-000000000000.json").open("w") as file:
        for row in rows:
            cells = {
                name: value if name == "amount" else _text(value, **kinds)
                for name, value in row.items()
                if value is not None
            }
            file.write(json.dumps(cells, ensure_ascii=False) + "\n")
    return path / "rows-000000000000.json"


def r_csv(rows: Rows, path: Path) -> Path:
    """Write as write.csv does: row names, quotes around texts, NA, TRUE; spans are numbers of seconds."""
    words = {"gap": "NA", "true": "TRUE", "false": "FALSE", "span": "{seconds}"}
    texts = ("town", "code", "label", "clock")
    lines = [",".join(f'"{name}"' for name in ("", *NAMES))]
    for number, row in enumerate(rows, start=1):
        cells = [f'"{row[n]}"' if n in texts and row[n] is not None else _text(row[n], **words) for n in NAMES]
        lines.append(",".join([f'"{number}"', *cells]))
    (path / "rows.csv").write_text("\n".join(lines) + "\n")
    return path / "rows.csv"


def r_table(rows: Rows, path: Path) -> Path:
    """Write as write.table does: a header with one cell fewer than the lines, blanks between cells."""
    words = {"gap": "NA", "true": "TRUE", "false": "FALSE", "span": "{seconds}"}
    lines = [" ".join(f'"{name}"' for name in NAMES)]
    for number, row in enumerate(rows, start=1):
        cells = [_text(row[name], **words) for name in NAMES]
        quoted = [
            f'"{c}"' if n not in ("id", "amount", "count", "price", "span", "flag") and c != "NA" else c
            for n, c in zip(NAMES, cells, strict=True)
        ]
        lines.append(" ".join([f'"{number}"', *quoted]))
    (path / "rows.txt").write_text("\n".join(lines) + "\n")
    return path / "rows.txt"


def _german(number: Any, digits: int) -> str:
    return f"{number:,.{digits}f}".replace(",", " ").replace(".", ",").replace(" ", ".")


def excel_csv(rows: Rows, path: Path) -> Path:
    """Write as Excel saves a CSV where commas are decimal marks, and people formatted the cells."""
    words = {"day": "%d.%m.%Y", "moment": "%d.%m.%Y %H:%M:%S", "true": "TRUE", "false": "FALSE"}

    def cell(name: str, value: Any) -> str:
        if value is None:
            return ""
        if name == "amount":
            return _german(value, 2) + " €"
        if name == "price":
            return _german(value, 2)
        if name == "span":
            seconds = int(value.total_seconds())
            return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        return _text(value, **words)

    text = _lines(
        NAMES, ([cell(name, row[name]) for name in NAMES] for row in rows), delimiter=";", lineterminator="\r\n"
    )
    (path / "rows.csv").write_bytes(b"\xef\xbb\xbf" + b"sep=;\r\n" + text.encode())
    return path / "rows.csv"


# --- databases


def sqlite_table(rows: Rows, path: Path) -> str:
    """Make a database file with a table ``t``; return its address."""
    address = f"sqlite:///{path / 'rows.db'}"
    columns = (
        "id INTEGER, amount REAL, count INTEGER, price DECIMAL(10,2), town TEXT, flag BOOLEAN, day DATE, "
        "seen DATETIME, span INTEGER, clock TIME, code TEXT, label TEXT"
    )
    engine = sa.create_engine(address)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE t ({columns})")
        cells = [
            tuple(
                int(value)
                if isinstance(value, bool)
                else float(value)
                if isinstance(value, Decimal)
                else int(value.total_seconds())
                if isinstance(value, timedelta)
                else str(value)
                if isinstance(value, date | time)
                else value
                for value in (row[name] for name in NAMES)
            )
            for row in rows
        ]
        connection.exec_driver_sql(f"INSERT INTO t VALUES ({', '.join('?' * len(NAMES))})", cells)
    engine.dispose()
    return address


def postgres_table(rows: Rows, address: str) -> None:
    """Make a table ``t``."""
    columns = (
        "id numeric(20,0), amount float8, count smallint, price numeric(10,2), town text, flag boolean, day date, "
        "seen timestamptz, span interval, clock time, code varchar(3), label text"
    )
    engine = sa.create_engine(address)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS t; CREATE TABLE t ({columns}); SET timezone = 'UTC'")
        cells = [tuple(row[name] for name in NAMES) for row in rows]
        connection.exec_driver_sql(f"INSERT INTO t VALUES ({', '.join(['%s'] * len(NAMES))})", cells)
    engine.dispose()


def postgres_copy(address: str, path: Path, options: str) -> Path:
    """Export the table ``t`` as psql's ``\\copy`` does."""
    import psycopg

    query = f"COPY (SELECT * FROM t ORDER BY id) TO STDOUT ({options})"
    with psycopg.connect(address.replace("+psycopg", "")) as connection, connection.cursor().copy(query) as copy:
        (path / "rows.csv").write_bytes(b"".join(bytes(part) for part in copy))
    return path / "rows.csv"


FILES: dict[str, Callable[[Rows, Path], Path]] = {
    "pyarrow": pyarrow_parquet,
    "polars": polars_parquet,
    **{f"parquet in {unit}": units_parquet(unit) for unit in ("s", "ms", "us", "ns")},
    "spark": spark_folder,
    "spark csv": spark_csv,
    "snowflake": snowflake_parquet,
    "pandas parquet": pandas_parquet,
    "pandas nullable": pandas_nullable_parquet,
    "pandas csv": pandas_csv,
    "pandas json": pandas_json,
    "duckdb parquet": duckdb_file("parquet"),
    "duckdb csv": duckdb_file("csv"),
    "duckdb json": duckdb_file("jsonl"),
    "csv": plain_csv,
    "decomposed csv": decomposed_csv,
    "bigquery": bigquery_json,
    "r csv": r_csv,
    "r table": r_table,
}
"""Writers of files whose plain numbers are plain; see :func:`excel_csv` for those that are not."""
