"""Every value arrives as it was received, however the file is written."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import DataError, SpecError
from pipelines.ingestion.files import rejects
from pipelines.ingestion.files.read import Source, arrow_select, connect, load, stored
from pipelines.ingestion.spec import Files


@pytest.fixture
def read(tmp_path: Path) -> Any:
    connection = connect(tmp_path / "work")

    def build(*files: tuple[str, bytes], **options: Any) -> tuple[Source, list[tuple[Any, ...]]]:
        paths = []
        for name, content in files:
            paths.append(tmp_path / name)
            paths[-1].write_bytes(content)
        source = load(connection, paths, Files(path=str(tmp_path), **options))
        return source, source.connection.execute("SELECT * FROM source").fetchall()

    yield build
    connection.close()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separator_and_header_are_found(read: Any, separator: str) -> None:
    text = "name,size,when\nann,1.5,2026-01-02\nbob,2,2026-01-03\n".replace(",", separator)
    source, rows = read(("a.csv", text.encode()))
    assert source.columns == ["name", "size", "when"]
    assert rows == [("ann", "1.5", "2026-01-02"), ("bob", "2", "2026-01-03")]


def test_nothing_is_stripped_and_missing_is_not_empty(read: Any) -> None:
    _, rows = read(("a.csv", b'a,b,c\n x ,"",\n"q,""z""", 1,?\n'))
    assert rows == [(" x ", "", None), ('q,"z"', " 1", "?")]


def test_without_header_blanks_stay_and_the_blank_last_line_is_no_row(read: Any) -> None:
    source, rows = read(
        ("a.data.csv", b"39, State-gov, 13\n50, Private, 9\n\n"), header=False, columns=("age", "work", "n")
    )
    assert source.columns == ["age", "work", "n"]
    assert rows == [("39", " State-gov", " 13"), ("50", " Private", " 9")]


def test_a_header_is_told_from_data(read: Any) -> None:
    assert read(("a.csv", b"1,2\n3,4\n"))[0].columns == ["column_1", "column_2"]
    assert read(("b.csv", b"city,land\nBern,CH\nLyon,FR\n"))[0].columns == ["city", "land"]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("\ufeffa,b\né,1\n".encode(), "utf-8"),
        ("a,b\né,1\n".encode("latin-1"), "latin-1"),
        ("a,b\né,1\n".encode("utf-16"), "utf-16"),
    ],
)
def test_encodings(read: Any, content: bytes, encoding: str) -> None:
    source, rows = read(("a.csv", content))
    assert source.columns == ["a", "b"]
    assert rows == [("é", "1")]
    assert any("latin-1" in notice for notice in source.notices) == (encoding == "latin-1")


def test_latin_1_far_down_in_one_of_two_files(read: Any) -> None:
    late = b"a,b\n" + b"x,1\n" * 30_000 + "né,2\n".encode("latin-1")
    source, rows = read(("a.csv", "a,b\né,0\n".encode()), ("b.csv", late))
    assert (rows[0], rows[-1]) == (("é", "0"), ("né", "2"))
    assert source.notices == ["b.csv is not UTF-8; read as latin-1"]


@pytest.mark.parametrize(("declared", "packed"), [(None, False), ("latin-1", False), (None, True)])
def test_windows_1252_is_read_with_its_signs(read: Any, tmp_path: Path, declared: str | None, packed: bool) -> None:
    content = "naïve €,b\nx,1\n“quoted” – 5 €,2\nx,1,7\n".encode("cp1252") + b"\x81,3\n"
    name = "a.csv.gz" if packed else "a.csv"
    data = gzip.compress(content) if packed else content
    source, rows = read((name, data), encoding=declared, max_rejected=0.5)
    assert source.columns == ["naïve €", "b"]
    assert rows == [("x", "1"), ("“quoted” – 5 €", "2"), ("\x81", "3")]
    assert source.notices == [f"{name}: not UTF-8; read as Windows-1252"]
    lines = rejects.table(source.connection).to_pylist()
    assert [(line["file"], line["line"]) for line in lines] == [(str(tmp_path / name), 4)]
    assert not list((tmp_path / "work").rglob("*.csv"))


@pytest.mark.parametrize(("name", "mark"), [("a.csv", b"PAR1"), ("b.csv", b"\x1f\x8b"), ("c.xlsx", b"PK\x03\x04")])
def test_a_file_that_is_no_text_is_called_what_it_is(read: Any, name: str, mark: bytes) -> None:
    with pytest.raises(DataError, match="not what its name says") as caught:
        read((name, mark + bytes(range(256))))
    assert name in caught.value.where


