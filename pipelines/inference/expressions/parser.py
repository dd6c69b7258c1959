"""The text of an expression to its tree, by a whitelist: nothing of the text is ever run as a program."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipelines.errors import SpecError
from pipelines.inference.expressions.tree import FUNCTIONS, LANGUAGE, ExpressionNode, Kind
from pipelines.inference.recipe import dates
from pipelines.inference.recipe.cells import canonical_text

MAX_LENGTH = 10_000
MAX_DEPTH = 200
MAX_NODES = 10_000
"""The inner values of a chain such as `a < b < c` count twice."""
_BINARY: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
}
_COMPARE: dict[type[ast.AST], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.GtE: ">=",
    ast.Gt: ">",
}


def parse(text: str, want: Kind | None = None) -> ExpressionNode:
    """Return the tree of a text; ``want`` is the kind its value must have, None for its own.

    Raises
    ------
    SpecError
        The text is not in the language; names the position.
    """
    reader = _Reader(text)
    node = reader.read()
    if want is not None:
        return reader.settle(node, want)
    return reader.settle(node, node.kind or "text")


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.count = text, 0
        if len(text) > MAX_LENGTH:
            raise self.wrong(MAX_LENGTH, f"{len(text)} characters", f"at most {MAX_LENGTH}")
        self.plain, self.quoted = self._unquote(text)

    def wrong(self, at: int, seen: str, expected: str = "") -> SpecError:
        start = max(0, at - 30)
        shown = ("…" if start else "") + self.text[start : at + 30] + ("…" if len(self.text) > at + 30 else "")
        return SpecError(
            "an expression is not in the language",
            where=f"character {at + 1} of {shown!r}",
            seen=seen[:200],
            expected=expected or LANGUAGE,
            cure="correct the expression at the top of the DAG file",
        )

    def _unquote(self, text: str) -> tuple[str, dict[int, str]]:
        """Replace backticked names by underscores; every other character keeps its position."""
        out, names, quote, at = list(text), dict[int, str](), "", 0
        while at < len(text):
            sign = text[at]
            if quote:
                at += 2 if sign == "\\" else 1
                quote = "" if sign == quote else quote
                continue
            if sign in "'\"":
                quote = sign
            elif sign == "`":
                end = text.find("`", at + 1)
                if end <= at + 1:
                    raise self.wrong(at, "a backtick", "a column name between two backticks")
                names[at] = text[at + 1 : end]
                out[at : end + 1] = "_" * (end + 1 - at)
                at = end
            elif sign in "\r\n\t\f":
                out[at] = " "
            at += 1
        plain = "".join(out)
        return plain, names

    def read(self) -> ExpressionNode:
        indent = len(self.plain) - len(self.plain.lstrip())
        if not self.plain.strip():
            raise self.wrong(0, "nothing")
        try:
            # Parentheses keep an indented text one line; the tree is only read, never compiled.
            tree = ast.parse("(" + self.plain[indent:] + ")", mode="eval")
        except SyntaxError as error:
            at = max(0, min((error.offset or 2) - 2 + indent, len(self.text)))
            raise self.wrong(at, f"{self.text[at : at + 20]!r}: {error.msg}") from None
        except (ValueError, MemoryError, RecursionError, OverflowError) as error:
            raise self.wrong(
                0, f"{type(error).__name__}: a text nested too deep, or with characters that no text has"
            ) from None
        self.bytes = ("(" + self.plain[indent:]).encode("utf-8", "surrogatepass")
        self.indent = indent
        return self.node(tree.body, 0)

    def position(self, offset: int) -> int:
        return len(self.bytes[:offset].decode("utf-8", "surrogatepass")) - 1 + self.indent

    def node(self, item: ast.expr, depth: int) -> ExpressionNode:
        at = self.position(item.col_offset)
        if depth > MAX_DEPTH:
            raise self.wrong(at, f"more than {MAX_DEPTH} operations inside each other", f"at most {MAX_DEPTH}")
        self.count += 1
        if self.count > MAX_NODES:
            raise self.wrong(at, f"more than {MAX_NODES} operations", f"at most {MAX_NODES}")
        if item.lineno != 1:
            raise self.wrong(0, "several lines inside a text")

        def inner(part: ast.expr) -> ExpressionNode:
            return self.node(part, depth + 1)

        match item:
            case ast.Name():
                return self.column(at, self.position(item.end_col_offset or 0))
            case ast.Constant():
                return self.constant(item.value, at)
            case ast.BinOp() if type(item.op) in _BINARY:
                return self.made(_BINARY[type(item.op)], "number", "number", [inner(item.left), inner(item.right)], at)
            case ast.UnaryOp(op=ast.USub()):
                operand = inner(item.operand)
                if operand.op == "constant" and operand.kind == "number":
                    return replace(operand, value=-operand.value, at=at)
                return self.made("neg", "number", "number", [operand], at)
            case ast.UnaryOp(op=ast.UAdd()):
                return self.settle(inner(item.operand), "number")
            case ast.UnaryOp(op=ast.Not()):
                return self.made("not", "bool", "bool", [inner(item.operand)], at)
            case ast.BoolOp():
                op = "and" if isinstance(item.op, ast.And) else "or"
                return self.made(op, "bool", "bool", [inner(part) for part in item.values], at)
            case ast.Compare():
                return self.comparison(item, at, depth)
            case ast.IfExp():
                test = self.settle(inner(item.test), "bool")
                branches = self.alike([inner(item.body), inner(item.orelse)], at)
                return ExpressionNode("if", branches[0].kind, (test, *branches), at=at)
            case ast.Call():
                return self.call(item, at, depth)
        name = type(item).__name__
        raise self.wrong(at, f"{self.text[at : at + 30]!r} ({name})")

    def column(self, at: int, end: int) -> ExpressionNode:
        return ExpressionNode("column", None, value=self.quoted.get(at, self.text[at:end]), at=at)

    def constant(self, value: Any, at: int) -> ExpressionNode:
        if value is None:
            return ExpressionNode("constant", None, at=at)
        if isinstance(value, bool):
            return ExpressionNode("constant", "bool", value=value, at=at)
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                raise self.wrong(at, "half of a character") from None
            return ExpressionNode("constant", "text", value=value, at=at)
        try:
            number = float(value)
        except (OverflowError, TypeError, ValueError):
            raise self.wrong(at, repr(value)[:40], "a number that a 64-bit float holds, or a text") from None
        if number in (float("inf"), float("-inf")):
            raise self.wrong(at, "infinity", "a number that a 64-bit float holds")
        return ExpressionNode("constant", "number", value=number, at=at)

    def made(self, op: str, takes: Kind, gives: Kind, args: Sequence[ExpressionNode], at: int) -> ExpressionNode:
        return ExpressionNode(op, gives, tuple(self.settle(arg, takes) for arg in args), at=at)

    def comparison(self, item: ast.Compare, at: int, depth: int) -> ExpressionNode:
        left, parts = item.left, list[ExpressionNode]()
        for operator, right in zip(item.ops, item.comparators, strict=True):
            if isinstance(operator, ast.In | ast.NotIn):
                found = self.membership(self.node(left, depth + 1), right, at, depth)
                parts.append(found if isinstance(operator, ast.In) else ExpressionNode("not", "bool", (found,), at=at))
            elif type(operator) in _COMPARE:
                op = _COMPARE[type(operator)]
                pair = self.alike([self.node(left, depth + 1), self.node(right, depth + 1)], at)
                unknown: Kind = "text" if op in ("==", "!=") else "number"
                pair = [self.as_compared(self.settle(side, side.kind or unknown)) for side in pair]
                parts.append(ExpressionNode(op, "bool", tuple(pair), at=at))
            else:
                raise self.wrong(at, type(operator).__name__)
            left = right
        return parts[0] if len(parts) == 1 else ExpressionNode("and", "bool", tuple(parts), at=at)

    def membership(self, what: ExpressionNode, among: ast.expr, at: int, depth: int) -> ExpressionNode:
        if not isinstance(among, ast.Tuple | ast.List | ast.Set) or not among.elts:
            raise self.wrong(
                self.position(among.col_offset), self.text[at : at + 30], "values in parentheses: in ('a', 'b')"
            )
        items = [self.node(part, depth + 1) for part in among.elts]
        if other := [one for one in items if one.op != "constant" or one.value is None]:
            raise self.wrong(other[0].at, self.text[other[0].at : other[0].at + 30], "numbers or texts in parentheses")
        sides = self.alike([what, *items], at)
        settled = [self.as_compared(self.settle(side, side.kind or "text")) for side in sides]
        return ExpressionNode("in", "bool", (settled[0],), value=tuple(one.value for one in settled[1:]), at=at)

    @staticmethod
    def as_compared(side: ExpressionNode) -> ExpressionNode:
        """Texts are compared in their one spelling, which cells have already."""
        if side.op == "constant" and isinstance(side.value, str):
            return replace(side, value=canonical_text(side.value))
        return side

    def call(self, item: ast.Call, at: int, depth: int) -> ExpressionNode:
        name = item.func.id if isinstance(item.func, ast.Name) else ""
        function = FUNCTIONS.get(name)
        if function is None or at in self.quoted:
            raise self.wrong(at, f"{self.text[at : at + 30]!r}", f"one of the functions {' '.join(FUNCTIONS)}")
        count = len(item.args)
        if item.keywords or any(isinstance(arg, ast.Starred) for arg in item.args):
            raise self.wrong(at, "a named or starred argument", f"{name}(value, …)")
        most = 6 if name == "moment" else function.most
        if not function.least <= count <= most or (name == "moment" and count == 2):
            wanted = f"{function.least} to {most}" if most > function.least else f"{most}"
            raise self.wrong(
                at,
                f"{name} with {count} values",
                "moment(x) or moment(y, m, d[, h[, mi[, s]]])" if name == "moment" else f"{name} with {wanted} values",
            )
        args = [self.node(arg, depth + 1) for arg in item.args]
        if name == "moment" and count == 1:
            return self.settle(args[0], "moment")
        if name == "concat":
            return ExpressionNode(name, "text", tuple(self.as_text(arg) for arg in args), at=at)
        if name == "missing":
            return ExpressionNode(name, "bool", (self.settle(args[0], args[0].kind or "text"),), at=at)
        if function.takes is None:
            args = self.alike(args, at)
            if name in ("min", "max"):
                args = [self.settle(arg, arg.kind or "number") for arg in args]
                if args[0].kind not in ("number", "moment"):
                    raise self.wrong(at, f"{name} of {args[0].kind}", f"{name} of numbers, or of moments")
            return ExpressionNode(name, args[0].kind, tuple(args), at=at)
        if name == "round" and count == 2 and not self.whole(args[1]):
            raise self.wrong(args[1].at, self.text[args[1].at : args[1].at + 20], "a whole number of digits, -15 to 15")
        return self.made(name, function.takes, function.gives or function.takes, args, at)

    @staticmethod
    def whole(node: ExpressionNode) -> bool:
        return node.op == "constant" and node.kind == "number" and node.value in range(-15, 16)

    def alike(self, nodes: list[ExpressionNode], at: int) -> list[ExpressionNode]:
        """Bring values that are compared or chosen between to one kind; all stay open if none has one."""
        kinds = {node.kind for node in nodes if node.kind is not None}
        if not kinds:
            return nodes
        if kinds == {"bool", "number"}:
            kinds = {"number"}
        if "moment" in kinds and kinds <= {"moment", "text"}:
            kinds = {"moment"}
        if len(kinds) > 1:
            raise self.wrong(at, f"{' and '.join(sorted(kinds))} side by side", "values of one kind")
        kind = kinds.pop()
        return [self.settle(node, kind) for node in nodes]

    def as_text(self, node: ExpressionNode) -> ExpressionNode:
        if node.kind in (None, "text"):
            return self.settle(node, "text")
        return ExpressionNode("text_of", "text", (node,), at=node.at)

    def settle(self, node: ExpressionNode, kind: Kind) -> ExpressionNode:
        """Return a node of this kind, or refuse."""
        if node.kind == kind:
            return node
        if node.kind is None:
            if node.op in ("column", "constant"):
                return replace(node, kind=kind)
            first = 1 if node.op == "if" else 0
            settled = (*node.args[:first], *(self.settle(arg, kind) for arg in node.args[first:]))
            return replace(node, kind=kind, args=settled)
        if (node.kind, kind) in (("bool", "number"), ("number", "bool")):
            return ExpressionNode("number_of" if kind == "number" else "truth_of", kind, (node,), at=node.at)
        if node.op == "constant" and node.kind == "text" and kind == "moment":
            moment = dates.reader(())(canonical_text(node.value))
            if moment is None:
                raise self.wrong(node.at, repr(node.value), "a moment such as '2026-01-31' or '2026-01-31 17:00:00'")
            return ExpressionNode("constant", "moment", value=moment, at=node.at)
        raise self.wrong(node.at, f"{node.kind} where {kind} is needed")
