# ruff: noqa: DTZ001 - clean moments are naive UTC
from __future__ import annotations

import time
from datetime import datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import DataError, SpecError
from pipelines.inference.expressions.columns import Expression

COVERING = (
    "a + b * 2 - c / a",
    "a // b",
    "a % b",
    "a ** b",
    "-a",
    "+a",
    "abs(a) + floor(b) + ceil(c)",
    "round(a)",
    "round(a, 2)",
    "round(b, -1)",
    "sqrt(a) + log(b)",
    "exp(a)",
    "min(a, b, c)",
    "max(a, 3)",
    "a < b",
    "a <= 1 < b",
    "a == b",
    "a != 'x'",
    "a == 1",
    "a > '2020-01-02'",
    "moment(a) >= '2020-01-02'",
    "a == 'TRUE' or b",
    "a and b",
    "a and not b or c",
    "not a",
    "a in ('x', '1.0', 'TRUE')",
    "a not in (1, 2.5, -3)",
    "a if b else c",
    "a + 1 if b > 1 else None",
    "'yes' if a == b else 'no'",
    "moment(a) if b else moment(c)",
    "coalesce(a, b)",
    "coalesce(a, b, 0)",
    "coalesce(moment(a), '2020-01-01')",
    "coalesce(a == 1, b)",
    "missing(a)",
    "missing(a + 1)",
    "missing(moment(a)) and missing(b == 1)",
    "lower(a)",
    "upper(a)",
    "strip(a)",
    "length(a) + 1",
    "concat(a, '-', b)",
    "concat(a + 1, b > 1, moment(c))",
    "moment(a, b, c)",
    "moment(2020, a, b, c, 5, 0.5)",
    "year(a) * 10000 + month(a) * 100 + day(a)",
    "weekday(a) + hour(b) / 24 + minute(c)",
    "days_between(a, b)",
    "hours_between(a, '2020-01-01')",
    "min(moment(a), moment(b))",
    "(a > 1) + (b > 1)",
    "`a` + a if True else b",
    "None",
    "1 + 1",
    "'x'",
    "lower(a) < upper(b)",
    "a == None",
    "moment(b) in ('2020-01-02', '2020-01-03')",
    "(a == 1) == (b == 1)",
)
TEXT = st.one_of(
    st.sampled_from(
        [
            " 1",
            "1.0",
            "?",
            "NA",
            "-",
            "2020-01-02",
            "2020-01-02T03:04:05.25Z",
            "12",
            "2",
            "2.5",
            "x",
            "1e5",
            "1e999",
            "TRUE",
            "false",
            "-3",
            " 0 ",
            "İ",
            "",
            "28",
            "1e-320",
        ]
    ),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=4),
    st.floats(width=32).map(str),
)
NUMBER = st.one_of(
    st.integers(-30, 3000), st.floats(), st.floats(-40, 40), st.sampled_from([0.5, 2.5, 1e300, -1e300, 5e-324])
)
MOMENT = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))
MIXED = st.one_of(TEXT, st.none(), st.booleans(), NUMBER, st.integers(-(2**70), 2**70), MOMENT, st.just([1]))
ARITHMETIC = ["+", "-", "*", "/", "//", "%", "**"]
COLUMN = {
    "text": TEXT | st.none(),
    "int": st.integers(-(2**62), 2**62) | st.none(),
    "float": NUMBER.map(float) | st.none(),
    "bool": st.booleans() | st.none(),
    "moment": MOMENT | st.none(),
    "mixed": MIXED,
}
TYPES = {
    "text": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "moment": pa.timestamp("us"),
}