def test_one_line_that_is_too_long_is_one_line(read: Any) -> None:
    long = b"a,b\n" + b"x,1\n" * 5 + b"y" * 10_000_000 + b",2\n" + b"x,1\n" * 5
    with pytest.raises(DataError, match="do not fit") as caught:
        read(("a.csv", long))
    assert caught.value.seen.startswith("1 line(s) of 11 ")


def test_too_many_columns_for_the_memory_say_so(tmp_path: Path) -> None:
    connection = connect(tmp_path / "work", cores=1, memory_gb=0.5)
    wide = tmp_path / "wide.csv"
    wide.write_text(",".join(f"x{index}" for index in range(8_000)) + "\n" + ",".join(["1"] * 8_000) + "\n")
    with pytest.raises(DataError, match="too little memory") as caught:
        load(connection, [wide], Files(path=str(wide)))
    assert "8000 columns" in caught.value.seen
    assert "AIMASS_MEMORY_GB" in caught.value.cure
    connection.close()


def test_files_are_united_by_name_in_their_order(read: Any) -> None:
    packed = ("b.csv.gz", gzip.compress(b"y;z;x\n5;6;4\n"))
    source, rows = read(("a.csv", b"x,y\n1,2\n"), packed, ("c.csv", b"x,y\n7,8\n"))
    assert source.columns == ["x", "y", "z"]
    assert rows == [("1", "2", None), ("4", "5", "6"), ("7", "8", None)]
    assert source.notices == ["'z': in 1 of 3 files only (b.csv.gz); missing elsewhere"]
    assert source.lacking == {"z": 2}


def test_parquet_keeps_its_types(read: Any, tmp_path: Path) -> None:
    pq.write_table(pa.table({"n / (m).1": [1, None], "t": ["a", " b"]}), tmp_path / "a.parquet")
    source, rows = read(("a.parquet", (tmp_path / "a.parquet").read_bytes()))
    assert source.columns == ["n / (m).1", "t"]
    assert source.kinds == ["BIGINT", "VARCHAR"]
    assert rows == [(1, "a"), (None, " b")]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_spans_of_time_are_one_whatever_their_unit(read: Any, tmp_path: Path, unit: str) -> None:
    spans = pa.array([0, 60, None, 7200], pa.int64()).cast(pa.duration("s")).cast(pa.duration(unit))
    pq.write_table(pa.table({"span": spans}), tmp_path / "spans.parquet")
    source, _ = read(("spans.parquet", (tmp_path / "spans.parquet").read_bytes()))
    assert source.kinds == ["INTERVAL"]
    assert seconds(source) == [0.0, 60.0, None, 7200.0]


def test_intervals_of_parquet_are_spans(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "spans.parquet"
    duckdb.sql("SELECT unnest([INTERVAL '1 month 2 days', INTERVAL '1 year', NULL]) AS span").write_parquet(str(path))
    source, _ = read(("spans.parquet", path.read_bytes()))
    assert seconds(source) == [32 * 86_400.0, 31_557_600.0, None]


def seconds(source: Any) -> list[float | None]:
    select, (kind,) = arrow_select(source)
    column = source.connection.sql(f"SELECT {select} FROM {source.table}").to_arrow_table().column(0)
    return [None if span is None else span.total_seconds() for span in stored(column.chunk(0), kind).to_pylist()]


def test_all_ill_fitting_lines_are_named(read: Any) -> None:
    with pytest.raises(DataError) as error:
        read(("a.csv", b"a,b\n1,2\n1,2,3\n4\n5,6\n"))
    assert [fault.split(":")[0] for fault in error.value.faults] == ["a.csv line 3", "a.csv line 4"]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.csv.gz", gzip.compress(b"a,b\n" + bytes(range(48, 58)) * 40_000 + b",2\n", mtime=0)[:90], "cannot be read"),
        ("a.csv.gz", b"no gzip at all", "cannot be read"),
        ("a.parquet", b"PAR1 cut off", "cannot be read"),
        ("a.csv", b"", "empty"),
        ("a.csv", b"a,b\n", "no row"),
    ],
)
def test_bad_files_are_one_clear_error(read: Any, name: str, content: bytes, what: str) -> None:
    with pytest.raises(DataError, match=what) as error:
        read((name, content))
    assert error.value.cure
    assert name.split(".")[0] in error.value.where or what == "no row"


