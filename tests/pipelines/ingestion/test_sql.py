"""Tables from a real PostgreSQL and from SQLite: types, batches, watermarks, and errors that show no password."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from postgres import postgres

from pipelines.errors import AimassError, DataError, SpecError
from pipelines.holdout import MISSING
from pipelines.inference.recipe.arrays import one_array
from pipelines.ingestion.database import sql
from pipelines.ingestion.database.sql import fetch
from pipelines.ingestion.files.read import connect, load
from pipelines.ingestion.files.sources import SourceAwayError
from pipelines.ingestion.keys import declared_keys
from pipelines.ingestion.spec import Files, Join, Sql

SECRET = "canary+pass/word"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as address:
        yield address


@pytest.fixture
def database(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    engine = sa.create_engine(server, poolclass=sa.pool.NullPool)
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", server.replace("+psycopg", ""))
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    yield engine
    engine.dispose()


def run(engine: sa.Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def read(found: sql.Fetched) -> pa.Table:
    return pa.concat_tables([pq.read_table(file) for file in found.files], promote_options="permissive")


TYPES = """SELECT 1::int AS i, 2::bigint AS big, 1.5::float8 AS f, 2.25::numeric(8,2) AS amount, true AS b,
 'é%:x'::text AS t,
 '2026-01-02'::date AS d, '2026-01-02 03:04:05'::timestamp AS naive, '2026-01-02 03:04:05+02'::timestamptz AS zoned,
 '{"k": [1]}'::jsonb AS doc, '\\x0aff'::bytea AS bin, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS id,
 ARRAY[1,2] AS many, NULL::int AS nothing"""


def test_types_are_kept(database: sa.Engine, tmp_path: Path) -> None:
    table = read(fetch(Sql(query=TYPES + ";", connection="lake"), tmp_path))
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds == {
        "i": "int64",
        "big": "int64",
        "f": "double",
        "amount": "decimal128(8, 2)",
        "b": "bool",
        "t": "string",
        "d": "date32[day]",
        "naive": "timestamp[us]",
        "zoned": "timestamp[us, tz=UTC]",
        "doc": "string",
        "bin": "string",
        "id": "string",
        "many": "string",
        "nothing": "null",
    }
    row = table.to_pylist()[0]
    assert (row["amount"], row["t"], row["doc"], row["bin"], row["many"]) == (
        Decimal("2.25"),
        "é%:x",
        '{"k": [1]}',
        "0aff",
        "[1, 2]",
    )
    assert row["zoned"].isoformat() == "2026-01-02T01:04:05+00:00"


def test_many_rows_come_in_batches(database: sa.Engine, tmp_path: Path) -> None:
    query = "SELECT n, CASE WHEN n > 2500 THEN n / 2.0 END AS late, n % 7 AS x FROM generate_series(1, 5000) AS n"
    found = fetch(Sql(query=query, connection="lake"), tmp_path, batch=1_000)
    table = read(found)
    assert found.rows == table.num_rows == 5_000
    assert table["n"].to_pylist() == list(range(1, 5_001))
    assert table["late"].null_count == 2_500
    assert pq.ParquetFile(found.files[0]).num_row_groups > 1


def test_a_night_takes_rows_beyond_the_watermark(take_in: Any, make_night: Any, database: sa.Engine) -> None:
    run(
        database,
        "CREATE TABLE loans (id int, label text, changed timestamptz)",
        "INSERT INTO loans VALUES (1,'yes','2026-01-01 10:00Z'), (2,NULL,'2026-01-01 11:00Z')",
    )
    source = Sql(query="SELECT * FROM loans ORDER BY changed, id", connection="lake", since="changed")
    night = {"key": ("id",), "name": "loans"}
    first = take_in(make_night("n1", "2026-01-02T02:00:00", **night), source=source)
    assert (first.rows("id", "label"), first.report["increments"]) == ([(1, "yes"), (2, None)], {"read": 1, "known": 1})
    run(
        database,
        "INSERT INTO loans VALUES (3,'no','2026-01-02 09:00Z')",
        "UPDATE loans SET label = 'no', changed = '2026-01-02 10:00Z' WHERE id = 2",
    )
    second = take_in(make_night("n2", "2026-01-03T02:00:00", **night), source=source)
    assert second.rows("id", "label") == [(1, "yes"), (2, None), (3, "no"), (2, "no")]
    assert second.report["increments"] == {"read": 1, "known": 2}
    third = take_in(make_night("n3", "2026-01-04T02:00:00", **night), source=source)
    assert third.report["increments"] == {"read": 0, "known": 2}
    assert third.raw.equals(second.raw)
    run(database, "DROP TABLE loans")
    past = take_in(make_night("n4", "2026-01-02T02:00:00", **night), source=source)
    assert past.raw.equals(first.raw)
    with pytest.raises(DataError, match="does not give"):
        take_in(make_night("n5", "2026-01-05T02:00:00", **night), source=source)


def test_rows_that_share_the_watermark_are_neither_lost_nor_doubled(
    take_in: Any, make_night: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/days.db")
    monkeypatch.setenv("days", f"sqlite:///{tmp_path}/days.db")
    run(
        engine,
        "CREATE TABLE t (id INTEGER, x, label TEXT, day TEXT)",
        "INSERT INTO t VALUES (1,1,'yes','2026-01-01'), (2,2,'no','2026-01-02'), (2,2,'no','2026-01-02')",
    )
    source = Sql(query="SELECT * FROM t -- every day", connection="days", since="day")
    known: list[Any] = []
    for number, (statement, read) in enumerate(
        (
            ("SELECT 1", 1),
            ("SELECT 1", 0),
            ("INSERT INTO t VALUES (3,1.5,'no','2026-01-02'), (2,2,'no','2026-01-02')", 1),
            ("INSERT INTO t VALUES (4,NULL,'yes','2026-01-03')", 1),
            ("UPDATE t SET label = 'no' WHERE id = 4", 1),
        ),
        start=2,
    ):
        run(engine, statement)
        found = take_in(make_night(f"n{number}", f"2026-01-{number:02}T02:00:00", key=("id",)), source=source)
        assert found.report["increments"]["read"] == read
        known.append(found.rows("id", "label"))
    assert known[0] == known[1] == [(1, "yes"), (2, "no"), (2, "no")]
    assert known[2] == [*known[0], (3, "no"), (2, "no")]
    assert known[4] == [*known[2], (4, "yes"), (4, "no")]
    engine.dispose()


def test_without_a_watermark_the_whole_table_is_read_and_kept_once(
    take_in: Any, make_night: Any, database: sa.Engine
) -> None:
    run(database, "CREATE TABLE t (id int, label text)", "INSERT INTO t VALUES (1,'yes'), (2,'no')")
    source = Sql(query="SELECT * FROM t ORDER BY id", connection="lake")
    first = take_in(make_night("n1", "2026-01-02T02:00:00", key=("id",)), source=source)
    same = take_in(make_night("n2", "2026-01-03T02:00:00", key=("id",)), source=source)
    assert (first.report["increments"], same.report["increments"]) == ({"read": 1, "known": 1}, {"read": 0, "known": 1})
    run(database, "DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (3,'no')")
    last = take_in(make_night("n3", "2026-01-04T02:00:00", key=("id",)), source=source)
    assert last.rows("id") == [(2,), (3,)]
    assert take_in(make_night("n4", "2026-01-02T02:00:00", key=("id",)), source=source).rows("id") == [(1,), (2,)]


def test_a_joined_table_from_a_database_is_the_newest_of_each_row(
    take_in: Any, make_night: Any, database: sa.Engine, tmp_path: Path
) -> None:
    run(database, "CREATE TABLE c (id int, town text, v int)", "INSERT INTO c VALUES (1,'Bern',1), (2,'Lyon',2)")
    (tmp_path / "a.csv").write_text("customer,label\n1,yes\n2,no\n3,no\n")
    source = Sql(query="SELECT * FROM c", connection="lake", since="v")
    join = Join(name="customers", source=source, on={"customer": "id"}, columns=["town"])
    take_in(make_night("n1", "2026-01-02T02:00:00"), source=str(tmp_path / "a.csv"), joins=(join,))
    run(database, "UPDATE c SET town = 'Basel', v = 3 WHERE id = 1")
    found = take_in(make_night("n2", "2026-01-03T02:00:00"), source=str(tmp_path / "a.csv"), joins=(join,))
    assert found.rows("customer", "town") == [("1", "Basel"), ("2", "Lyon"), ("3", None)]
    assert found.enrichment.apply_row({"customer": "1.0"})["town"] == "Basel"


@pytest.mark.parametrize(
    ("query", "since", "error", "what"),
    [
        ("SELEC 1", None, SpecError, "not a SELECT"),
        ("DELETE FROM t", None, SpecError, "not a SELECT"),
        ("SELECT FROM WHERE", None, SpecError, "cannot be run"),
        ("SELECT * FROM vanished", None, DataError, "does not give"),
        ("SELECT gone FROM (SELECT 1 AS a) x", None, DataError, "does not give"),
        ("SELECT 1 AS a, 2 AS A", None, DataError, "doubled"),
        ("SELECT 1 AS a", "b", SpecError, "'since' names no column"),
        ("SELECT 1 AS a WHERE false", None, DataError, "no row"),
        ("WITH x AS (DELETE FROM kept RETURNING 1 AS a) SELECT * FROM x", None, DataError, "does not give"),
    ],
)
def test_bad_queries_are_typed(
    take_in: Any, make_night: Any, database: sa.Engine, query: str, since: str | None, error: type, what: str
) -> None:
    run(database, "CREATE TABLE kept (a int)", "INSERT INTO kept VALUES (1)")
    with pytest.raises(error, match=what) as caught:
        take_in(make_night(target="a", task="regression"), source=Sql(query=query, connection="lake", since=since))
    assert "lake" in caught.value.where
    with database.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM kept").scalar() == 1


def test_refused_and_absent_servers_never_show_the_password(
    database: sa.Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sql, "WAITS", (0.0,))
    source = Sql(query="SELECT 1 AS a", connection="secret_one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = database.url.query["host"]
    quoted = sa.engine.URL.create("postgresql", "me", SECRET, "127.0.0.1", port, "x").render_as_string(
        hide_password=False
    )
    tries: list[tuple[str, type[AimassError], str]] = [
        (quoted, SourceAwayError, "does not respond"),
        (f"postgresql://nobody:{sa.engine.url.quote_plus(SECRET)}@/postgres?host={folder}", SpecError, "refuses"),
        (f"nothing://me:{sa.engine.url.quote_plus(SECRET)}@h/x", SpecError, "no driver"),
        (f"sqlite:///{tmp_path}/absent.db", SpecError, "refuses"),
        ("no address at all", SpecError, "holds no address"),
        ("{not json", SpecError, "holds no address"),
    ]
    for address, error, what in tries:
        monkeypatch.setenv("SECRET_ONE", address)
        with pytest.raises(error, match=what) as caught:
            fetch(source, tmp_path / "rows")
        text = str(caught.value)
        assert "'secret_one'" in text
        assert SECRET not in text
        assert sa.engine.url.quote_plus(SECRET) not in text
        assert caught.value.__cause__ is None
    monkeypatch.delenv("SECRET_ONE")
    with pytest.raises(SpecError, match="not known"):
        fetch(source, tmp_path / "rows")


def test_a_server_that_breaks_off_leaves_nothing(
    take_in: Any, make_night: Any, database: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "BATCH", 10)
    query = (
        "SELECT n AS id, 'yes' AS label, CASE WHEN n = 500 THEN pg_terminate_backend(pg_backend_pid())::text END AS x "
        "FROM generate_series(1, 1000) AS n"
    )
    with pytest.raises(SourceAwayError, match="broke off"):
        take_in(make_night("n1", "2026-01-02T02:00:00"), source=Sql(query=query, connection="lake"))
    whole = query.replace("pg_terminate_backend(pg_backend_pid())::text", "'y'")
    assert (
        take_in(make_night("n2", "2026-01-02T02:00:00"), source=Sql(query=whole, connection="lake")).outcome.rows
        == 1_000
    )


@pytest.mark.parametrize("state", ["40001", "53300", "55P03"])
def test_conflicts_and_shortages_pass(database: sa.Engine, tmp_path: Path, state: str) -> None:
    run(
        database,
        "CREATE FUNCTION busy() RETURNS int LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'busy' USING ERRCODE = '{state}'; END $$",
    )
    with pytest.raises(SourceAwayError, match="broke off") as caught:
        fetch(Sql(query="SELECT busy() AS a", connection="lake"), tmp_path)
    assert "next attempt" in caught.value.cure


def test_sqlite_by_variable_and_json(
    take_in: Any, make_night: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/a b.db")
    run(
        engine,
        "CREATE TABLE t (id INTEGER, x REAL, note, label TEXT)",
        "INSERT INTO t VALUES (1, 1, 'a', 'yes'), (2, 2.5, 7, 'no'), (3, NULL, NULL, 'no')",
    )
    engine.dispose()
    source = Sql(query="SELECT * FROM t", connection="small")
    for name, text in (
        ("small", f"sqlite:///{tmp_path}/a b.db"),
        ("AIRFLOW_CONN_SMALL", f'{{"conn_type": "sqlite", "host": "{tmp_path}/a b.db"}}'),
        ("AIRFLOW_CONN_SMALL", "sqlite://" + str(tmp_path / "a b.db").replace("/", "%2F").replace(" ", "%20")),
    ):
        monkeypatch.setenv(name, text)
        found = take_in(make_night(key=("id",)), source=source)
        assert found.rows("id", "x", "note") == [(1, 1.0, "a"), (2, 2.5, "7"), (3, None, None)]


PLAIN = {
    "i2": "32767::smallint",
    "i8": "9223372036854775807::bigint",
    "n20": "18446744073709551615::numeric(20,0)",
    "n38": f"{10**38 - 1}::numeric(38,0)",
    "n60": f"{10**59 + 7}::numeric",
    "fraction": "0.1000000000000000000001::numeric",
    "cents": "12345.60::numeric(10,2)",
    "f4": "0.1::real",
    "f8": "0.1::float8",
    "text": "'é%:x'::text",
    "char": "'ab'::char(5)",
    "day": "'2026-01-02'::date",
    "clock": "'07:45:01.5'::time",
    "midnight": "'24:00:00'::time",
    "zoned": "'07:45+02'::timetz",
    "span": "'1 year 2 mons 3 days 04:05:06'::interval",
    "back": "'-1 day -02:03:04'::interval",
    "uuid": "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
    "json": """'{"k": [1, 2]}'::json""",
    "net": "'10.0.0.1/24'::inet",
    "money": "'12.34'::money",
    "bits": "B'101'",
    "oid": "42::oid",
    "range": "'[1,5)'::int4range",
    "days": "'[2026-01-01,2026-01-02)'::daterange",
    "ranges": "'{[1,2),[3,4)}'::int4multirange",
    "infinite": "'infinity'::date",
    "nan": "'NaN'::numeric(10,2)",
}
"""What PostgreSQL's driver and its own export write alike."""


