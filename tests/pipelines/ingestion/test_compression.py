"""Packed files of every kind give what was packed, or one clear error."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import DataError
from pipelines.ingestion.files import compression
from pipelines.ingestion.files.read import connect, load
from pipelines.ingestion.spec import Files

TEXT = b"id,x\n" + b"".join(b"%d,%d\n" % (n, n * 7919 % 104729) for n in range(50_000))
PACKERS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda raw: bytes(pa.compress(raw, "zstd", asbytes=True)),
    ".zip": lambda raw: zipped({"table.csv": raw}),
}


def zipped(members: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    return sink.getvalue()


@pytest.mark.parametrize("kind", PACKERS)
def test_the_bytes_come_back(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"T.CSV{kind.upper()}"
    file.write_bytes(PACKERS[kind](TEXT))
    assert b"".join(compression.chunks(file, 10_000)) == TEXT
    assert compression.beginning(file, 100) == TEXT[:100]
    paths = compression.readable([file], tmp_path / "work")
    assert (file in paths) == (kind != ".gz")
    assert file not in paths or paths[file].read_bytes() == TEXT


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("share", [0.3, 0.999])
def test_a_file_that_breaks_off_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    whole = PACKERS[kind](TEXT)
    file = tmp_path / f"t.csv{kind}"
    file.write_bytes(whole[: int(len(whole) * share)])
    connection = connect(tmp_path / "work")
    with pytest.raises(DataError, match="cannot be read") as error:
        load(connection, [file], Files(path=str(file), max_rejected=1))
    assert error.value.where == str(file)
    connection.close()


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"a.csv": b"x\n1\n", "README.txt": b"hello", "docs/": b"", "__MACOSX/._a.csv": b"\0"}, "a.csv"),
        ({"folder/a.jsonl": b"{}"}, "folder/a.jsonl"),
        ({"rows.json": b"{}"}, "rows.json"),
        ({"rows.csv": b"x\n1\n", "schema.json": b"{}"}, "rows.csv"),
        ({"a.txt": b"x\n1\n"}, "a.txt"),
        ({"train.csv": b"x\n1\n", "test.csv": b"x\n1\n"}, "several tables"),
        ({"a.png": b"", ".hidden.csv": b""}, "no table"),
    ],
)
def test_an_archive_holds_one_table(tmp_path: Path, members: dict[str, bytes], found: str) -> None:
    file = tmp_path / "a.zip"
    file.write_bytes(zipped(members))
    if found in members:
        assert compression.content_name(file) == found
    else:
        with pytest.raises(DataError, match=found) as error:
            compression.content_name(file)
        assert error.value.where == str(file)


def test_a_packed_table_in_an_archive(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    file.write_bytes(zipped({"a.csv.bz2": bz2.compress(TEXT)}))
    paths = compression.readable([file], tmp_path / "work")
    assert paths[file].read_bytes() == TEXT
    assert len(list((tmp_path / "work").iterdir())) == 1


def test_parquet_and_json_lines_may_be_packed_too(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2]}), tmp_path / "a.parquet")
    (tmp_path / "a.parquet.zip").write_bytes(zipped({"a.parquet": (tmp_path / "a.parquet").read_bytes()}))
    (tmp_path / "b.parquet.gz").write_bytes(gzip.compress((tmp_path / "a.parquet").read_bytes()))
    (tmp_path / "c.jsonl.zst").write_bytes(PACKERS[".zst"](b'{"id": 3}\n'))
    files = sorted(tmp_path.glob("*.*.*"))
    connection = connect(tmp_path / "work")
    for copy in (False, True):
        source = load(connection, files[:2], Files(path=str(tmp_path)), copy=copy)
        assert connection.execute(f"SELECT c0 FROM {source.table}").fetchall() == [(1,), (2,), (1,), (2,)]
    source = load(connection, files, Files(path=str(tmp_path)))
    assert connection.execute("SELECT c0 FROM source").fetchall() == [(1,), (2,), (1,), (2,), (3,)]
    connection.close()


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "ALWAYS_BYTES", 1_000_000)
    file = tmp_path / "a.csv.xz"
    file.write_bytes(lzma.compress(b"x\n" + b"1\n" * 5_000_000))
    with pytest.raises(DataError, match="unpacks to more") as error:
        compression.readable([file], tmp_path / "work")
    assert error.value.where == str(file)


def test_an_encrypted_archive_says_so(tmp_path: Path) -> None:
    raw = bytearray(zipped({"a.csv": b"x\n1\n"}))
    for mark, index in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(mark) + index] |= 1
    (tmp_path / "a.zip").write_bytes(raw)
    with pytest.raises(DataError, match="cannot be read") as error:
        list(compression.chunks(tmp_path / "a.zip"))
    assert "encrypted" in error.value.seen


@pytest.mark.parametrize("name", ["a[1].csv", "a*b.csv", "a?.csv"])
def test_a_name_that_looks_like_a_pattern_is_that_of_one_file(tmp_path: Path, name: str) -> None:
    for other in ("a1.csv", "aXb.csv", "ab.csv", "ax.csv"):
        (tmp_path / other).write_text("x\n1\n")
    (tmp_path / name).write_text("x\n2\n")
    connection = connect(tmp_path / "work")
    load(connection, [tmp_path / name], Files(path=str(tmp_path)))
    assert connection.execute("SELECT * FROM source").fetchall() == [("2",)]
    connection.close()
