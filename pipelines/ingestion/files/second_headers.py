"""Detects lines right below a header that are no data: units, types, longer names, a rule."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipelines.ingestion.files.records import DATE, MISSING, NUMBER, Record, body_of, cell_of, is_number_column
from pipelines.ingestion.files.unit_words import is_unit

MOST_BELOW = 3
"""Most lines below a header that may belong to it."""
RULE = re.compile(r"[-=_]+")


def lines_below(names: Record, below: Sequence[Record]) -> int:
    """Count the lines right below a header that hold units, types or longer names, or underline it."""
    found = 0
    for index, record in enumerate(below[: 2 * MOST_BELOW]):
        if not record:
            continue
        if found >= MOST_BELOW or not _belongs_to_header(record, body_of(below[index + 1 :]), len(names)):
            break
        found = index + 1
    return found


def _belongs_to_header(record: Record, body: Sequence[Record], width: int) -> bool:
    if not any(record) or len(body) < 2:
        return False
    if len(record) > 1 and all(RULE.fullmatch(cell) for cell in record) and any(len(cell) > 2 for cell in record):
        return True
    if any(NUMBER.fullmatch(cell) and is_number_column(body, index, 0.95) for index, cell in enumerate(record)):
        return False
    indices = [index for index in range(width) if is_number_column(body, index, 0.95)]
    above = {index: record[index] for index in indices if cell_of(record, index)}
    if not above or any(DATE.fullmatch(cell) or cell.casefold() in MISSING - {"-"} for cell in above.values()):
        return False
    if any(cell_of(other, index) == cell for index, cell in above.items() for other in body):
        return False
    beside = [cell for index, cell in enumerate(record) if index not in indices and cell]
    if all(map(is_unit, [*above.values(), *beside])) and set(above.values()) != {"-"}:
        return True
    return len(above) >= 3 and len(above) == len(indices) == len(set(above.values()))
