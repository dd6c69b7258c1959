"""Texts copied as DuckDB reads them."""

from __future__ import annotations

import codecs
import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ingestion.files import encodings
from pipelines.ingestion.files.encodings import Changes, Marks, has_mixed_line_ends, line_ends, rewritten

CELLS = st.text(st.sampled_from('ab ",;\n\r'), max_size=5)


def copied(folder: Path, content: bytes, changes: Changes) -> bytes:
    (folder / "a.csv").write_bytes(content)
    rewritten(folder / "a.csv", folder / "b.csv", changes)
    return (folder / "b.csv").read_bytes()


@given(
    st.lists(st.lists(CELLS, min_size=2, max_size=3), min_size=1, max_size=6),
    st.lists(st.sampled_from(["\n", "\r\n", "\r", "\r\r\n"]), min_size=6, max_size=6),
    st.integers(1, 40),
)
def test_line_ends_become_one_kind_and_cells_stay(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], ends: list[str], size: int
) -> None:
    folder = tmp_path_factory.mktemp("texts")
    lines = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    content = "".join(line + end for line, end in zip(lines, ends, strict=False)).encode()
    whole = copied(folder, content, Changes("utf-8", marks=Marks(",")))
    assert whole == "".join(f"{line}\n" for line in lines).encode()
    assert list(csv.reader(io.StringIO(whole.decode(), newline=""))) == rows
    chunks = encodings.chunks
    try:
        encodings.chunks = lambda file: chunks(file, size)  # parts that end anywhere
        assert copied(folder, content, Changes("utf-8", marks=Marks(","))) == whole
    finally:
        encodings.chunks = chunks


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a\nb\n", ("\n", False)),
        ("a\r\nb\r\n", ("\r\n", False)),
        ("a\rb", ("\r", False)),
        ("a\nb\r\n", ("\n", True)),
        ("a\r\r\nb\r\r\n", ("\r\r\n", True)),
        ('"a\nb"\r\nc\r\n', ("\r\n", False)),
        ('"a""\nb",5" pipe\r\nc\r\n', ("\r\n", False)),
        ("a", ("\n", False)),
    ],
)
def test_the_line_end_is_the_one_outside_quotes(text: str, found: tuple[str, bool]) -> None:
    assert line_ends(text, Marks(",")) == found


def test_a_backslash_may_stand_before_a_quote(tmp_path: Path) -> None:
    marks = Marks(",", "\\")
    assert line_ends('"a\\"\nb",c\r\n', marks) == ("\r\n", False)
    assert copied(tmp_path, b'"a\\"\r\nb",c\r\n1,2\n', Changes("utf-8", marks=marks)) == b'"a\\"\r\nb",c\n1,2\n'


@pytest.mark.parametrize(
    ("content", "mixed"),
    [(b"a\nb\n", False), (b"a\r\nb\r\n", False), (b"a\r\nb\n", True), (b"a\rb\n", True), (b"", False)],
)
def test_mixed_line_ends_are_found(tmp_path: Path, content: bytes, mixed: bool) -> None:
    (tmp_path / "a.csv").write_bytes(content * 3)
    assert has_mixed_line_ends(tmp_path / "a.csv") == mixed


def test_what_a_copy_lacks(tmp_path: Path) -> None:
    content = codecs.BOM_UTF8 + b'"a\nb",c\r\n1,2\r\nTotal\r\n'
    assert copied(tmp_path, content, Changes("utf-8", blanked=2)) == b"\r\n\r\n1,2\r\nTotal\r\n"
    assert copied(tmp_path, content, Changes("utf-8", keep=len(content) - 7)) == b'"a\nb",c\r\n1,2\r\n'
    assert copied(tmp_path, "€\n\x81".encode("utf-16"), Changes("utf-16")) == "€\n\x81".encode()
    assert copied(tmp_path, b"\x80\n\x81", Changes("latin-1")) == "€\n\x81".encode()
    assert copied(tmp_path, b"\x80\n", Changes("utf-8")) == b"\x80\n"  # DuckDB says where it is


def test_a_quote_that_is_never_closed_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "MOST_HELD", 1_000)
    chunks = encodings.chunks
    monkeypatch.setattr(encodings, "chunks", lambda file: chunks(file, 500))
    content = b'a,"open\r\n' + b"1,2\r\n" * 1_000
    assert copied(tmp_path, content, Changes("utf-8", marks=Marks(","))).replace(b"\r", b"") == content.replace(
        b"\r", b""
    )
