"""The cells of a text file's lines, and whether a column of them holds numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?%?")
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?")
MISSING = frozenset(("", "?", "na", "n/a", "#n/a", "nan", "<na>", "null", "none", "-", "--", ".", "unknown", "missing"))
"""Words that mean missing in columns of numbers, and so are no column names."""

Record = Sequence[str]
"""The stripped cells of a line; empty for a blank line."""


def usual_width(records: Sequence[Record]) -> int:
    """Return how many cells most lines have."""
    widths = Counter(len(record) for record in records if record)
    return max(widths.items(), key=lambda item: (item[1], item[0]))[0] if widths else 0


def body_of(records: Sequence[Record]) -> list[Record]:
    """Return the lines that are not blank."""
    return [record for record in records if record]


def cell_of(record: Record, index: int) -> str:
    """Return the cell at an index, empty if the line ends before it."""
    return record[index] if index < len(record) else ""


def is_empty(body: Sequence[Record], index: int) -> bool:
    """Tell whether no line has a value at an index."""
    return not any(cell_of(record, index) for record in body)


def is_number_column(body: Sequence[Record], index: int, share: float = 0.8) -> bool:
    """Tell whether most of the values at an index are numbers."""
    values = [record[index] for record in body if cell_of(record, index)]
    others, most = 0, (1 - share) * len(values)
    for value in values:
        others += not NUMBER.fullmatch(value)
        if others > most:
            return False
    return bool(values)
