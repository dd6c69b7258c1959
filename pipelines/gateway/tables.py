"""The cells of a request by column: whatever a caller's protocol, this is what a service is asked with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.gateway.errors import RequestError

MAX_ROWS = 1_000
NESTED = frozenset({list, dict})
FAULTS = 20


@dataclass(frozen=True)
class Shape:
    """What the requests of one version hold.

    Parameters
    ----------
    requested
        Columns that the model needs; those that are not in ``required`` may be absent.
    nested
        Columns whose training cells were lists or objects.
    key
        Columns that identify a row and that the model does not need; they are logged where they are sent.
    facts
        All that the service says of itself, see :func:`pipelines.inference.service.server.describe`.
    private
        What the prediction log holds of a column: ``hash`` or ``drop``.
    """

    requested: tuple[str, ...]
    required: frozenset[str]
    nested: frozenset[str]
    key: tuple[str, ...]
    facts: Mapping[str, Any]
    private: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Shape:
        """Take what a service says of itself."""
        nested = frozenset(column["name"] for column in facts["columns"] if column["nested"])
        requested = tuple(facts["requested"])
        key = tuple(name for name in facts["key"] if name not in requested)
        private = facts.get("private") or {}
        return cls(requested, frozenset(facts["required"]), nested, key, facts, private)


@dataclass(frozen=True)
class Table:
    """Cells by column: every requested column has ``rows`` cells; ``key`` holds those of the key, where it was sent.

    Which of them are ``private`` is as the version says that they were read for.
    """

    columns: dict[str, list[Any]]
    rows: int
    key: Mapping[str, list[Any]] = field(default_factory=dict)
    private: Mapping[str, str] = field(default_factory=dict)


def table_of_rows(rows: Any, shape: Shape, where: str = "instances") -> Table:
    """Return the needed cells of a list of objects; other members are ignored, whatever they hold.

    Raises
    ------
    RequestError
        400 for no rows, too many, a row that is no object, a needed column that is absent, or a list or an object in
        a needed column.
    """
    count = _count(rows, where)
    if not {dict}.issuperset(map(type, rows)):
        index = next(index for index, row in enumerate(rows) if not isinstance(row, dict))
        raise RequestError(
            400,
            "a row is not an object",
            where=f"{where}[{index}]",
            seen=type(rows[index]).__name__,
            expected="{column: value}",
        )
    try:
        columns = {
            name: [row[name] for row in rows] if name in shape.required else [row.get(name) for row in rows]
            for name in shape.requested
        }
    except KeyError:
        lacks = {
            index: [name for name in shape.requested if name in shape.required and name not in row]
            for index, row in enumerate(rows)
        }
        faults = [f"row {index} lacks {', '.join(map(repr, names))}" for index, names in lacks.items() if names]
        raise lacking(shape, faults, count) from None
    key = {name: [row[name] for row in rows] for name in shape.key if all(name in row for row in rows)}
    return checked(Table(columns, count, key, shape.private), shape)


def table_of_columns(columns: Mapping[str, Any], shape: Shape, where: str = "inputs") -> Table:
    """Return the needed cells of an object of lists, one per column.

    Raises
    ------
    RequestError
        400 as for rows, and for columns of different length.
    """
    absent = [name for name in shape.requested if name in shape.required and name not in columns]
    if absent:
        raise lacking(shape, [f"{where} lacks {', '.join(map(repr, absent))}"], 1)
    needed = {name: columns[name] for name in shape.requested if name in columns}
    for name, cells in needed.items():
        if not isinstance(cells, list):
            raise RequestError(
                400, "a column is not a list", where=f"{where}[{name!r}]", seen=type(cells).__name__, expected="[value]"
            )
    lengths = {name: len(cells) for name, cells in needed.items()}
    if len(set(lengths.values())) > 1:
        raise RequestError(400, "the columns differ in length", where=where, seen=lengths, expected="one length")
    sent = [cells for cells in columns.values() if isinstance(cells, list)]
    count = _count(next(iter(needed.values()), sent[0] if sent else [None]), where)
    key = {name: columns[name] for name in shape.key if name in columns and _fits(columns[name], count)}
    for name in shape.requested:
        needed.setdefault(name, [None] * count)
    return checked(Table(needed, count, key, shape.private), shape)


def checked(table: Table, shape: Shape) -> Table:
    """Return a table whose cells are plain.

    Raises
    ------
    RequestError
        400 for a list or an object in a column whose training cells were none.
    """
    faults = []
    for name, cells in table.columns.items():
        if name not in shape.nested and not NESTED.isdisjoint(map(type, cells)):
            index = next(index for index, cell in enumerate(cells) if type(cell) in NESTED)
            kind = "a list" if isinstance(cells[index], list) else "an object"
            faults.append(f"row {index}: column {name!r} holds {kind}")
    if faults:
        raise RequestError(
            400,
            "a needed column holds a list or an object",
            expected="text, number, true, false or null",
            cure="send one plain value per cell",
            faults=faults[:FAULTS],
        )
    return table


def _fits(cells: Any, count: int) -> bool:
    return isinstance(cells, list) and len(cells) == count and NESTED.isdisjoint(map(type, cells))


def _count(rows: Any, where: str) -> int:
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ROWS:
        seen = f"{len(rows)} rows" if isinstance(rows, list) else type(rows).__name__
        raise RequestError(400, "wrong number of rows", where=where, seen=seen, expected=f"1 to {MAX_ROWS} rows")
    return len(rows)


def lacking(shape: Shape, faults: Sequence[str], rows: int) -> RequestError:
    """Return the error of rows that lack needed columns."""
    more = [f"and {len(faults) - FAULTS} more"] if len(faults) > FAULTS else []
    needed = [name for name in shape.requested if name in shape.required]
    return RequestError(
        400,
        f"{len(faults)} of {rows} rows cannot be read",
        expected="the columns " + ", ".join(map(repr, needed)),
        cure="send every column; where a value is not known, send null",
        faults=[*faults[:FAULTS], *more],
    )
