"""Files of one table: names that differ in writing, columns that some lack, days without rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import DataError
from pipelines.ingestion.files.read import Source, connect, load
from pipelines.ingestion.spec import Files


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Any]:
    connection = connect(tmp_path / "work")

    def build(*files: tuple[str, bytes], **options: Any) -> tuple[Source, list[tuple[Any, ...]]]:
        paths = []
        for name, content in files:
            paths.append(tmp_path / name)
            paths[-1].write_bytes(content)
        source = load(connection, paths, Files(path=str(tmp_path)), **options)
        return source, connection.execute(f"SELECT * FROM {source.table}").fetchall()

    yield build
    connection.close()


def parquet(folder: Path, table: pa.Table) -> bytes:
    pq.write_table(table, folder / "made.parquet")
    return (folder / "made.parquet").read_bytes()


def test_names_that_differ_in_case_between_files_are_one(read: Any) -> None:
    source, rows = read(("a.csv", b"id,Age\n1,2\n"), ("b.csv", b"ID,age\n3,4\n"), ("c.csv", b" id ,AGE\n5,6\n"))
    assert (source.columns, rows) == (["id", "Age"], [("1", "2"), ("3", "4"), ("5", "6")])
    assert source.notices == [
        "column 'ID' of b.csv is taken for 'id'",
        "column 'age' of b.csv is taken for 'Age'",
        "column 'AGE' of c.csv is taken for 'Age'",
    ]
    source, _ = read(("a.csv", b"id,Age\n1,2\n"), ("b.csv", b"id,age\n3,4\n"), wanted=["age"])
    assert source.columns == ["id", "age"]


def test_names_that_differ_in_case_in_one_file_are_two(read: Any, tmp_path: Path) -> None:
    table = pa.table({"Age": [1], "age": [2], "_key": [3]})
    files = [
        ("a.csv", b"Age,age,_key\n1,2,3\n"),
        ("b.parquet", parquet(tmp_path, table)),
        ("c.jsonl", b'{"Age":1,"age":2,"_key":3}\n'),
    ]
    for order in (files, files[::-1], [files[1]], [files[2]]):
        source, rows = read(*order)
        assert source.columns == ["Age", "age", "_key_"]
        assert [tuple(map(int, row)) for row in rows] == [(1, 2, 3)] * len(order)
        assert sum("'_key' is read as '_key_'" in notice for notice in source.notices) == len(order)
    source, rows = read(files[0], ("d.csv", b"age\n7\n"))
    assert rows[-1] == (None, "7", None)


@pytest.mark.parametrize("key", ["", "a.b", 'a"b', "a/b", "a~b", "$", "Ä", "a\nb", "c0", "j", "line"])
def test_any_key_of_an_object_is_a_column(read: Any, key: str) -> None:
    rows = [{key: 1, "Key": "x", "key": 2.5}, {key: 2, "Key": None, "key": 3.5}]
    source, found = read(("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode()))
    assert source.columns == [key or "column_1", "Key", "key"]
    assert found == [(1, "x", 2.5), (2, None, 3.5)]


def test_two_columns_of_one_name_are_two(read: Any, tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], ["a", "b", "a"])
    for file in (("a.csv", b"a,b,a\n1,2,3\n"), ("b.parquet", parquet(tmp_path, table))):
        source, rows = read(file)
        assert (source.columns, [tuple(map(int, row)) for row in rows]) == (["a", "b", "a.1"], [(1, 2, 3)])
        with pytest.raises(DataError, match="doubled"):
            read(file, wanted=["a"])


def test_an_index_that_pandas_wrote_is_no_column(read: Any, tmp_path: Path) -> None:
    frame = pa.table({"x": [1.5, 2.5], "__index_level_0__": pa.array([7, 3])})
    assert read(("a.parquet", parquet(tmp_path, frame)))[0].columns == ["x"]
    named = frame.set_column(1, "__index_level_0__", pa.array(["r1", "r2"]))
    assert read(("a.parquet", parquet(tmp_path, named)))[0].columns == ["x", "__index_level_0__"]


def test_how_many_files_lack_a_column(read: Any) -> None:
    files = [(f"{n}.csv", b"id,x\n1,2\n") for n in range(5)]
    source, rows = read(*files, ("5.csv", b"id,coupon\n1,c\n"), ("6.csv", b""), ("7.csv", b"id\n"))
    assert len(rows) == 6
    assert (source.lacking, source.full) == ({"x": 1, "coupon": 5}, 6)
    assert source.notices == [
        "6.csv, 7.csv: no row",
        "5.csv lacks 'x'; missing there",
        "'coupon': in 1 of 6 files only (5.csv); missing elsewhere",
    ]


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\r\n", b"\xef\xbb\xbf", b"id,x\n"])
@pytest.mark.parametrize("name", ["b.csv", "b.jsonl", "b.txt"])
def test_a_file_without_a_row_is_a_day_without_rows(read: Any, name: str, content: bytes) -> None:
    if name == "b.jsonl" and content.startswith(b"id"):
        return
    source, rows = read(("a.csv", b"id,x\n1,2\n"), (name, content), ("c.csv", b"x,id\n4,3\n"))
    assert rows == [("1", "2"), ("3", "4")]
    assert source.notices == [f"{name}: no row"]
    with pytest.raises(DataError, match=r"empty|no row"):
        read((name, content))
    alone, rows = read((name, content), judge=False)
    assert (alone.rows, rows) == (0, [])


def test_json_lines_with_two_kinds_of_line_ends(read: Any) -> None:
    _, rows = read(("a.jsonl", b'{"a":1}\r\n{"a":2}\n{"a":3}\r\n'), ("b.jsonl", b'{"a":4}\n'))
    assert rows == [(1,), (2,), (3,), (4,)]
