"""Finds the header among a file's first lines, and the lines above and below it that are no data.

Whatever is not plainly a title or a second header line is data: the lines of a file are taken for what they are not
only if nothing else can explain them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipelines.ingestion.files.names import form
from pipelines.ingestion.files.records import (
    DATE,
    MISSING,
    NUMBER,
    Record,
    body_of,
    cell_of,
    is_empty,
    is_number_column,
    usual_width,
)
from pipelines.ingestion.files.second_headers import lines_below
from pipelines.ingestion.spec import Files

YEAR = re.compile(r"1[89]\d\d|20\d\d|21\d\d")
MOST_ABOVE = 30
"""Number of lines that are searched for a header."""


@dataclass(frozen=True)
class Head:
    """The lines before the data."""

    above: int
    """Lines above the header, or above the data."""
    header: bool
    """Whether the next one names the columns."""
    below: int = 0
    """Lines right below the header that are no data."""

    @property
    def lines(self) -> int:
        """Number of lines before the data."""
        return self.above + self.header + self.below


def find_head(records: Sequence[Record], spec: Files, wanted: Collection[str] = ()) -> Head:
    """Find a file's header, the titles above it, and second header lines below it.

    Parameters
    ----------
    records
        The file's first lines.
    wanted
        Names of columns that the model needs: where they stand, there is the header.
    """
    filled = [index for index, record in enumerate(records) if any(record)]
    if not filled or spec.header is False:
        return Head(0, header=False)
    first = filled[0]
    width = usual_width(records)
    if spec.columns:
        index, named = first, tuple(records[first][: len(spec.columns)]) == spec.columns
        header = spec.header or (named and not any(records[first][len(spec.columns) :]))
    else:
        known = _index_of_names(records, filled[:MOST_ABOVE], width, wanted)
        index = _index_below_titles(records, filled[:MOST_ABOVE], width) if known is None else known
        named = known is not None or index > first
        header = spec.header or named or _is_header(records[first], records[first + 1 :])
    if not header:
        return Head(first if width > 1 else 0, header=False)
    return Head(index, header=True, below=lines_below(records[index], records[index + 1 :]))


# --- where the header is


def _index_of_names(
    records: Sequence[Record], filled: Sequence[int], width: int, wanted: Collection[str]
) -> int | None:
    """Return the line with most of the wanted names: the first line, or one below titles."""
    forms = {form(name) for name in wanted}
    found, most = None, 0
    for index in filled if forms else ():
        hits = len(forms & {form(cell) for cell in records[index] if cell})
        if hits > most:
            found, most = index, hits
        if not _may_be_title(records[index], width):
            break
    return found


def _index_below_titles(records: Sequence[Record], filled: Sequence[int], width: int) -> int:
    """Return the first line, or the line below titles that can only be a header."""
    first = filled[0]
    if width < 2:
        return first
    index = next((index for index in filled if not _may_be_title(records[index], width)), first)
    if index > first and _is_plainly_header(records[index], records[index + 1 :], width):
        return index
    if _lacks_first_name(records[first], records[first + 1 :]):
        return first
    above = [records[line] for line in filled[: filled.index(index)]]
    apart = all(len(record) < width and sum(map(bool, record)) == 1 for record in above) and not any(records[index - 1])
    return index if above and apart and _is_header(records[index], records[index + 1 :]) else first


def _may_be_title(record: Record, width: int) -> bool:
    """Tell whether a line differs from the lines of the table: of another width, or at most half filled."""
    given = sum(map(bool, record))
    return (len(record) != width and given < width) or given <= width // 2


def _is_plainly_header(names: Record, below: Sequence[Record], width: int) -> bool:
    body = body_of(below)
    given = [name for name in names[1:] if name]
    if len(names) != width or len(given) < len(names) - 1 or len({form(name) for name in given}) < len(given):
        return False
    odd = _odd_names(names)
    return _are_names(odd, body) if odd else _names_a_number(names, body)


def _names_a_number(names: Record, body: Sequence[Record]) -> bool:
    """Tell whether a word that is no missing token is above a column of numbers, or above a unit and numbers."""
    return any(
        name.casefold() not in MISSING
        and not NUMBER.fullmatch(name)
        and not DATE.fullmatch(name)
        and (is_number_column(body, index) or is_number_column(body[1:], index))
        for index, name in enumerate(names)
    )


def _is_header(names: Record, below: Sequence[Record]) -> bool:
    """Tell whether a file's first line names its columns."""
    body = body_of(below)
    names = list(names)
    while len(names) > 1 and not names[-1] and is_empty(body, len(names) - 1):
        names.pop()  # the line ends with separators
    if not any(names):
        return False
    odd = _odd_names(names)
    if odd and not _are_names(odd, body):
        return False
    if odd or not all(names[1:]):
        return bool(odd) or (2 * sum(map(bool, names)) > len(names) and _names_a_number(names, body))
    if any(is_number_column(body, index) for index in range(len(names))):
        return True
    if len({name.lower() for name in names}) < len(names):
        return False
    return not any(
        len(record) == len(names) and record[index] == name for record in body for index, name in enumerate(names)
    )


