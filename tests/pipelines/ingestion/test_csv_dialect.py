"""How one file is written, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import DataError, SpecError
from pipelines.ingestion.files.csv_dialect import Dialect, first_line, sniff
from pipelines.ingestion.spec import Files


@pytest.fixture
def look(tmp_path: Path) -> Any:
    def build(content: bytes, wanted: tuple[str, ...] = (), **options: Any) -> Dialect:
        (tmp_path / "a.csv").write_bytes(content)
        return sniff(tmp_path / "a.csv", Files(path="a.csv", **options), wanted=wanted)

    return build


def test_a_plain_file_is_read_as_it_is(look: Any) -> None:
    assert look(b"id,x\n1,2\n2,3\n") == Dialect(
        ",", '"', "utf-8", header=True, columns=("id", "x"), positions=(0, 1), width=2
    )
    assert look(b'id,"x"\r\n1,"a\nb"\r\n').line_end == ""
    assert not look(b"id,x\r\n1,2\r\n").copied


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (b"id,x,\n1,2,\n", {"columns": ("id", "x"), "width": 2}),
        (b"id,x\n1,2,\n", {"columns": ("id", "x"), "width": 2}),
        (b'"id","x",""\n"1","2",""\n', {"columns": ("id", "x", "column_3"), "width": 3}),
        (b",x\n1,2\n2,3\n", {"columns": ("x",), "positions": (1,), "width": 2}),
        (b"x,y\n1,a,b\n2,a,b\n", {"columns": ("x", "y"), "positions": (1, 2), "width": 3}),
        (b"x,y\nr1,a,b\nr2,a,b\n", {"columns": ("column_1", "x", "y"), "width": 3}),
        (b"sep=;\nid;x\n1;2\n", {"separator": ";", "header": False, "skip": 2}),
        (b"Title\n\nid,x\n1,2\n3,4\n", {"header": False, "skip": 3}),
        (b"id,x\n,kg\na,2\nb,3\n", {"header": False, "skip": 2}),
        (b'id,"a\nb"\r\n1,2\r\n', {"header": True, "line_end": "\r\n", "columns": ("id", "a\nb")}),
        (b'id,"a\r\nb"\n1,2\n', {"header": True, "line_end": "\n", "columns": ("id", "a\nb")}),
        (b"id,x\n1,2\r\n", {"mixed": True, "copied": True}),
        (b'"Ti"tle\nid,x\n1,2\n3,4\n', {"blanked": 2, "copied": True}),
        (b'\xef\xbb\xbf"a\nb",x\n1,2\n', {"blanked": 2, "header": True}),
        (b'"a"b,x\n1,2\n', {"blanked": 1, "columns": ("ab", "x")}),
        (b"id,x\n1,2\n2,3\n3,4\nTotal,\n", {"keep": 17, "copied": True}),
        (b"id,x\n", {"rows": False, "columns": ("id", "x")}),
        (b",x\n", {"rows": False, "columns": ("x",), "said": ()}),
        (b" \n\r\n", {"rows": False, "columns": ()}),
        (b"", {"rows": False, "columns": ()}),
        (b"1,2,\n3,4,\n", {"columns": ("column_1", "column_2", "column_3"), "header": False}),
    ],
)
def test_oddities_are_seen(look: Any, content: bytes, facts: dict[str, Any]) -> None:
    seen = look(content)
    assert {name: getattr(seen, name) for name in facts} == facts


def test_an_index_that_is_wanted_is_a_column(look: Any) -> None:
    assert look(b",x\n1,2\n2,3\n", wanted=("column_1",)).columns == ("column_1", "x")
    assert look(b"Unnamed: 0,x\n1,2\n2,3\n", wanted=("Unnamed: 0",)).columns == ("Unnamed: 0", "x")
    assert look(b"Unnamed: 0,x\n1,2\n2,3\n").columns == ("x",)
    assert look(b"id,x\n1,2\n2,3\n").columns == ("id", "x")


def test_declared_columns_stand_whatever_ends_the_lines(look: Any) -> None:
    for content in (b"1,2\n3,4\n", b"1,2,\n3,4,\n"):
        assert look(content, header=False, columns=("a", "b")).columns == ("a", "b")
    assert look(b"id,x,\n1,2,\n", header=True, columns=("a", "b")).columns == ("a", "b")
    with pytest.raises(SpecError, match="not those of the file"):
        look(b"1,2,3\n", header=False, columns=("a", "b"))


def test_a_quote_that_never_ends_is_no_header(look: Any) -> None:
    with pytest.raises(DataError, match="never closed") as error:
        look(b'id,"x\n' + b"1,2\n" * 100)
    assert error.value.where.endswith("a.csv")
    assert look(b'5" pipe,x\n1,2\n').columns == ('5" pipe', "x")


def test_what_is_left_out_is_shown(look: Any) -> None:
    content = b"Sales,,\nin EUR,,\nid,x,y\n,kg,m\na,2,3\nb,3,4\nTotal,5,\nSource: us\n"
    assert look(content).said == (
        "2 lines above the header left out: 'Sales' and 'in EUR'",
        "1 line right below the header left out: 'kg, m'",
        "2 lines below the table left out: 'Total, 5' and 'Source: us'",
    )
    assert look(b",x\n1,2\n2,3\n").said == (
        "column 1 ('column_1') only numbers the rows and has no name of its own; left out",
    )


def test_the_first_line_is_below_titles(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"sep=;\nSales\n\nid;x\n1;2\n2;3\n")
    assert first_line(tmp_path / "a.csv", Files(path="a.csv")) == ["id", "x"]
    (tmp_path / "a.csv").write_bytes(b"")
    assert first_line(tmp_path / "a.csv", Files(path="a.csv")) == []


def test_an_end_far_from_the_beginning_is_looked_at(look: Any) -> None:
    data = b"".join(b"k%d,%d,x\n" % (n, n) for n in range(20_000))
    seen = look(b"id,n,kind\n" + data + b"Total,199990000,\n\n")
    assert seen.keep == len(data) + 10
    assert look(b"id,n,kind\n" + data).keep is None
    assert look(b"id,n,kind\n" + data + b"Total,199990000,x\n").keep is None
    assert look(b"id,n,kind\n" + data + b"Total").keep == len(data) + 10
    assert look(b"id,n,kind\n" + data + b"\nAs of").keep is None


@pytest.mark.parametrize(
    ("text", "separator", "columns"),
    [
        ('"a" "b c" "d"\n"1" 1.5 "x y" NA\n"2" 2.5 "z" TRUE\n', " ", ("a", "b c", "d")),  # R without its row names
        ("a b c\n1 2 3\n4 5 6\n", " ", ("a", "b", "c")),
        ("city\nNew York City\nSan Jose South\n", ",", ("city",)),  # sentences of three words below one name
        ("note\nall is well\nnot quite so\nyes\n", ",", ("note",)),
        ("seen\n2026-01-02 03:04:05\n2026-01-03 03:04:05\n", ",", ("seen",)),
        ("first name\nAda Lovelace\nAlan Turing\n", ",", ("first name",)),
        ("a b;c d\n1 2;3 4\n", ";", ("a b", "c d")),
    ],
)
def test_blanks_separate_only_what_nothing_else_can(
    tmp_path: Path, text: str, separator: str, columns: tuple[str, ...]
) -> None:
    (tmp_path / "a.txt").write_text(text)
    found = sniff(tmp_path / "a.txt", Files(path="a.txt"))
    assert (found.separator, found.columns) == (separator, columns)