@st.composite
def raw_tables(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    rows = draw(st.integers(1, 6))
    columns: dict[str, Any] = {}
    cells: dict[str, list[Any]] = {}
    for name in "abc":
        kind = draw(st.sampled_from(list(COLUMN)))
        cells[name] = draw(st.lists(COLUMN[kind], min_size=rows, max_size=rows))
        if kind == "mixed":
            columns[name] = pd.Series(cells[name], dtype=object)
        else:
            array = pa.array(cells[name], TYPES[kind])
            columns[name] = draw(
                st.sampled_from([array, pa.chunked_array([array]), array.to_pandas() if kind != "int" else array])
            )
    return columns, [{name: cells[name][row] for name in "abc"} for row in range(rows)]


def cell_by_cell(expression: Expression, columns: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    array = expression.evaluate(columns, len(rows))
    assert len(array) == len(rows)
    singly = [expression.evaluate_row(row) for row in rows]
    assert array.to_pylist() == singly, expression.text
    wanted = {"number": float, "text": str, "bool": bool, "moment": datetime}[expression.kind]
    assert all(cell is None or type(cell) is wanted for cell in singly), expression.text


@pytest.mark.parametrize("part", range(6))
@given(table=raw_tables())
def test_a_table_and_its_rows_give_the_same_cells(part: int, table: tuple[Any, Any]) -> None:
    columns, rows = table
    for text in COVERING[part::6]:
        cell_by_cell(Expression.parse(text), columns, rows)


def tree(depth: int) -> st.SearchStrategy[str]:
    """Texts of numbers, mostly in the language."""
    leaf = st.sampled_from(["a", "b", "c", "2", "0.5", "-1"])
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(ARITHMETIC), inner).map(lambda p: f"({' '.join(p)})"),
            st.tuples(inner, st.sampled_from(["<", ">=", "=="]), inner, inner).map(
                lambda p: f"({p[3]} if {p[0]} + 0 {p[1]} {p[2]} + 0 else {p[0]})"
            ),
            st.tuples(st.sampled_from(["abs", "floor", "sqrt", "round"]), inner).map(lambda p: f"{p[0]}({p[1]})"),
            st.tuples(st.sampled_from(["min", "coalesce"]), inner, inner).map(lambda p: f"{p[0]}({p[1]}, {p[2]})"),
        ),
        max_leaves=depth,
    )


@given(text=tree(12), table=raw_tables())
def test_generated_expressions_agree(text: str, table: tuple[Any, Any]) -> None:
    columns, rows = table
    cell_by_cell(Expression.parse(text, want="number"), columns, rows)


@pytest.mark.parametrize(
    ("text", "row", "value"),
    [
        ("arr_delay >= 15", {"arr_delay": " 15.0"}, True),
        ("arr_delay >= 15", {"arr_delay": "NA"}, None),
        ("arr_delay >= 15", {}, None),
        ("a / b", {"a": 1, "b": 0}, None),
        ("a ** 0.5", {"a": -4}, None),
        ("exp(a)", {"a": 1000}, None),
        ("a and b", {"a": False, "b": None}, False),
        ("a or b", {"a": True, "b": None}, True),
        ("a and b", {"a": True, "b": None}, None),
        ("a if c else b", {"a": "x", "b": "y", "c": None}, None),
        ("missing(a)", {"a": " ? "}, True),
        ("a == 1", {"a": "1.00"}, True),
        ("a == '1.0'", {"a": 1}, True),
        ("`arr delay` + `of 1`", {"arr delay": "2", "of 1": Decimal("0.5")}, 2.5),
        ("moment(y, m, d, t // 100, t % 100)", {"y": 2013, "m": 1, "d": 31, "t": 2400}, datetime(2013, 2, 1)),
        ("moment(y, 2, 30)", {"y": 2013}, None),
        ("moment(y, 2, 3.5)", {"y": 2013}, None),
        ("days_between(a, b)", {"a": "2020-01-01", "b": "2020-01-02T12:00:00Z"}, 1.5),
        ("round(a) + round(b)", {"a": 0.5, "b": 1.5}, 2.0),
        ("-7 // a + -7 % a", {"a": 2}, -3.0),
        ("concat(a, '-', b + 1)", {"a": "x", "b": "1"}, "x-2"),
        ("a", {"a": " 1.0"}, "1"),
        ("1 < a < 3", {"a": 2}, True),
    ],
)
def test_values(text: str, row: dict[str, Any], value: Any) -> None:
    expression = Expression.parse(text)
    assert expression.evaluate_row(row) == value
    columns = {name: [row.get(name)] for name in expression.columns}
    assert expression.evaluate(columns, 1).to_pylist() == [value]


