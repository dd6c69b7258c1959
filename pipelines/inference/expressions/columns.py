"""Columns computed from others of the same row: one small language, for whole tables and for one request row.

Numbers are 64-bit floats; a cell is read as the row recipe reads it (text numbers, missing tokens), and what cannot
be read is null. Null in is null out, but for `coalesce`, `missing`, and SQL's three-valued `and` and `or`. A division
by zero, a result that is no finite number and a date that no calendar has are null. A column that stands alone, or is
compared for equality with another column, is read as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import pyarrow as pa

from pipelines.inference.expressions import batch
from pipelines.inference.expressions.parser import parse
from pipelines.inference.expressions.row import compile_row
from pipelines.inference.expressions.tree import ExpressionNode, Kind


@dataclass(frozen=True)
class Expression:
    """One parsed expression.

    Parameters
    ----------
    text
        As written.
    kind
        Of its value: ``number``, ``text``, ``bool`` or ``moment``.
    columns
        Names of the columns it reads, each once, in the order of the text.
    reads
        Name and kind that each column is first read as, in the same order.

    Examples
    --------
    >>> late = Expression.parse("arr_delay >= 15 and not missing(`tail number`)")
    >>> late.columns
    ('arr_delay', 'tail number')
    >>> late.evaluate_row({"arr_delay": "22", "tail number": "N14228"})
    True
    """

    text: str
    kind: Kind
    columns: tuple[str, ...]
    reads: tuple[tuple[str, Kind], ...]
    _tree: ExpressionNode = field(repr=False, compare=False)
    _row: Callable[[Mapping[str, Any]], Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, want: Kind | None = None) -> Expression:
        """Read an expression.

        Parameters
        ----------
        text
            Up to 10,000 characters.
        want
            The kind that the value must have; decides how a column that stands alone is read. None: the
            expression's own.

        Raises
        ------
        SpecError
            The text is not in the language; names the position, what stands there and what the language has.
        """
        return _parsed(text, want)

    def evaluate(self, columns: Mapping[str, Any], rows: int) -> pa.Array:
        """Evaluate for a table.

        Parameters
        ----------
        columns
            Raw cells by name: Arrow arrays, Series, arrays or lists of ``rows`` cells of any type.

        Returns
        -------
        Array
            (rows,) float64, large_string, bool or timestamp[us].

        Raises
        ------
        DataError
            A column is missing.
        """
        return batch.evaluate(self._tree, columns, rows)

    def evaluate_row(self, row: Mapping[str, Any]) -> Any:
        """Evaluate for one raw row: float, str, bool, ``datetime`` or None; an absent column is null."""
        return self._row(row)


@lru_cache(maxsize=1024)
def _parsed(text: str, want: Kind | None) -> Expression:
    tree = _folded(parse(text, want))
    reads: dict[str, Kind] = {}
    for name, kind in _reads(tree):
        reads.setdefault(name, kind)
    return Expression(text, tree.kind or "text", tuple(reads), tuple(reads.items()), tree, compile_row(tree))


def _folded(node: ExpressionNode) -> ExpressionNode:
    """Replace what holds no column by its value."""
    if node.op in ("column", "constant"):
        return node
    node = replace(node, args=tuple(_folded(arg) for arg in node.args))
    if all(arg.op == "constant" for arg in node.args):
        return ExpressionNode("constant", node.kind, value=compile_row(node)({}), at=node.at)
    if node.op == "if" and node.args[0].op == "constant":
        chosen = node.args[0].value
        return ExpressionNode("constant", node.kind, at=node.at) if chosen is None else node.args[1 if chosen else 2]
    return node


def _reads(node: ExpressionNode) -> list[tuple[str, Kind]]:
    if node.op == "column":
        return [(node.value, node.kind or "text")]
    return [read for arg in node.args for read in _reads(arg)]
