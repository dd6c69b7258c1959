"""Reads the first and last lines of a text file: encoding, separator, cells."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pipelines.errors import DataError
from pipelines.ingestion.files.compression import beginning, chunks
from pipelines.ingestion.files.encodings import Marks, decoded
from pipelines.ingestion.files.sources import packing
from pipelines.ingestion.spec import Files

SEPARATORS = (",", ";", "\t", "|")
PEEK = 1 << 16
MAX_PEEK = 1 << 23
TAIL = 1 << 13
"""Bytes that are read to find lines below the table."""
SMALL = 1 << 18
"""A compressed file of more bytes is not unpacked to read its end."""
RECORDS = 200
MAGIC = {
    "Parquet": b"PAR1",
    "gzip": b"\x1f\x8b",
    "a zip archive or a workbook (.xlsx)": b"PK\x03\x04",
    "an old workbook (.xls)": b"\xd0\xcf\x11\xe0",
    "bzip2": b"BZh9",
    "zstd": b"\x28\xb5\x2f\xfd",
    "xz": b"\xfd7zXZ",
    "Arrow": b"ARROW1",
    "ORC": b"ORC\x0a",
}
"""First bytes of files that are no text."""
LINE_END = re.compile(r"\r\n|\r|\n")
_NAMES_SEPARATOR = re.compile(r'"?sep=(.)"?[ \t]*(?:\r\n|\r|\n|\Z)', re.IGNORECASE)
"""The line in which spreadsheets declare the separator."""


@dataclass(frozen=True)
class Peek:
    """The beginning of a text file."""

    raw: bytes
    text: str
    """The text, up to the end of a line."""
    encoding: str
    whole: bool
    """Whether this is the whole file."""
    marks: Marks
    start: int
    """Index at which the text begins, after a line that declares the separator."""

    @property
    def marked(self) -> bool:
        """Whether the text begins with a byte order mark."""
        return self.raw.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))

    def beginning(self, records: int) -> str:
        """Return the text of the first lines, where one with line ends in quotes counts once."""
        text = self.text[self.start :]
        reader = _reader(text, self.marks)
        for _ in islice(reader, records):
            pass
        ends = list(islice(LINE_END.finditer(text), reader.line_num))
        return text[: ends[-1].end()] if ends else ""

    def is_well_quoted(self, text: str) -> bool:
        """Tell whether each quote in some lines opens or closes a value, is doubled in it, or is in an unquoted one."""
        separator = re.escape(self.marks.separator)
        inside = r'[^"]++|""' if self.marks.escape == '"' else r'[^"\\]++|\\[\s\S]|""'
        value = rf'(?:"(?:{inside})*+"|[^"\r\n{separator}][^\r\n{separator}]*+)?'
        return re.fullmatch(rf"(?:{value}(?:{separator}|[\r\n]))*+{value}", text) is not None

    def records(self, limit: int | None = RECORDS) -> list[list[str]]:
        """Return the stripped cells of each line, none for a blank one."""
        return cells_of(self.text[self.start :], self.marks, limit)


def peek(file: Path, spec: Files) -> Peek | None:
    """Read a file's first lines; None if there is none.

    Raises
    ------
    DataError
        If the file is unreadable or no text.
    """
    size = PEEK
    while True:
        raw = beginning(file, size)
        form = next((form for form, mark in MAGIC.items() if raw.startswith(mark)), None)
        if form is not None:
            raise DataError(
                "a source file is not what its name says",
                where=str(file),
                seen=form,
                expected="text: CSV (.csv, .tsv, .txt) or JSON lines (.jsonl, .ndjson), packed as its name says",
                cure="name Parquet *.parquet, gzip *.gz, zip *.zip and so on; save workbooks as CSV",
            )
        whole = len(raw) < size
        text, found = _decode(raw, spec.encoding)
        if whole or len(LINE_END.findall(text)) >= 2 or size >= MAX_PEEK:
            break
        size *= 8
    if not whole:
        text = text[: max(text.rfind("\n"), text[:-1].rfind("\r")) + 1] or text
    if not text.strip(" \t\r\n\0\x1a"):
        return None
    named = _NAMES_SEPARATOR.match(text)
    escape = _escape(text)
    separator = spec.separator or (named.group(1) if named else _separator(text, escape))
    return Peek(raw, text, found, whole, Marks(separator, escape), named.end() if named else 0)


def is_blank(file: Path) -> bool:
    """Tell whether a file holds nothing but blanks."""
    return not beginning(file, PEEK).removeprefix(codecs.BOM_UTF8).strip()


def cells_of(text: str, marks: Marks, limit: int | None = RECORDS) -> list[list[str]]:
    """Return the stripped cells of each line of a text, none for a blank one."""
    found: list[list[str]] = []
    with contextlib.suppress(csv.Error):  # a cell longer than the reader's limit: what was read so far decides
        found.extend([cell.strip() for cell in record] for record in islice(_reader(text, marks), limit))
    return found or [[text.strip()]]


def _reader(text: str, marks: Marks) -> Any:
    options = {"doublequote": True} if marks.escape == '"' else {"doublequote": False, "escapechar": marks.escape}
    return csv.reader(io.StringIO(text, newline=""), delimiter=marks.separator, quotechar='"', strict=False, **options)


@dataclass(frozen=True)
class Tail:
    """The end of a text file."""

    lines: Sequence[list[str]]
    """The stripped cells of the last lines, none for a blank line; line ends in quotes count too."""
    sizes: Sequence[int]
    """Bytes of each line."""
    size: int
    """Bytes of the whole file."""
    ended: bool
    """Whether the last line ends with a line end."""


def last_lines(file: Path, first: Peek) -> Tail:
    """Read a file's last lines; none of a compressed file if that would take long."""
    packed = packing(file.name) != ""
    if first.whole:
        raw, size = first.raw, len(first.raw)
    elif packed and file.stat().st_size > SMALL:
        return Tail((), (), 0, ended=False)
    elif packed:
        raw, size = b"", 0
        for chunk in chunks(file):
            raw, size = (raw + chunk)[-TAIL:], size + len(chunk)
    else:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - TAIL))
            raw = stream.read()
    coding = "latin-1"
    if first.encoding == "utf-16":
        coding = "utf-16-be" if first.raw.startswith(codecs.BOM_UTF16_BE) else "utf-16-le"
        raw = raw[len(raw) % 2 :]
    lines = re.findall(r"[^\r\n]*(?:\r+\n|\r|\n)|[^\r\n]+", raw.decode(coding, "replace"))
    written = [line.encode(coding, "replace") for line in (lines if first.whole else lines[1:])]
    texts = [raw.decode(coding) if coding != "latin-1" else _decode(raw, first.encoding)[0] for raw in written]
    cells = [cells_of(text, first.marks)[0] if text.strip() else [] for text in texts]
    return Tail(cells, [len(raw) for raw in written], size, ended=bool(texts) and texts[-1].endswith(("\r", "\n")))


