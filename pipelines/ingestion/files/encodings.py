"""Rewrites texts for DuckDB: in UTF-8, with uniform line ends, without lines below the table.

Windows-1252 is latin-1 with signs (€ ’ –) where that has control characters.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pipelines.full_disk import disk_errors
from pipelines.ingestion.files.compression import chunks

MOST_HELD = 1 << 25
"""A quote that is open for more bytes than this is taken as never closed."""
_LINE_END = re.compile(rb"\r\n|\r|\n")
_SIGNS = {byte: bytes([byte]).decode("cp1252", errors="ignore") or chr(byte) for byte in range(0x80, 0xA0)}


def decoded(raw: bytes) -> str:
    """Read bytes as Windows-1252; the five that it does not have are control characters, as on the web."""
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1").translate(_SIGNS)


@dataclass(frozen=True)
class Marks:
    """The separator, and the escape character inside quotes."""

    separator: str
    escape: str = '"'

    def pattern(self) -> re.Pattern[bytes]:
        """Return the pattern of quoted values (also of one that is not closed yet) and of line ends outside them."""
        start = rb"(?:(?<=[\r\n" + re.escape(self.separator.encode()) + rb"])|(?<=\xef\xbb\xbf)|(?<![\s\S]))"
        inside = rb'[^"]++|""' if self.escape == '"' else rb'[^"\\]++|\\[\s\S]|""'
        return re.compile(start + rb'"(?:' + inside + rb')*+(?:"|\Z)|\r+\n|\n|\r')


@dataclass(frozen=True)
class Changes:
    """What a copy of a text file changes besides the encoding."""

    encoding: str
    blanked: int = 0
    """Number of lines at the beginning that are blanked."""
    keep: int | None = None
    """Number of bytes to copy; None: all."""
    marks: Marks | None = None
    """For line ends of one kind outside quotes, where a carriage return alone is one; None: they stay as they are."""


def rewritten(file: Path, target: Path, changes: Changes) -> None:
    """Copy a text file (compressed as its name says) as UTF-8, some megabytes at a time."""
    parts = _utf8(_first(chunks(file), changes.keep), changes.encoding)
    if changes.blanked:
        parts = _with_blank_lines(parts, changes.blanked)
    if changes.marks is not None:
        parts = _with_one_line_end(parts, changes.marks.pattern())
    with disk_errors(target), target.open("wb") as output:
        output.writelines(parts)


def line_ends(text: str, marks: Marks) -> tuple[str, bool]:
    r"""Return the first line end outside quotes, and whether there are other kinds.

    >>> line_ends('"a\nb",c\r\n1,2\r\n', Marks(","))
    ('\r\n', False)
    """
    found = [match.group() for match in marks.pattern().finditer(text.encode()) if not match.group().startswith(b'"')]
    kinds = set(found)
    return (found[0].decode() if found else "\n"), len(kinds) > 1 or bool(kinds - {b"\n", b"\r\n", b"\r"})


def has_mixed_line_ends(file: Path) -> bool:
    """Tell whether a file has line ends of several kinds anywhere, in quotes or not."""
    lone = pairs = news = 0
    last = b""
    for chunk in chunks(file):
        part = last + chunk
        last = part[-1:] if part.endswith(b"\r") else b""
        part = part[: len(part) - len(last)]
        both = part.count(b"\r\n")
        pairs, news, lone = pairs + both, news + part.count(b"\n") - both, lone + part.count(b"\r") - both
    return sum(map(bool, (lone + len(last), pairs, news))) > 1


def _first(parts: Iterable[bytes], keep: int | None) -> Iterator[bytes]:
    for part in parts:
        if keep is None:
            yield part
        elif keep > 0:
            yield part[:keep]
            keep -= len(part)
        else:
            break


def _utf8(parts: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield a text's bytes in UTF-8 without a byte order mark; invalid bytes stay, so that the reader reports them."""
    if encoding == "utf-8":
        for index, part in enumerate(parts):
            yield part if index else part.removeprefix(codecs.BOM_UTF8)
    elif encoding == "latin-1":
        for part in parts:
            yield decoded(part).encode()
    else:
        decoder = codecs.getincrementaldecoder(encoding)("replace")
        for part in parts:
            yield decoder.decode(part).encode()
        yield decoder.decode(b"", final=True).encode()


def _with_blank_lines(parts: Iterable[bytes], lines: int) -> Iterator[bytes]:
    """Yield the text with its first lines blanked; they keep the line end of the last of them."""
    rest = iter(parts)
    held = b""
    for part in rest:
        held += part
        ends = list(islice(_LINE_END.finditer(held), lines))
        if len(ends) == lines and ends[-1].end() < len(held):
            yield ends[-1].group() * lines
            held = held[ends[-1].end() :]
            break
    yield held
    yield from rest


def _with_one_line_end(parts: Iterable[bytes], pattern: re.Pattern[bytes]) -> Iterator[bytes]:
    """Yield the text with LF line ends; each part is yielded up to its last line end outside quotes."""
    held = b""
    for part in parts:
        held += part
        ready = _ready(held, pattern)
        if not ready and len(held) > MOST_HELD:
            ready = len(held)
        yield pattern.sub(_one_line_end, held[:ready])
        held = held[ready:]
    yield pattern.sub(_one_line_end, held)


def _ready(held: bytes, pattern: re.Pattern[bytes]) -> int:
    """Return the length of a part up to its last line end outside quotes; one at the very end may be incomplete."""
    last, sure = 0, len(held.rstrip(b"\r"))
    for match in pattern.finditer(held):
        if match.end() <= sure and not match.group().startswith(b'"'):
            last = match.end()
    return last


def _one_line_end(match: re.Match[bytes]) -> bytes:
    found = match.group()
    return found if found.startswith(b'"') else b"\n"