def test_a_table_and_its_export_are_the_same_rows(database: sa.Engine, tmp_path: Path) -> None:
    cells = ", ".join(f"CASE WHEN n <> 2 THEN {value} END AS {name}" for name, value in PLAIN.items())
    query = f"SELECT {cells} FROM generate_series(1, 3) AS rows(n) ORDER BY n"
    table = read(fetch(Sql(query=query, connection="lake"), tmp_path / "sql"))
    address = database.url.render_as_string(hide_password=False).replace("+psycopg", "")
    with (
        psycopg.connect(address) as connection,
        connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)") as copy,
    ):
        (tmp_path / "rows.csv").write_bytes(b"".join(bytes(part) for part in copy))
    connection = connect(tmp_path / "work")
    source = load(connection, [tmp_path / "rows.csv"], Files(path=str(tmp_path)))
    assert source.rows == table.num_rows == 3
    export = connection.sql("SELECT * FROM source").to_arrow_table()
    connection.close()
    for index, name in enumerate(PLAIN):
        texts = [declared_keys([one_array(column)]).to_pylist() for column in (table[name], export.column(index))]
        assert texts[0] == texts[1], name
        assert texts[0][0] == texts[0][2] != MISSING


def test_arrays_of_any_type_are_nested_values(database: sa.Engine, tmp_path: Path) -> None:
    query = (
        "SELECT ARRAY['2026-01-02'::date] AS d, ARRAY[1.50::numeric] AS n, ARRAY['2026-01-02'::timestamptz] AS t, "
        "ARRAY['1 day'::interval] AS s"
    )
    (row,) = read(fetch(Sql(query=query, connection="lake"), tmp_path)).to_pylist()
    assert [json.loads(row[name]) for name in "dn"] == [["2026-01-02"], ["1.50"]]
    assert all(isinstance(json.loads(row[name]), list) for name in "ts")