def _odd_names(names: Record) -> dict[int, str]:
    return {index: name for index, name in enumerate(names) if NUMBER.fullmatch(name) or DATE.fullmatch(name)}


def _are_names(numbers: dict[int, str], body: Sequence[Record]) -> bool:
    """Tell whether numbers or dates in the first line name columns: years, months, 0, 1, 2, … above other values."""
    columns = {index: [record[index] for record in body if cell_of(record, index)] for index in numbers}
    if len(numbers) < 2 or not all(columns.values()) or len(set(numbers.values())) < len(numbers):
        return False
    for kind in (DATE, YEAR):
        if all(kind.fullmatch(name) for name in numbers.values()):
            alike = [sum(bool(kind.fullmatch(value)) for value in values) / len(values) for values in columns.values()]
            if max(alike) < 0.2:
                return True
    counts = [[cell_of(record, index) for index in numbers] for record in body]
    if len(numbers) < 3 or not _counts(list(numbers.values())) or 10 * sum(map(_counts, counts)) > len(body):
        return False
    return all(_is_unlike(int(name), columns[index]) for index, name in numbers.items())


def _counts(cells: Sequence[str]) -> bool:
    """Tell whether cells are whole numbers with a constant step."""
    if not all(cell.isdecimal() for cell in cells):
        return False
    return len({int(right) - int(left) for left, right in pairwise(cells)}) == 1


def _is_unlike(name: int, values: Sequence[str]) -> bool:
    """Tell whether a whole number cannot be one of the values: they are no numbers, have decimals, or another range."""
    numbers = [value.replace(",", ".") for value in values if NUMBER.fullmatch(value) and value[-1] != "%"]
    if len(numbers) < 0.8 * len(values):
        return True
    if sum("." in value for value in numbers) >= 0.8 * len(numbers):
        return True
    amounts = [float(value) for value in numbers]
    return not min(amounts) <= name <= max(amounts)


# --- what the columns are


def _lacks_first_name(names: Record, below: Sequence[Record]) -> bool:
    """Tell whether the data has one more column in front, as R writes row names."""
    body = body_of(below)
    if not body or not below[0] or len(names) != usual_width(body) - 1 or not all(names):
        return False
    first = [record[0] for record in body]
    return all(first) and len(set(first)) == len(first) and not is_empty(body, len(names))


def columns_of(names: Record, below: Sequence[Record], at_least: int = 1) -> list[str]:
    """Return the name of every column that the lines hold, empty for one without.

    Columns at the end without a name and without a value, where lines end with separators, are none; as far as
    ``at_least`` columns remain.
    """
    found = [name.replace("\r\n", "\n").replace("\r", "\n") for name in names]
    if _lacks_first_name(names, below):
        return ["", *found]
    while len(found) > max(at_least, 1) and not found[-1] and is_empty(body_of(below), len(found) - 1):
        found.pop()
    return found


def counting_columns(names: Sequence[str], body: Sequence[Record]) -> list[bool]:
    """Tell for each column whether it may be a row index of R or pandas: a distinct whole number per row."""
    found = [False] * len(names)
    for index in range(len(names)):
        values = [cell_of(record, index) for record in body]
        if not all(value.isdecimal() for value in values) or len(set(values)) < len(values):
            break
        found[index] = True
    return found
