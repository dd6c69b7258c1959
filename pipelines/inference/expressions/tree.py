"""The typed tree of an expression, and the functions of the language.

Every node has one kind, settled from the text alone and never from the data, so that a batch and a single row read
the same cell in the same way. The kind of a column follows from its use: a number in `a + 1`, text in `a == 'x'`, a
moment in `year(a)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["number", "text", "bool", "moment"]
LANGUAGE = (
    "column names (odd ones in `backticks`), numbers, 'texts', True, False, None; + - * / // % **; < <= == != >= >; "
    "and, or, not; in (…); a if c else b; abs floor ceil round sqrt log exp min max coalesce missing lower upper strip "
    "length concat moment year month day weekday hour minute days_between hours_between"
)


@dataclass(frozen=True)
class ExpressionNode:
    """One operation; ``kind`` is None until its use settles it, ``at`` is a position in the text."""

    op: str
    kind: Kind | None
    args: tuple[ExpressionNode, ...] = ()
    value: Any = None
    at: int = 0


@dataclass(frozen=True)
class Function:
    """What a function takes and gives; ``takes`` None: one kind for all, which it also gives."""

    takes: Kind | None
    gives: Kind | None
    least: int = 1
    most: int = 1


FUNCTIONS: dict[str, Function] = {
    **dict.fromkeys(("abs", "floor", "ceil", "sqrt", "log", "exp"), Function("number", "number")),
    "round": Function("number", "number", 1, 2),
    **dict.fromkeys(("min", "max"), Function(None, None, 2, 100)),
    "coalesce": Function(None, None, 1, 100),
    "missing": Function(None, "bool"),
    **dict.fromkeys(("lower", "upper", "strip"), Function("text", "text")),
    "length": Function("text", "number"),
    "concat": Function("text", "text", 1, 100),
    "moment": Function("number", "moment", 1, 6),
    **dict.fromkeys(("year", "month", "day", "weekday", "hour", "minute"), Function("moment", "number")),
    **dict.fromkeys(("days_between", "hours_between"), Function("moment", "number", 2, 2)),
}
