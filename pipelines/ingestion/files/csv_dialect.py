"""Detects how a CSV file is written: separator, quoting, encoding, line ends, and which lines and cells are data."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.errors import DataError, SpecError
from pipelines.ingestion.files import headers, names
from pipelines.ingestion.files.encodings import line_ends
from pipelines.ingestion.files.footers import tail_length
from pipelines.ingestion.files.peek import LINE_END, Peek, last_lines, peek
from pipelines.ingestion.files.records import usual_width
from pipelines.ingestion.spec import Files


@dataclass(frozen=True)
class Dialect:
    """A CSV dialect, and the columns of the file; an empty file has none."""

    separator: str
    escape: str
    encoding: str
    header: bool
    """Whether exactly one line, which names the columns, comes before the data."""
    columns: tuple[str, ...]
    positions: tuple[int, ...] = ()
    """The index of each column among a line's cells."""
    width: int = 0
    """Number of cells in a line; further empty cells are ignored."""
    skip: int = 0
    """Number of lines before the data, if they are more than a header."""
    line_end: str = ""
    """The line end, if another kind occurs in a quoted cell before it."""
    mixed: bool = False
    """Whether line ends of several kinds were seen."""
    blanked: int = 0
    """Physical lines before the data that must be blanked, for DuckDB does not pass over all quotes rightly."""
    keep: int | None = None
    """Bytes up to the end of the data, if other lines follow."""
    rows: bool = field(default=True, compare=False)
    """Whether there is any row in the part that was read."""
    said: tuple[str, ...] = field(default=(), compare=False)
    """What a user should know of how the file was read."""

    @property
    def copied(self) -> bool:
        """Whether DuckDB must read a rewritten copy of the file."""
        return self.mixed or self.blanked > 0 or self.keep is not None


EMPTY = Dialect(",", '"', "utf-8", header=False, columns=(), rows=False)


def sniff(file: Path, spec: Files, wanted: Collection[str] = ()) -> Dialect:
    """Detect how a file is written from its first and last lines; settings of the spec are taken as declared.

    Parameters
    ----------
    wanted
        Names of columns that the model needs: where they stand, there is the header.

    Raises
    ------
    DataError
        If the file is unreadable, names a wanted column twice, or has a quote in its first lines that never ends.
    SpecError
        If the declared column names are not as many as the file has columns.
    """
    seen = peek(file, spec)
    if seen is None:
        return EMPTY
    records = seen.records()
    head = headers.find_head(records, spec, wanted)
    body = [record for record in records[head.lines :] if record]
    first = next(filter(any, records[head.above :]), [""])
    found = _named(first, body, spec, seen, header=head.header, file=file)
    own, renamed = names.distinct(found, str(file), wanted)
    counts = headers.counting_columns(found, body) if head.header and not spec.columns else [False] * len(found)
    positions, left = names.without_indexes(found, own, counts, wanted)
    end, mixed = line_ends(seen.text, seen.marks) if "\r" in seen.text else ("\n", False)
    other = LINE_END.search(seen.text)
    header, skip, blanked = _passed_over(file, seen, head, first)
    keep, below = _above_tail(file, seen, head.lines, body, len(found))
    return Dialect(
        seen.marks.separator,
        seen.marks.escape,
        seen.encoding,
        header,
        tuple(own[index] for index in positions),
        positions=positions,
        width=len(found),
        skip=skip,
        line_end=end if other is not None and other.group() != end else "",
        mixed=mixed,
        blanked=blanked,
        keep=keep,
        rows=not seen.whole or any(map(any, body)),
        said=(*_said_of_head(records, head), *renamed, *(left if body else ()), *below),
    )


def first_line(file: Path, spec: Files) -> list[str]:
    """Return the stripped values of a file's first line, names or data; titles above it are skipped."""
    seen = peek(file, spec)
    if seen is None:
        return []
    records = seen.records()
    return next(filter(any, records[headers.find_head(records, spec).above :]), [])


def _named(
    first: Sequence[str], body: list[list[str]], spec: Files, seen: Peek, *, header: bool, file: Path
) -> list[str]:
    """Return the name of each of a line's cells, empty for one without."""
    if not header and not spec.columns:
        return [""] * len(first)
    if not spec.columns:
        # empty values in quotes at the end of a line are values
        quoted = re.search(re.escape(seen.marks.separator) + r'""(?=\r|\n|\Z)', seen.text) is not None
        return headers.columns_of(first, body, at_least=usual_width(body) if quoted else 1)
    found = headers.columns_of(first, body, at_least=len(spec.columns))
    if len(spec.columns) != len(found):
        raise SpecError(
            "the declared columns are not those of the file",
            where=str(file),
            seen=f"{len(found)} columns in the file, {len(spec.columns)} names in the spec",
            expected="one name per column",
            cure="correct 'columns' (or 'separator') in Files",
        )
    return list(spec.columns)


def _passed_over(file: Path, seen: Peek, head: headers.Head, first: Sequence[str]) -> tuple[bool, int, int]:
    """Return whether only a header comes before the data, else how many lines do; and how many must be blanked.

    DuckDB takes quotes in what it passes over for what they are only if they are whole, and no mark of the encoding
    stands before one around a line end.
    """
    before = head.lines + (seen.start > 0)
    skip = before if before > head.header else 0
    passed = seen.text[: seen.start] + seen.beginning(head.lines)
    if '"' not in passed:
        return head.header and not skip, skip, 0
    lines = len(LINE_END.findall(passed))
    if lines > head.lines + 1 and len(passed) == len(seen.text) and passed.count('"') % 2:
        raise DataError(
            "a quote in the first lines is never closed",
            where=str(file),
            seen=repr(passed[:80]),
            expected="a quote at each end of a value",
            cure="correct the line where the file is made",
        )
    broken = seen.marked and any(end in cell for cell in first for end in "\r\n")
    odd = skip > 0 or (head.header and (broken or not seen.is_well_quoted(passed)))
    return head.header and not skip, skip, lines if odd else 0


def _above_tail(
    file: Path, seen: Peek, before: int, body: list[list[str]], width: int
) -> tuple[int | None, tuple[str, ...]]:
    """Return the number of bytes up to the end of the data if other lines follow, and a notice on those lines."""
    if width < 2:
        return None, ()
    tail = last_lines(file, seen)
    lines = seen.records(limit=None)[before:] if seen.whole else tail.lines
    count = tail_length(lines, [] if seen.whole else body, width, ended=tail.ended)
    if not count or tail.lines[-count:] != lines[-count:]:
        return None, ()
    told = f"{_count(count, 'line')} below the table left out: {_shown(tail.lines[-count:])}"
    return tail.size - sum(tail.sizes[-count:]), (told,)


def _said_of_head(records: list[list[str]], head: headers.Head) -> list[str]:
    above = [record for record in records[: head.above] if any(record)]
    below = [record for record in records[head.above + 1 : head.lines] if any(record)] if head.header else []
    return [
        f"{_count(len(lines), 'line')} {where} left out: {_shown(lines)}"
        for where, lines in (("above the header", above), ("right below the header", below))
        if lines
    ]


def _shown(lines: Sequence[Sequence[str]]) -> str:
    texts = [repr(", ".join(filter(None, line))[:80]) for line in lines if any(line)]
    return " and ".join(texts[:4]) + (" …" if len(texts) > 4 else "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("s" if number > 1 else "")
