"""Parses options: column names, separated by commas even if they hold commas themselves, and stage parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipelines.errors import SpecError
from pipelines.ingestion.files.names import matched

_PIECE = re.compile(r'[ \t]*(?:"((?:[^"]|"")*)"[ \t]*(?=[,\r\n]|\Z)|([^,\r\n]*))(,|\r\n|\r|\n|\Z)')
"""A name with quotes (doubled inside) or without, and what ends it."""


class Names(tuple[str, ...]):
    """The names in an option, split without knowing the columns; :func:`resolved` uses the columns."""

    text: str = ""
    """What was given."""


def split_names(text: str | None) -> Names:
    """Split ``a,"b, with comma",c`` or read ``@file``, with commas or a name per line; blanks around names are dropped.

    >>> split_names('age,"size (m, net)"')
    ('age', 'size (m, net)')
    """
    text = text or ""
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            seen = getattr(error, "strerror", None) or error
            raise SpecError("cannot read the list of names", where=text[1:], seen=seen) from None
    found = Names(name for line in _lines(text) for name, _ in line if name)
    found.text = text
    return found


def resolved(names: Iterable[str], columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that an option names; commas and line breaks may be part of a name.

    What is no column's name as it stands is one that differs from it in case, blanks or line breaks only, if there is
    one such; else it stays as it is.
    """
    names = tuple(names) if not isinstance(names, Names) else names
    known = set(columns)
    found: list[str] = []
    whole = names.text.strip() if isinstance(names, Names) else ""
    if whole in known:
        return (whole,)
    for line in _lines(names.text) if isinstance(names, Names) else [[(name, name)] for name in names]:
        index = 0
        while index < len(line):
            # the longest run of pieces that is a name
            for end in range(len(line), index, -1):
                joined = ",".join(raw for _, raw in line[index:end]).strip()
                if joined in known:
                    found.append(joined)
                    index = end
                    break
            else:
                found += [name] if (name := line[index][0]) else []
                index += 1
    other = {given: column for column, given in matched(columns, found).items()}
    return tuple(dict.fromkeys(other.get(name, name) for name in found))


def _lines(text: str) -> list[list[tuple[str, str]]]:
    """Return the pieces of each line, each as a name and as it was written."""
    lines: list[list[tuple[str, str]]] = [[]]
    for piece in _PIECE.finditer(text):
        quoted, plain, end = piece.groups()
        raw = piece.group()[: len(piece.group()) - len(end)]
        lines[-1].append((plain.strip() if quoted is None else quoted.replace('""', '"').strip(), raw))
        if not end:
            break
        if end != ",":
            lines.append([])
    return lines


def parse_params(pairs: list[str]) -> dict[str, Any]:
    """Read ``stage__field=value`` pairs; a value that is JSON is taken as such, else as text."""
    params: dict[str, Any] = {}
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found or "__" not in name:
            raise SpecError("not a parameter", where="--param", seen=pair, expected="stage__field=value")
        try:
            params[name] = json.loads(value)
        except ValueError:
            params[name] = value
    return params