def test_a_half_written_gz_is_found_beyond_its_beginning(read: Any) -> None:
    whole = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * 7919 % 104729) for n in range(200_000)))
    with pytest.raises(DataError, match="cannot be read"):
        read(("a.csv.gz", whole[: len(whole) // 2]))


def test_declared_names_must_fit_the_file(read: Any) -> None:
    with pytest.raises(SpecError, match="not those of the file"):
        read(("a.csv", b"1,2,3\n"), header=False, columns=("a", "b"))


def test_json_lines_keep_their_types(read: Any) -> None:
    lines = b'{"n":1,"t":"x","b":true,"mix":1}\n\n{"n":2.5,"t":null,"new":{"k":[1]},"mix":"a"}\n'
    source, rows = read(("a.jsonl", lines))
    assert dict(zip(source.columns, source.kinds, strict=True)) == {
        "n": "DOUBLE",
        "t": "VARCHAR",
        "b": "BOOLEAN",
        "mix": "VARCHAR",
        "new": "VARCHAR",
    }
    assert rows == [(1.0, "x", True, "1", None), (2.5, None, None, "a", '{"k":[1]}')]
    source, rows = read(("b.ndjson.gz", gzip.compress(b'{"big":18446744073709551615,"id":7}\n{"big":1,"id":null}\n')))
    assert (source.kinds, rows) == (["UBIGINT", "BIGINT"], [(18446744073709551615, 7), (1, None)])


def test_json_by_its_plain_name(read: Any) -> None:
    source, rows = read(("a.json", b'{"id":1,"b":"x"}\n{"id":2,"b":null}\n'))
    assert (source.columns, rows) == (["id", "b"], [(1, "x"), (2, None)])
    with pytest.raises(DataError, match="no JSON object"):
        read(("b.json", b'[{"id":1},\n{"id":2}]\n'))


def test_lines_that_are_no_object_are_rejected(read: Any) -> None:
    lines = b'{"a":1}\n[1]\n{"a":2}\n\n{"a":\n{"a":4}\n'
    with pytest.raises(DataError, match="do not fit") as error:
        read(("a.jsonl", lines))
    assert [fault.split(":")[0] for fault in error.value.faults] == ["a.jsonl line 2", "a.jsonl line 5"]
    source, rows = read(("a.jsonl", lines), max_rejected=0.5)
    assert (rows, source.rejected) == ([(1,), (2,), (4,)], 2)
    kept = rejects.table(source.connection, source.files).to_pylist()
    assert kept[-1] == {"file": str(source.files[0]), "line": 5, "reason": "not a JSON object", "text": '{"a":'}
    with pytest.raises(DataError, match="no JSON object"):
        read(("b.jsonl", b"1\n2\n"))


def test_some_ill_fitting_lines_are_kept_aside(read: Any) -> None:
    good = b"".join(b"%d,x\n" % n for n in range(3_000))
    source, rows = read(("a.csv", b"a,b\n" + good + b"1,2,3\n" + good))
    assert (len(rows), source.rejected) == (6_000, 1)
    line = rejects.table(source.connection).to_pylist()[0]
    assert (line["line"], line["text"]) == (3_002, "1,2,3")
    with pytest.raises(DataError, match="do not fit"):
        read(("b.csv", b"a,b\n" + good + b"1,2,3\n"), max_rejected=0)


def test_a_quote_that_is_never_closed_takes_no_lines_along_unseen(read: Any) -> None:
    good = b"".join(b"%d,x\n" % n for n in range(500))
    with pytest.raises(DataError, match="do not fit"):
        read(("a.csv", b"a,b\n" + good + b'7,"open\n' + good), max_rejected=0.01)


def test_a_file_that_breaks_off_in_its_last_line_is_half_written(read: Any) -> None:
    whole = b"a,b,c\n" + b"".join(b"%d,x,y\n" % n for n in range(5_000))
    with pytest.raises(DataError, match="breaks off"):
        read(("a.csv", whole + b"5000,x"))
    with pytest.raises(DataError, match="breaks off"):
        read(("a.jsonl", b'{"a":1}\n' * 5_000 + b'{"a":'))
    assert len(read(("a.csv", whole + b"5000,x,y"))[1]) == 5_001


def test_columns_that_change_their_type_between_files(read: Any, tmp_path: Path) -> None:
    def parquet(name: str, **columns: Any) -> tuple[str, bytes]:
        pq.write_table(pa.table(columns), tmp_path / name)
        return name, (tmp_path / name).read_bytes()

    source, rows = read(
        parquet("a.parquet", n=[1, 2], t=[1, 2], empty=pa.nulls(2)),
        parquet("b.parquet", n=[0.5], t=["x"], empty=[True]),
    )
    assert (source.columns, source.kinds) == (["n", "t", "empty"], ["DOUBLE", "VARCHAR", "BOOLEAN"])
    assert rows == [(1.0, "1", None), (2.0, "2", None), (0.5, "x", True)]
    assert source.notices == [
        "'t' changes its type: number in a.parquet, text in b.parquet; read as text, digit for digit"
    ]
