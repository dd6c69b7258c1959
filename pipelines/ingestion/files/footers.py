"""Detects lines at the end of a file that are no data: totals, and notes below the table.

A line is taken for a total only if its first word says so, no line of data has that word there, and it differs from
them: cells are empty that no other line leaves empty, or its numbers are the sums of their columns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipelines.ingestion.files.records import Record

_TOTAL = re.compile(
    r"(grand|sub|overall|report)?[ -]?totals?|total (general|g[ée]n[ée]ral|geral|generale|row|count|sum)|sums?|summen?|"
    r"(gesamt|end|zwischen)(summe|ergebnis)?|insgesamt|somme|totale|totaal|suma( total)?|summa|soma|razem|celkem|"
    r"toplam|yhteensä|i alt|összesen|итого|всего|合计|总计|合計|総計|averages?|mean|durchschnitt|mittelwert|moyenne|"
    r"promedio",
    re.IGNORECASE,
)
_AROUND = re.compile(r"^[\s*=#-]+|\s*(\([^)]*\)|\[[^\]]*\])?[\s:*=-]*$")
_COUNT = r"[-(]*\s*\d+ (rows?|records?|lines?|zeilen|datensätze)\b.*"
_NOTE = re.compile(
    rf"(sources?|notes?|quellen?|hinweis|fuente|nota|legend|disclaimer|copyright|stand|last updated?) ?:.+|{_COUNT}|"
    r"((generated|exported|created|printed|erstellt) (on|by|at|from|am|von)|end of|copyright|as of) .+",
    re.IGNORECASE | re.DOTALL,
)
_MARKED = re.compile(r"[*©†‡¹#].+|\(c\) .+|[-=_*]{3,}", re.IGNORECASE | re.DOTALL)
MOST = 10
"""Number of lines, without blank ones, that are searched for notes and totals."""


def tail_length(lines: Sequence[Record], others: Sequence[Record], width: int, *, ended: bool) -> int:
    """Count the last lines that are totals or notes, including blank lines among them.

    Parameters
    ----------
    lines
        The cells of the file's last lines, stripped; none for a blank one.
    others
        Lines of data from the file's beginning; none if ``lines`` are all that there are.
    width
        How many columns the table has.
    ended
        Whether the last line has its end: if not, it may be half of one.
    """
    start, seen = len(lines), 0
    while start and seen < MOST and (not any(lines[start - 1]) or _may_be_tail(lines[start - 1], width)):
        start -= 1
        seen += any(lines[start])
    data = [record for record in (*others, *lines[:start]) if len(record) >= width and any(record)]
    found = 0
    for index in range(len(lines) - 1, start - 1, -1):
        record = lines[index]
        if not any(record):
            continue
        apart = index > 0 and not any(lines[index - 1]) and (ended or index < len(lines) - 1)
        if not _is_note(record, width, apart) and not _is_total(record, data, width, whole=not others):
            break
        found = len(lines) - index
    return found


def _may_be_tail(record: Record, width: int) -> bool:
    return _is_note(record, width, apart=True) or _is_total_word(next(filter(None, record)))


def _is_note(record: Record, width: int, apart: bool) -> bool:
    """Tell whether a line is a note: a single cell that starts like a note or follows a blank line."""
    text = record[0]
    if not text or any(record[1:]) or _is_total_word(text):
        return False
    if _NOTE.fullmatch(text):
        return True
    return len(record) < width and (_MARKED.fullmatch(text) is not None or (apart and " " in text))


def _is_total(record: Record, data: Sequence[Record], width: int, *, whole: bool) -> bool:
    named = next(index for index, cell in enumerate(record) if cell)
    if not _is_total_word(record[named]) or any(record[width:]) or len(data) < 2:
        return False
    if any(_is_total_word(other[named]) for other in data if named < width):
        return False
    if len(record) < width:
        return True
    empty = [index for index in range(width) if not record[index]]
    seldom = [index for index in empty if all(other[index] for other in data)]
    return bool(seldom) or (whole and _holds_sums(record[:width], data, named))


def _holds_sums(record: Record, data: Sequence[Record], named: int) -> bool:
    """Tell whether all numbers of a line, at least one, are the sums of their columns."""
    given = [index for index, cell in enumerate(record) if cell and index != named]
    try:
        sums = {index: sum(float(other[index] or 0) for other in data) for index in given}
        return bool(given) and all(
            abs(sums[index] - float(record[index])) <= 1e-6 * abs(sums[index]) for index in given
        )
    except ValueError:
        return False


def _is_total_word(cell: str) -> bool:
    return _TOTAL.fullmatch(_AROUND.sub("", cell)) is not None
