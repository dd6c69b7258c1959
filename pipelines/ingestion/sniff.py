"""How a CSV file is written: separator, header, quoting, encoding."""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import io
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import DataError, SpecError
from pipelines.ingestion.sources import unreadable
from pipelines.ingestion.spec import Files
from pipelines.ingestion.texts import decoded

SEPARATORS = (",", ";", "\t", "|")
RESERVED = ("_key", "_time", "_sealed", "_weight", "_y", "_fold")
"""Columns that the stages add."""
PEEK = 1 << 16
MAX_PEEK = 1 << 23
MAGIC = {"Parquet": b"PAR1", "gzip": b"\x1f\x8b", "a zip archive or a workbook (.xlsx)": b"PK\x03\x04",
         "an old workbook (.xls)": b"\xd0\xcf\x11\xe0", "bzip2": b"BZh9", "zstd": b"\x28\xb5\x2f\xfd",
         "xz": b"\xfd7zXZ", "Arrow": b"ARROW1", "ORC": b"ORC\x0a"}  # fmt: skip
"""First bytes of files that are no text."""
NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?%?")
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?")


@dataclass(frozen=True)
class Dialect:
    """One way of writing CSV, and the columns found in it."""

    separator: str
    escape: str
    encoding: str
    header: bool
    columns: tuple[str, ...]


def sniff(file: Path, spec: Files, encoding: str | None = None) -> Dialect:
    """Find out how a file is written from its first lines; what the spec declares is not guessed.

    Raises
    ------
    DataError
        If the file is unreadable or empty, or names a column twice.
    SpecError
        If the declared column names are not as many as the file has columns.
    """
    raw, text, encoding = _beginning(file, encoding or spec.encoding)
    if not text.strip():
        raise DataError(
            "a source file is empty",
            where=str(file),
            seen=f"{len(raw)} bytes and no value",
            expected="rows of data",
            cure="deliver the file again, or leave it out of 'path'",
        )
    escape = _escape(text)
    separator = spec.separator or _separator(text, escape)
    rows = _parse(text, separator, escape)
    first = [value.strip() for value in rows[0]]
    header = _has_header(first, rows[1:], spec)
    if spec.columns:
        names = spec.columns
        if len(names) != len(first):
            raise SpecError(
                "the declared columns are not those of the file",
                where=str(file),
                seen=f"{len(first)} columns in the file, {len(names)} names in the spec",
                expected="one name per column",
                cure="correct 'columns' (or 'separator') in Files",
            )
    elif header:
        names = tuple(name or f"column_{number}" for number, name in enumerate(first, start=1))
    else:
        names = tuple(f"column_{number}" for number in range(1, len(first) + 1))
    refuse_doubled(names, file)
    return Dialect(separator, escape, encoding, header, names)


def first_line(file: Path, spec: Files) -> list[str]:
    """Give the stripped values of a file's first line, be they names or data."""
    _, text, _ = _beginning(file, spec.encoding)
    escape = _escape(text)
    return [value.strip() for value in _parse(text, spec.separator or _separator(text, escape), escape, limit=1)[0]]


def refuse_doubled(names: tuple[str, ...], file: Path) -> None:
    """Refuse column names that occur twice, also when only upper and lower case differ."""
    counts = Counter(name.lower() for name in names)
    doubled = sorted({name for name in names if counts[name.lower()] > 1})
    reserved = sorted({name for name in names if name.lower() in RESERVED})
    if doubled or reserved:
        raise DataError(
            "column names are doubled" if doubled else "column names are reserved",
            where=str(file),
            seen=", ".join(repr(name) for name in doubled or reserved),
            expected=f"each name once, whatever its case; none of {', '.join(RESERVED)}",
            cure="rename the columns where the file is made, or declare header=True and 'columns' in Files",
        )


def _beginning(file: Path, encoding: str | None) -> tuple[bytes, str, str]:
    size = PEEK
    while True:
        try:
            with gzip.open(file, "rb") if file.name.lower().endswith(".gz") else file.open("rb") as stream:
                raw = stream.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise unreadable(file, str(getattr(error, "strerror", None) or error)) from None
        form = next((form for form, mark in MAGIC.items() if raw.startswith(mark)), None)
        if form is not None:
            raise DataError(
                "a source file is not what its name says",
                where=str(file),
                seen=form,
                expected="text: CSV (.csv, .tsv, .txt) or JSON lines (.jsonl, .ndjson), packed only as .gz",
                cure="name Parquet *.parquet and gzip *.gz, unpack archives, save workbooks as CSV",
            )
        whole = len(raw) < size
        text, found = _decode(raw, encoding)
        if whole or text.count("\n") >= 2 or size >= MAX_PEEK:
            break
        size *= 8
    if not whole:
        text = text[: text.rfind("\n") + 1] or text
    return raw, text, found


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


def _parse(text: str, separator: str, escape: str, limit: int = 200) -> list[list[str]]:
    options = {"doublequote": True} if escape == '"' else {"doublequote": False, "escapechar": escape}
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quotechar='"', strict=False, **options)
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):  # a cell longer than the reader's limit: what was read so far decides
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) >= limit:
                break
    return rows or [[text.strip()]]


def _escape(text: str) -> str:
    """Give the character that stands before a quote inside quotes: a backslash, or the quote itself."""
    return "\\" if '\\"' in text and '""' not in text.replace(',""', "").replace('"",', "") else '"'


def _separator(text: str, escape: str) -> str:
    """Give the separator that cuts most lines into the same number of cells, more cells before fewer."""
    best, best_score = ",", (0.0, 0)
    for candidate in SEPARATORS:
        widths = Counter(len(row) for row in _parse(text, candidate, escape))
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]))
        score = (round(count / widths.total(), 2), width)
        if width > 1 and score > best_score:
            best, best_score = candidate, score
    return best


def _has_header(first: list[str], body: list[list[str]], spec: Files) -> bool:
    if spec.header is not None:
        return spec.header
    if spec.columns:
        return tuple(first) == spec.columns
    if any(not name or NUMBER.fullmatch(name) or DATE.fullmatch(name) for name in first[1:] or first):
        return False
    if len({name.lower() for name in first}) < len(first):
        return any(_is_number_column(body, place) for place in range(len(first)))
    if any(_is_number_column(body, place) for place in range(len(first))):
        return True
    return not any(
        len(row) == len(first) and row[place].strip() == name for row in body for place, name in enumerate(first)
    )


def _is_number_column(body: list[list[str]], place: int) -> bool:
    values = [row[place].strip() for row in body if place < len(row) and row[place].strip()]
    return bool(values) and sum(bool(NUMBER.fullmatch(value)) for value in values) >= 0.8 * len(values)