def test_a_column_alone_is_read_as_wanted() -> None:
    row = {"when": "2020-01-02"}
    assert Expression.parse("when").evaluate_row(row) == "2020-01-02"
    assert Expression.parse("when", want="moment").evaluate_row(row) == datetime(2020, 1, 2)
    assert Expression.parse("when", want="moment").evaluate({"when": ["?"]}, 1).type == pa.timestamp("us")
    with pytest.raises(SpecError, match="language"):
        Expression.parse("when + 1", want="moment")


def test_names_what_it_reads() -> None:
    expression = Expression.parse("year(t) - `built in` if c == 'x' and day(t) > 1 else 0")
    assert expression.columns == ("c", "t", "built in")
    assert expression.reads == (("c", "text"), ("t", "moment"), ("built in", "number"))
    assert expression.kind == "number"


@pytest.mark.parametrize(
    ("text", "position", "found"),
    [
        ("", 1, "nothing"),
        ("  a +", 6, "invalid syntax"),
        ("a + __import__('os').system('x')", 5, "system"),
        ("a.b", 1, "a.b"),
        ("a[0]", 1, "a[0]"),
        ("lambda: 1", 1, "lambda"),
        ("[x for x in a]", 1, "[x for"),
        ("f'{a}'", 1, "f'"),
        ("(a := 1)", 2, "a := 1"),
        ("a is None", 1, "Is"),
        ("a + 'x'", 5, "text where number"),
        ("año + open(b)", 7, "open(b)"),
        ("max(lower(a), 'b')", 1, "max of text"),
        ("round(a, b)", 10, "b"),
        ("a in b", 6, "a in b"),
        ("a in (1, b)", 10, "b"),
        ("concat(a, sep=1)", 1, "named"),
        ("abs(*a)", 1, "starred"),
        ("moment(1, 2)", 1, "moment with 2"),
        ("year('soon')", 6, "'soon'"),
        ("1e999", 1, "infinity"),
        ("a + `b", 5, "backtick"),
        ("a = 1", 1, "="),
        ("a; b", 2, ";"),
        ("1j", 1, "1j"),
        ("b'x'", 1, "b'x'"),
        ("if + 1", 1, "if"),
    ],
)
def test_what_is_not_in_the_language_is_refused(text: str, position: int, found: str) -> None:
    with pytest.raises(SpecError) as caught:
        Expression.parse(text)
    assert caught.value.where.startswith(f"character {position} of ")
    assert found in caught.value.seen
    assert caught.value.expected
    assert "DAG file" in caught.value.cure


@pytest.mark.parametrize(
    "text",
    [
        "x" * 10_001,
        "-" * 9_999 + "1",
        "not " * 2_400 + "x",
        "x+" * 4_900 + "x",
        "(" * 5_000,
        "x if x else " * 800 + "x",
        "9" * 5_000,
        "a\0b",
        "a ** " * 1_900 + "a",
        "[" * 9_000,
        "abs(" * 300 + "a" + ")" * 300,
        "\ud800",
        "'\ud800'",
        "'''a\n\nb''' == c",
    ],
)
def test_endless_texts_are_refused(text: str) -> None:
    with pytest.raises(SpecError):
        Expression.parse(text)


def test_a_chain_inside_a_chain_is_refused_at_once() -> None:
    text = "a"
    for _ in range(60):
        text = f"(0 < {text} < 1)"
    started = time.perf_counter()
    with pytest.raises(SpecError, match="language"):
        Expression.parse(text)
    assert time.perf_counter() - started < 2


@given(st.text(st.characters(), max_size=40) | st.text("ab`'\"()+*<= ,.0 1\\#\n", max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        expression = Expression.parse(text)
    except SpecError:
        return
    expression.evaluate_row(dict.fromkeys(expression.columns, "1"))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="'b'"):
        Expression.parse("a + b").evaluate({"a": [1]}, 1)
