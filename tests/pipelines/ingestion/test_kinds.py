# ruff: noqa: DTZ001 - moments without a zone are those of UTC
"""Columns of every type, alone and beside a file in which they have another one: each cell as it was written."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines.holdout import canonical_value
from pipelines.inference.recipe.number_parsing import SpanText
from pipelines.ingestion.files.kinds import common, of_arrow, of_duckdb
from pipelines.ingestion.files.read import Source, arrow_select, connect, load, stored
from pipelines.ingestion.keys import declared_keys
from pipelines.ingestion.spec import Files

pytestmark = pytest.mark.slow

Load = Callable[..., tuple[Source, pa.Array]]
WHOLES = {
    f"{sign}int{bits}": (0 if sign else -(2 ** (bits - 1)), 2 ** (bits - (not sign)) - 1)
    for sign in ("", "u")
    for bits in (8, 16, 32, 64)
}
DECIMALS = ((9, 2), (18, 0), (20, 2), (38, 0), (38, 10), (60, 0), (76, 20))
MOMENTS = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)).map(lambda moment: moment.replace(microsecond=0))
ANY_MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda moment: moment.replace(microsecond=0))
UNITS = ("s", "ms", "us", "ns")


def _decimal(precision: int, scale: int) -> tuple[pa.DataType, st.SearchStrategy[Any]]:
    kind = pa.decimal128 if precision <= 38 else pa.decimal256
    digits = st.integers(-(10**precision) + 1, 10**precision - 1)
    return kind(precision, scale), digits.map(
        lambda number: Decimal(number).scaleb(-scale) if precision <= 28 else Decimal(f"{number}E-{scale}")
    )


def _moment(unit: str, zone: str | None) -> tuple[pa.DataType, st.SearchStrategy[Any]]:
    cells = MOMENTS if unit == "ns" else ANY_MOMENTS
    return pa.timestamp(unit, zone), cells.map(lambda moment: moment.replace(tzinfo=UTC)) if zone else cells


KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    **{name: (getattr(pa, name)(), st.integers(*ends)) for name, ends in WHOLES.items()},
    **{f"decimal({p},{s})": _decimal(p, s) for p, s in DECIMALS},
    "float": (pa.float64(), st.floats(allow_infinity=False, allow_nan=False) | st.integers(-(2**60), 2**60).map(float)),
    "single": (pa.float32(), st.integers(-(2**20), 2**20).map(lambda number: number / 4)),
    "half": (pa.float16(), st.integers(-(2**8), 2**8).map(lambda number: number / 4)),
    "bool": (pa.bool_(), st.booleans()),
    "text": (pa.string(), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)),
    "codes": (pa.large_string(), st.from_regex(r"0[0-9]{1,6}|[0-9]{1,30}", fullmatch=True)),
    "dictionary": (pa.dictionary(pa.uint32(), pa.large_string()), st.sampled_from(["a", "b", "é"])),
    "view": (pa.string_view(), st.sampled_from(["a", "a long text that lies elsewhere"])),
    "untyped text": (pa.binary(), st.text("aé9 ", max_size=5).map(str.encode)),
    "day": (pa.date32(), st.dates(date(1, 1, 2), date(9999, 12, 30))),
    "day in ms": (pa.date64(), st.dates(date(1, 1, 2), date(9999, 12, 30))),
    **{f"moment {unit} {zone}": _moment(unit, zone) for unit in UNITS for zone in (None, "UTC", "Asia/Tokyo")},
    **{
        f"span {unit}": (pa.duration(unit), st.integers(-(10**7), 10**7).map(lambda number: timedelta(seconds=number)))
        for unit in UNITS
    },
    "clock s": (pa.time32("s"), st.times().map(lambda clock: clock.replace(microsecond=0))),
    "clock ms": (pa.time32("ms"), st.times().map(lambda clock: clock.replace(microsecond=1000))),
    "clock us": (pa.time64("us"), st.times()),
    "clock ns": (pa.time64("ns"), st.times()),
    "uuid": (pa.uuid(), st.uuids()),
    "json": (pa.json_(pa.string()), st.sampled_from(['{"a":1}', "[1,2]"])),
    "list": (pa.large_list(pa.int64()), st.lists(st.integers(-9, 9), max_size=3)),
    "struct": (
        pa.struct([("a", pa.int64()), ("b", pa.string())]),
        st.fixed_dictionaries({"a": st.integers(-9, 9), "b": st.just("x")}),
    ),
    "nothing": (pa.null(), st.none()),
}
"""Arrow type of each kind of column, and its cells."""


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    folder = tmp_path_factory.mktemp("kinds")
    connection = connect(folder / "work")

    def build(*columns: pa.Array, **options: Any) -> tuple[Source, pa.Array]:
        files = [folder / f"{index}.parquet" for index in range(len(columns))]
        for file, column in zip(files, columns, strict=True):
            pq.write_table(pa.table({"a": column}), file, **options)
        source = load(connection, files, Files(path=str(folder)))
        select, kinds = arrow_select(source)
        table = connection.sql(f"SELECT {select} FROM {source.table}").to_arrow_table()
        return source, stored(table.column(0).combine_chunks(), kinds[0])

    yield build
    connection.close()


def column(kind: str, cells: Sequence[Any]) -> pa.Array:
    given, _ = KINDS[kind]
    if isinstance(given, pa.UuidType):
        return pa.array([None if cell is None else cell.bytes for cell in cells], given)
    if pa.types.is_float16(given):
        return pa.array([None if cell is None else np.float16(cell) for cell in cells], given)
    return pa.array(cells, given)


def meant(cell: Any, kind: str) -> Any:
    """Return what a cell that was read means, whatever the type in which it came."""
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return None
    family = kind.split(" ")[0].split("(")[0].lstrip("u")
    if family in ("int8", "int16", "int32", "int64", "decimal"):
        return Decimal(str(cell))
    if family in ("float", "single", "half"):
        return float(cell)
    if family in ("moment", "day"):
        found = datetime.fromisoformat(cell) if isinstance(cell, str) else cell
        found = found if isinstance(found, datetime) else datetime.combine(found, time())
        return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)
    if family in ("span", "clock"):
        if isinstance(cell, str):
            return SpanText().read(cell)
        if isinstance(cell, timedelta):
            return cell.total_seconds()
        return cell.hour * 3600 + cell.minute * 60 + cell.second + cell.microsecond / 1e6
    if family == "bool":
        return str(cell).lower()
    if family in ("list", "struct", "json"):
        return json.loads(cell) if isinstance(cell, str) else cell
    if isinstance(cell, bytes):
        return cell.decode()
    return str(cell)


@pytest.mark.parametrize("kind", KINDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
@given(data=st.data())
def test_alone(read: Load, kind: str, data: st.DataObject) -> None:
    cells = data.draw(st.lists(st.none() | KINDS[kind][1], min_size=1, max_size=6))
    source, found = read(column(kind, cells))
    assert (source.rows, source.rejected) == (len(cells), 0)
    assert [meant(cell, kind) for cell in found.to_pylist()] == [meant(cell, kind) for cell in cells]
    assert declared_keys([found]).to_pylist() == [canonical_value(cell) for cell in found.to_pylist()]
    if kind.startswith(("int", "uint", "decimal", "text", "codes", "uuid")):
        assert declared_keys([found]).to_pylist() == [canonical_value(cell) for cell in cells]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=250)
@given(first=st.sampled_from(sorted(KINDS)), second=st.sampled_from(sorted(KINDS)), data=st.data())
def test_beside_a_file_of_another_type(read: Load, first: str, second: str, data: st.DataObject) -> None:
    kinds = (first, second)
    cells = [data.draw(st.lists(st.none() | KINDS[kind][1], min_size=1, max_size=4)) for kind in kinds]
    source, found = read(*(column(kind, part) for kind, part in zip(kinds, cells, strict=True)))
    assert source.rows == len(cells[0]) + len(cells[1])
    expected = [meant(cell, kind) for kind, part in zip(kinds, cells, strict=True) for cell in part]
    of = [kind for kind, part in zip(kinds, cells, strict=True) for _ in part]
    assert [meant(cell, kind) for cell, kind in zip(found.to_pylist(), of, strict=True)] == expected


@pytest.mark.parametrize(
    ("first", "second", "cells"),
    [
        ("single", "float", ([0.5], [16_777_217.0, 0.1])),
        ("int8", "uint8", ([-1], [200])),
        ("int16", "uint16", ([-1], [65_535])),
        ("int32", "uint32", ([-1], [2**32 - 1])),
        ("int64", "uint64", ([-1], [2**64 - 1])),
        ("day", "moment us None", ([date(2026, 1, 1)], [datetime(2026, 1, 2, 3, 4, 5)])),
        ("moment ns None", "moment us None", ([datetime(2026, 1, 2)], [datetime(9999, 1, 1)])),
        ("moment ns UTC", "day", ([datetime(2026, 1, 2, tzinfo=UTC)], [date(9999, 1, 1)])),
        ("float", "int64", ([1.0, None], [2**62 + 1])),
        ("float", "int64", ([1.5, None], [2**62 + 1])),
        ("decimal(38,0)", "decimal(20,2)", ([Decimal("9" * 38)], [Decimal("0.01")])),
        ("uuid", "json", ([uuid.UUID(int=5)], ['{"a":1}'])),
        ("untyped text", "text", (["é".encode()], ["x"])),
    ],
)
def test_the_type_of_the_first_file_is_not_that_of_all(
    read: Load, first: str, second: str, cells: tuple[list[Any], list[Any]]
) -> None:
    for kinds, parts in (((first, second), cells), ((second, first), cells[::-1])):
        _, found = read(*(column(kind, part) for kind, part in zip(kinds, parts, strict=True)))
        of = [kind for kind, part in zip(kinds, parts, strict=True) for _ in part]
        given_cells = [cell for part in parts for cell in part]
        assert list(map(meant, found.to_pylist(), of)) == list(map(meant, given_cells, of))


def test_nested_columns_that_gain_a_field_keep_it(read: Load) -> None:
    _, found = read(pa.array([{"a": 1}]), pa.array([{"a": 2.5, "b": "x"}]))
    assert found.to_pylist() == ['{"a":1}', '{"a":2.5,"b":"x"}']


def test_bytes_that_are_no_text_stay_bytes(read: Load) -> None:
    for cells in ([b"\xff\x00", None], [b"\x00", b"\x01"]):
        source, found = read(pa.array(cells, pa.binary()))
        assert (found.to_pylist(), source.notices) == (cells, [])
    source, found = read(pa.array([b"ab", None, "é".encode()], pa.binary()), store_schema=False)
    assert found.to_pylist() == ["ab", None, "é"]
    assert "texts in UTF-8" in source.notices[0]


POLARS = (
    "UEFSMRUAFUwVNiwVBBUAFQYVBhw2AAAAACi1L/0gJpUAAFACAAAABAEBAP9/AgBAFjLgAhUOGSUABhkYBGkxMjgVDBYEFnYWYCYI"
    "PDYAAAAVBBUgFTJMFQQVAAAAKLUv/SAQgQAAAQAAAAAAAAACAAAAAAAAABUAFRIVJCwVBBUQFQYVBhw2ACgIAgAAAAAAAAAYCAEA"
    "AAAAAAAAAAAAKLUv/SAJSQAAAgAAAAQBAQMCFQQZNQAGEBkYAWEVDBYEFp4BFsIBJuwBJqABHDYAKAgCAAAAAAAAABgIAQAAAAAA"
    "AAAAABkRAhkYCAEAAAAAAAAAGRgIAgAAAAAAAAAVABkWAAAZHBYIFWAWAAAAGRwW7AEVdhYAAAAVAhk8SARyb290FQQAFQ4VIBUC"
    "GARpMTI4ABUEJQIYAWEAFgQZHBksJmgcFQ4ZJQAGGRgEaTEyOBUMFgQWdhZgJgg8NgAAABaIBBUUACauAxwVBBk1AAYQGRgBYRUM"
    "FgQWngEWwgEm7AEmoAEcNgAoCAIAAAAAAAAAGAgBAAAAAAAAAAAAFpwEFRYWygMVPgAWlAIWBCYIFqICFAAAGRwYDEFSUk9XOnNj"
    "aGVtYRjsAS8vLy8vNmtBQUFBRUFBQUE4di8vL3hRQUFBQUVBQUVBQUFBS0FBc0FDQUFLQUFRQStQLy8vd3dBQUFBSUFBZ0FBQUFF"
    "QUFJQUFBQTBBQUFBQkFBQUFNRC8vLzhnQUFBQUVBQUFBQWdBQUFBQkFnQUFBQUFBQUxqLy8vOUFBQUFBQVFBQUFBRUFBQUJoQUFB"
    "QTdQLy8vemdBQUFBZ0FBQUFHQUFBQUFFQ0FBQVFBQklBQkFBUUFCRUFDQUFBQUF3QUFBQUFBUFQvLy8rQUFBQUFBUUFBQUFnQUNR"
    "QUVBQWdBQkFBQUFHa3hNamdBABhOUG9sYXJzIChweXRob24pIHZlcnNpb24gMi4xLjAgKGJ1aWxkIDdmOTAyYmQzZmZkMjdmZjgy"
    "ZDE0Mjc4YTA5YTI5NWZmMmY3YWVkOTIpGSwcAAAcAAAA9gEAAFBBUjE="
)
"""A file of Polars 2.1: ``i128`` holds 1 and the largest whole number of 128 bits, ``a`` holds 1 and 2."""


def test_whole_numbers_of_128_bits_as_polars_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    file.write_bytes(base64.b64decode(POLARS))
    with pytest.raises(pa.ArrowException):
        pq.read_schema(file)
    connection = connect(tmp_path / "work")
    source = load(connection, [file], Files(path=str(file)))
    assert connection.execute("SELECT * FROM source").fetchall() == [("1", 1), (str(2**127 - 1), 2)]
    cells = connection.sql("SELECT c0 FROM source").to_arrow_table().column(0).combine_chunks()
    assert declared_keys([cells]).to_pylist() == ["1", str(2**127 - 1)]
    assert source.columns == ["i128", "a"]
    connection.close()


@pytest.mark.parametrize("end", ["-170141183460469231731687303715884105728", "170141183460469231731687303715884105727"])
def test_whole_numbers_of_128_bits_keep_their_digits(tmp_path: Path, end: str) -> None:
    from pipelines.ingestion.files import formats, parquet_files

    cells = [int(end), 0, -1, 2**64, None]
    raw = [None if cell is None else cell.to_bytes(16, "little", signed=True) for cell in cells]
    pq.write_table(
        pa.table({"id": pa.array(raw, pa.binary(16)), "x": [1, 2, 3, 4, 5]}), tmp_path / "a.parquet", store_schema=False
    )
    connection = connect(tmp_path / "work")
    # Arrow cannot open what Polars writes
    way = parquet_files._parquet_of_duckdb(connection, tmp_path / "a.parquet", ())
    select = formats.select([tmp_path / "a.parquet"], way, ["x", "id"], {}, {})
    found = connection.execute(f"SELECT c1 FROM ({select}) ORDER BY c0").fetchall()
    connection.close()
    assert [cell for (cell,) in found] == [None if cell is None else str(cell) for cell in cells]


@given(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4))
@example(["int64", "uint64"])
@example(["single", "float"])
def test_the_common_type_is_one_whatever_the_order(names: list[str]) -> None:
    kinds = [of_arrow(KINDS[name][0]) for name in names]
    found = common(kinds)
    assert found == common(kinds[::-1]) == common([*kinds, *kinds])
    assert not found.mixed or found.cast == "VARCHAR"


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("HUGEINT", "whole"),
        ("UBIGINT", "whole"),
        ("DECIMAL(38,0)", "decimal"),
        ("INTEGER[]", "nested"),
        ("STRUCT(a INTEGER)", "nested"),
        ("MAP(VARCHAR, INTEGER)", "nested"),
        ("TIMESTAMP WITH TIME ZONE", "moment"),
        ("TIMESTAMP_NS", "moment"),
        ("DATE", "moment"),
        ("TIME", "clock"),
        ("TIME WITH TIME ZONE", "clock"),
        ("INTERVAL", "span"),
        ("BLOB", "bytes"),
        ("UUID", "text"),
        ("BIT", "text"),
        ("VARCHAR", "text"),
        ("DOUBLE", "float"),
        ('"NULL"', "null"),
        ("BOOLEAN", "bool"),
    ],
)
def test_types_of_duckdb(kind: str, family: str) -> None:
    assert of_duckdb(kind).family == family
