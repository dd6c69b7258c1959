"""CSV as people and programs write it: whatever stands around the table, the table is the same."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import itertools
import lzma
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ingestion.files.read import Source, connect, load
from pipelines.ingestion.spec import Files

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untraced")]

NAMES = ("id", "size", "kind", "label")
ROWS = tuple((f"k{n}", f"{n * 7 % 10}.5", "ab"[n % 2], ("yes", "no")[n % 3 == 0]) for n in range(9))
Read = Callable[..., tuple[Source, list[tuple[Any, ...]]]]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    folder = tmp_path_factory.mktemp("written")
    connection = connect(folder / "work")

    def build(
        content: bytes, name: str = "a.csv", wanted: Sequence[str] = (), judge: bool = True, **options: Any
    ) -> Any:
        (folder / name).write_bytes(content)
        spec = Files(path=str(folder / name), **options)
        source = load(connection, [folder / name], spec, wanted=wanted, judge=judge)
        return source, connection.execute("SELECT * FROM source").fetchall()

    yield build
    connection.close()


def line(cells: Sequence[str], separator: str = ",", quoting: str = "needed") -> str:
    """Write the cells of one line."""

    def written(cell: str) -> str:
        needed = any(sign in cell for sign in (separator, '"', "\n", "\r"))
        return '"' + cell.replace('"', '""') + '"' if needed or (quoting == "all" and cell) else cell

    return separator.join(map(written, cells))


def lines(
    names: Sequence[str] = NAMES, rows: Sequence[Sequence[str]] = ROWS, separator: str = ",", quoting: str = "needed"
) -> list[str]:
    """Write a table, without line ends."""
    return [line(cells, separator, quoting) for cells in (names, *rows)]


ODDITIES: dict[str, Callable[[list[str], str], list[str]]] = {
    "plain": lambda table, sep: table,
    "header ends with a separator": lambda table, sep: [table[0] + sep, *table[1:]],
    "data ends with a separator": lambda table, sep: [table[0], *(text + sep for text in table[1:])],
    "every line ends with a separator": lambda table, sep: [text + sep for text in table],
    "every line ends with three": lambda table, sep: [text + 3 * sep for text in table],
    "one line ends with a separator": lambda table, sep: [*table[:3], table[3] + sep, *table[4:]],
    "names its separator": lambda table, sep: [f"sep={sep}", *table],
    "names its separator in quotes": lambda table, sep: [f'"sep={sep}"', *table],
    "blank lines above": lambda table, sep: ["", "", *table],
    "a title above": lambda table, sep: ["Sales 2026", *table],
    "a title above, then a blank line": lambda table, sep: ["Sales 2026", "", *table],
    "a title in quotes": lambda table, sep: [line([f'Sales{sep} "net" 2026'], sep), "", *table],
    "a title of two lines in one cell": lambda table, sep: ['"Sales\nof 2026"', *table],
    "titles filled up with separators": lambda table, sep: ["Sales 2026" + 3 * sep, 3 * sep, "EUR" + 3 * sep, *table],
    "what it is of, above": lambda table, sep: [f"Report:{sep}Sales", f"Date:{sep}2026-01-02", "", *table],
    "units below the header": lambda table, sep: [table[0], sep + "kg" + 2 * sep, *table[1:]],
    "types below the header": lambda table, sep: [table[0], sep.join(("text", "float", "text", "text")), *table[1:]],
    "a rule below the header": lambda table, sep: [table[0], sep.join(("--", "----", "----", "-----")), *table[1:]],
    "a total below": lambda table, sep: [*table, f"Total{sep}40.5{2 * sep}"],
    "totals and a source below": lambda table, sep: [
        *table,
        f"Subtotal{sep}1{2 * sep}",
        f"Grand total:{sep}40.5{2 * sep}",
        "",
        "Source: the books",
    ],
    "a sum in German": lambda table, sep: [*table, f"Summe{sep}40.5{2 * sep}"],
    "a count of rows below": lambda table, sep: [*table, "(9 rows)"],
    "a remark after a blank line": lambda table, sep: [*table, "", "As delivered on Monday"],
    "all of it": lambda table, sep: [
        f"sep={sep}",
        "Sales 2026",
        "",
        table[0] + sep,
        sep + "kg" + 3 * sep,
        *(text + sep for text in table[1:]),
        f"Total{sep}40.5{3 * sep}",
        "Note: net",
    ],
}


SILENT = {
    "plain",
    "blank lines above",
    "names its separator",
    "names its separator in quotes",
    "header ends with a separator",
    "data ends with a separator",
    "every line ends with a separator",
    "every line ends with three",
    "one line ends with a separator",
}
"""What is no line that anybody could miss."""


@pytest.mark.parametrize("odd", ODDITIES)
@pytest.mark.parametrize(
    ("separator", "end", "quoting", "mark"),
    [
        (",", "\n", "needed", b""),
        (";", "\r\n", "needed", codecs.BOM_UTF8),
        ("\t", "\r", "all", b""),
        ("|", "\r\n", "all", codecs.BOM_UTF8),
        (",", "\n", "all", codecs.BOM_UTF8),
    ],
)
def test_what_stands_around_a_table_is_no_part_of_it(
    read: Read, odd: str, separator: str, end: str, quoting: str, mark: bytes
) -> None:
    written = ODDITIES[odd](lines(separator=separator, quoting=quoting), separator)
    for names in ([*NAMES], ["id", "Gesamt\nBetrag", "kind", "label"], ["Größe\n(a)", "b", "c", "d"]):
        content = [*written]
        index = written.index(next(text for text in written if "size" in text))
        content[index] = written[index].replace(line(NAMES, separator, quoting), line(names, separator, quoting))
        source, rows = read(mark + (end.join(content) + end).encode())
        assert source.columns == names
        assert rows == list(ROWS)
        assert source.rejected == 0
        told = [notice for notice in source.notices if "left out" in notice]
        assert bool(told) == (odd not in SILENT)
        assert len(told) == len(source.notices)


@pytest.mark.parametrize("odd", ["a title above", "a total below", "all of it", "names its separator in quotes"])
@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "cp1252"])
def test_in_other_encodings_too(read: Read, odd: str, encoding: str) -> None:
    rows = [(*row[:2], "é" if encoding != "cp1252" else "€", row[3]) for row in ROWS]
    content = "\r\n".join(ODDITIES[odd](lines(rows=rows, separator=";"), ";")) + "\r\n"
    source, seen = read(content.encode(encoding))
    assert (source.columns, seen) == ([*NAMES], rows)


@pytest.mark.parametrize("packing", ["gz", "zst", "bz2", "xz", "zip"])
@pytest.mark.parametrize("odd", ["plain", "a title above", "a total below", "all of it"])
def test_packed_too(read: Read, tmp_path: Path, odd: str, packing: str) -> None:
    content = ("\n".join(ODDITIES[odd](lines(), ",")) + "\n").encode()
    source, rows = read(packed(content, packing, tmp_path), f"a.csv.{packing}")
    assert (source.columns, rows) == ([*NAMES], list(ROWS))


def packed(content: bytes, packing: str, folder: Path, name: str = "a.csv") -> bytes:
    """Pack the content of a file."""
    if packing == "zst":
        return bytes(pa.compress(content, "zstd", asbytes=True))
    if packing == "zip":
        with zipfile.ZipFile(folder / "made.zip", "w") as archive:
            archive.writestr(name, content)
        return (folder / "made.zip").read_bytes()
    return {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[packing](content)


@pytest.mark.parametrize("ends", list(itertools.permutations(["\n", "\r\n", "\r", "\r\r\n"], 2)))
@pytest.mark.parametrize("inside", ["", "\n", "\r\n", "\r"])
def test_line_ends_of_two_kinds(read: Read, ends: tuple[str, str], inside: str) -> None:
    names, rows = ["id", f"two{inside}lines", "x"], [(f"k{n}", f'a{inside}"b', f"{n}") for n in range(40)]
    table = [line(cells) for cells in (names, *rows)]
    for start in (1, 20, 39):  # the second kind begins there
        content = "".join(text + ends[index >= start] for index, text in enumerate(table))
        source, seen = read(content.encode())
        assert source.columns == ["id", "two\nlines" if inside else "twolines", "x"]
        assert seen == rows
        assert any("lines end in several ways" in notice for notice in source.notices)


@pytest.mark.parametrize("quoted", [True, False])
def test_another_line_end_far_down(read: Read, quoted: bool) -> None:
    row = '1,"x"' if quoted else "1,x"
    source, rows = read(("a,b\n" + f"{row}\n" * 30_000 + f"{row}\r\n" * 3).encode())
    assert rows == [("1", "x")] * 30_003
    assert any("several ways" in notice for notice in source.notices)


CELLS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\x1a\x01", exclude_categories=["Cs", "Cc"]), max_size=8
)
BREAKS = st.sampled_from(["", "\n", "\r\n", "\r"])


@given(
    st.lists(st.tuples(CELLS, BREAKS, CELLS), min_size=2, max_size=5),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([b"", codecs.BOM_UTF8]),
)
def test_any_name_is_read_as_it_was_written(
    read: Read, parts: list[tuple[str, str, str]], separator: str, end: str, mark: bytes
) -> None:
    names = [
        " ".join(f"n{index}{before}{middle}{after}x".split(" ")) for index, (before, middle, after) in enumerate(parts)
    ]
    rows = [tuple(f"{n}.{index}" for index in range(len(names))) for n in range(5)]
    content = end.join(line(cells, separator) for cells in (names, *rows)) + end
    source, seen = read(mark + content.encode(), separator=separator)
    assert source.columns == [name.replace("\r\n", "\n").replace("\r", "\n") for name in names]
    assert seen == rows


WORDS = st.sampled_from(
    [
        "",
        "Total",
        "sum",
        "Summe",
        "kg",
        "-",
        "--",
        "NA",
        "unknown",
        "yes",
        "1",
        "2.5",
        "2020",
        "2021-01-02",
        "Note: x",
        "(3 rows)",
        "a b",
        " ",
        '"',
        "x,y",
        "x\ny",
    ]
)


@given(st.lists(st.lists(WORDS, min_size=3, max_size=3), min_size=1, max_size=10), st.booleans())
def test_every_line_is_a_row_or_told(read: Read, cells: list[list[str]], quoted: bool) -> None:
    frame = pd.DataFrame(cells, columns=["id", "size", "what is said"])
    content = frame.to_csv(index=False, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    source, rows = read(content.encode(), judge=False, wanted=["size"])
    assert source.columns == list(frame.columns)
    told = sum(int(found.group(1)) for notice in source.notices if (found := re.search(r": (\d+) lines? ", notice)))
    assert len(rows) + told == len(cells)
    expected = [tuple(None if cell == "" and not quoted else cell for cell in row) for row in cells]
    assert rows == expected[told - len(below(source)) if told else 0 :][: len(rows)]


def below(source: Source) -> str:
    """Return a text as long as there are lines left out below the table."""
    found = [re.search(r": (\d+) lines? below the table", notice) for notice in source.notices]
    return "".join("x" * int(match.group(1)) for match in found if match)