def _decode(raw: bytes, encoding: str | None) -> tuple[str, str]:
    if encoding is None and raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        encoding = "utf-16"
    tried = encoding or "utf-8"
    if tried == "utf-8":
        decoder = codecs.getincrementaldecoder("utf-8-sig")("strict" if encoding is None else "replace")
        try:
            return decoder.decode(raw), "utf-8"
        except UnicodeDecodeError:
            tried = "latin-1"
    return (decoded(raw) if tried == "latin-1" else raw.decode(tried, errors="replace")), tried


def _escape(text: str) -> str:
    """Return the character that escapes a quote inside quotes: a backslash, or the quote itself."""
    return "\\" if '\\"' in text and '""' not in text.replace(',""', "").replace('"",', "") else '"'


def _separator(text: str, escape: str) -> str:
    """Return the separator that splits most lines into the same number of cells, preferring more cells."""
    best, best_score = ",", (0.0, 0)
    for candidate in SEPARATORS:
        widths = Counter(len(record) for record in cells_of(text, Marks(candidate, escape)) if record)
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 1))
        score = (round(count / max(widths.total(), 1), 2), width)
        if width > 1 and score > best_score:
            best, best_score = candidate, score
    return " " if not best_score[1] and _is_cut_by_blanks(text, escape) else best


def _is_cut_by_blanks(text: str, escape: str) -> bool:
    """Tell whether blanks split all lines into as many cells, as R writes them; the header may lack the first name."""
    widths = [len(record) for record in cells_of(text, Marks(" ", escape)) if record]
    return len(widths) > 2 and widths[1] > 2 and set(widths[1:]) == {widths[1]} and widths[1] - widths[0] in (0, 1)
