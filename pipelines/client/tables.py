"""Rows of any form as request bodies: as many rows each as the gateway takes at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pipelines.client.cells import PLAIN, json_cell
from pipelines.client.errors import InputError

MAX_ROWS = 1_000
MAX_BYTES = (1 << 20) - 1_024
"""The gateway's cap on a body, and some room."""
BLOCK_ROWS = 10_000
"""Rows of a frame that are taken out of it at a time."""
HEAD, TAIL = b'{"instances":[', b"]}"

Rows: TypeAlias = Iterable[Mapping[str, Any]] | Mapping[str, Sequence[Any]] | Any
"""Rows: mappings, a mapping of columns, or a frame of pandas, polars or pyarrow."""


@dataclass(frozen=True, slots=True)
class Body:
    """The rows of one request.

    Parameters
    ----------
    first_row
        Number of its first row in the whole input.
    rows
        How many there are.
    content
        What is sent.
    """

    first_row: int
    rows: int
    content: bytes


def bodies(rows: Rows) -> Iterator[Body]:
    """Yield request bodies of at most ``MAX_ROWS`` rows and ``MAX_BYTES`` bytes, in the order of the rows.

    Raises
    ------
    InputError
        If the rows have no known form, or a cell cannot be sent.

    Examples
    --------
    >>> [body.content for body in bodies({"age": [31, None], "plan": ["a", "b"]})]
    [b'{"instances":[{"age":31,"plan":"a"},{"age":null,"plan":"b"}]}']
    >>> [(body.first_row, body.rows) for body in bodies([{"age": 31}] * 2300)]
    [(0, 1000), (1000, 1000), (2000, 300)]
    """
    held: list[bytes] = []
    first = size = 0
    for number, row in enumerate(_rows(rows)):
        encoded = _encoded(row, number)
        if held and (len(held) == MAX_ROWS or size + len(encoded) > MAX_BYTES):
            yield Body(first, len(held), HEAD + b",".join(held) + TAIL)
            held, first, size = [], number, 0
        held.append(encoded)
        size += len(encoded) + 1
    if held:
        yield Body(first, len(held), HEAD + b",".join(held) + TAIL)


def _encoded(row: Any, number: int) -> bytes:
    if not isinstance(row, Mapping):
        raise InputError(
            "a row is not a mapping", where=f"row {number}", seen=type(row).__name__, expected="{column: value}"
        )
    cells = {}
    for name, value in row.items():
        try:
            cells[str(name)] = value if type(value) in PLAIN else json_cell(value)
        except TypeError as error:
            raise InputError(
                "a cell cannot be sent",
                where=f"row {number}, column {str(name)!r}",
                seen=error,
                expected="text, a number, a truth value, a moment, or None",
                cure="convert the cell, or leave out the column if the model does not need it",
            ) from None
    if len(cells) != len(row):
        raise InputError("two columns have the same name", where=f"row {number}", seen=list(row))
    try:
        found = json.dumps(cells, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError as error:  # a lone surrogate, or a whole number of thousands of digits
        raise InputError("a row cannot be written as JSON", where=f"row {number}", seen=error) from None
    if len(found) > MAX_BYTES - len(HEAD) - len(TAIL):
        raise InputError(
            "a row is larger than a request may be",
            where=f"row {number}",
            seen=f"{len(found)} bytes",
            expected=f"at most {MAX_BYTES} bytes",
            cure="leave out columns that the model does not need",
        )
    return found


def _rows(rows: Rows) -> Iterator[Any]:
    """Yield rows one by one; a frame is taken apart by blocks."""
    if isinstance(rows, Mapping):
        yield from _of_columns({name: _cells(cells, name) for name, cells in rows.items()})
    elif hasattr(rows, "column_names") or (hasattr(rows, "columns") and hasattr(rows, "to_dict")):
        yield from _of_frame(rows)
    elif isinstance(rows, Iterable) and not isinstance(rows, str | bytes):
        yield from rows
    else:
        raise InputError(
            "the rows have no known form",
            seen=type(rows).__name__,
            expected="a list of mappings, a mapping of columns, or a frame of pandas, polars or pyarrow",
        )


def _of_frame(frame: Any) -> Iterator[dict[Any, Any]]:
    arrow = hasattr(frame, "column_names")
    names = list(frame.column_names if arrow else frame.columns)
    if len(set(map(str, names))) != len(names):
        raise InputError("two columns have the same name", where="the frame's columns", seen=names)
    for start in range(0, len(frame), BLOCK_ROWS):
        block = frame.iloc[start : start + BLOCK_ROWS] if hasattr(frame, "iloc") else frame.slice(start, BLOCK_ROWS)
        yield from _of_columns({name: _cells(block.column(name) if arrow else block[name], name) for name in names})


def _of_columns(columns: Mapping[Any, Sequence[Any]]) -> Iterator[dict[Any, Any]]:
    lengths = {str(name): len(cells) for name, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InputError("the columns differ in length", seen=lengths, expected="one length")
    names = list(columns)
    for cells in zip(*columns.values(), strict=True):
        yield dict(zip(names, cells, strict=True))


def _cells(column: Any, name: Any) -> Sequence[Any]:
    """Return the cells of a column as Python has them, missing ones still in their library's form."""
    if hasattr(column, "dtype") and getattr(column.dtype, "kind", "") in tuple("mM") and not hasattr(column, "iloc"):
        column = column.astype(f"{column.dtype.kind}8[us]")  # of nanoseconds NumPy makes plain numbers
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(column, method):
            return list(getattr(column, method)())
    if isinstance(column, Sequence) and not isinstance(column, str | bytes):
        return column
    raise InputError(
        "a column is not a list",
        where=f"column {str(name)!r}",
        seen=type(column).__name__,
        expected="[value]",
        cure="for rows send a list of mappings, even for one row",
    )
