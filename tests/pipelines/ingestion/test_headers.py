"""Which line is the header: names, titles, units and data told apart."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ingestion.files.headers import Head, columns_of, counting_columns, find_head
from pipelines.ingestion.spec import Files

SPEC = Files(path="a.csv")


def table(text: str) -> list[list[str]]:
    return [line.split(",") if line else [] for line in text.split("\n")]


@pytest.mark.parametrize(
    ("text", "above", "header", "below"),
    [
        ("id,x\n1,2\n2,3", 0, True, 0),
        ("1,2\n3,4", 0, False, 0),
        ("city,land\nBern,CH\nLyon,FR", 0, True, 0),
        ("city,city\nBern,CH", 0, False, 0),
        ("7,a,b\n8,c,d", 0, False, 0),
        ("id,x,,\n1,2\n2,3", 0, True, 0),
        ("id,,x\n1,a,2\n2,b,3", 0, True, 0),
        # numbers and dates as names
        ("2019,2020,2021\n1.5,2,3\n4,5.5,6", 0, True, 0),
        ("land,2019,2020\nCH,1,2\nDE,3,4", 0, True, 0),
        ("2019,2020,2021\n2018,2020,2022\n2001,2002,2003", 0, False, 0),
        ("land,1/22/20,1/23/20\nCH,0,1\nDE,3,4", 0, True, 0),
        ("a,2026-01-02,2026-01-03\nb,2026-01-05,2026-02-03", 0, False, 0),
        ("0,1,2\n0.1,0.5,0.3\n0.2,0.1,0.9", 0, True, 0),
        ("1,2,3\n5,3,9\n2,2,8", 0, False, 0),
        ("unknown,5,7\n3,4,5\n8,4,2", 0, False, 0),
        # titles
        ("Report\nid,x\n1,2\n2,3", 1, True, 0),
        ("Report\n\nid,kind\na,b\nc,d", 2, True, 0),
        ("Report,,,\nid,x,y,z\n1,2,3,4\n2,3,4,5", 1, True, 0),
        ("Report,,,\n1,2,3,4\n2,3,4,5", 0, False, 0),
        ("a,,,\nb,c,d,e\nf,g,h,i", 0, False, 0),
        ("\n\nid,x\n1,2", 2, True, 0),
        # below the header
        ("id,x,y\n,kg,m/s\na,2,3\nb,3,4", 0, True, 1),
        ("id,x,y\ntext,float,int\na,2,3\nb,3,4", 0, True, 1),
        ("id,x\n---,----\na,2\nb,3", 0, True, 1),
        ("a,b,c,d\nAge of A,Size of B,Sum of C,Length of D\n1,2,3,4\n2,3,4,5", 0, True, 1),
        ("id,x\nBern,kg\na,2\nb,3", 0, True, 0),
        ("id,x\nk,unknown\na,2\nb,3", 0, True, 0),
        ("id,x\nk,NA\na,2\nb,3", 0, True, 0),
        ("id,x,y\n-,-,-\na,2,3\nb,3,4", 0, True, 0),
        ("x,y,z\nlow,low,low\n1,2,3\n2,3,4", 0, True, 0),
        ("x\nkg\n1\n2", 0, True, 1),
        ("Report\n\nid,x\n,kg\na,2\nb,3", 2, True, 1),
    ],
)
def test_the_head_of_a_file(text: str, above: int, header: bool, below: int) -> None:
    assert find_head(table(text), SPEC) == Head(above, header, below)


@pytest.mark.parametrize(
    ("text", "wanted", "head"),
    [
        ("2019,2020,2021\n2018,2020,2022\n2001,2002,2003", ["2021"], Head(0, True)),
        ("Report\nkind,label\na,b\nc,d", ["label"], Head(1, True)),
        ("Report on label\nkind,label\na,b\nc,d", ["Label"], Head(1, True)),
        ("1,2\n3,4", ["label"], Head(0, False)),
        ("1,2\n3,label\n4,5", ["label"], Head(0, False)),
        ("1,label\n3,4", ["label"], Head(0, True)),
    ],
)
def test_where_the_wanted_names_stand_there_is_the_header(text: str, wanted: list[str], head: Head) -> None:
    assert find_head(table(text), SPEC, wanted) == head


def test_what_is_declared_is_not_guessed() -> None:
    assert find_head(table("id,x\n1,2"), Files(path="a", header=False, columns=("id", "x"))) == Head(0, False)
    assert find_head(table("1,2\n3,4"), Files(path="a", header=True)) == Head(0, True)
    assert find_head(table("id,x,\n1,2,"), Files(path="a", columns=("id", "x"))) == Head(0, True)
    assert find_head(table("a,b\n1,2"), Files(path="a", columns=("id", "x"))) == Head(0, False)
    assert find_head(table("1\n2"), Files(path="a", header=True), ["label"]) == Head(0, True)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b,\n1,2\n3,4", ["a", "b"]),
        ("a,b,,\n1,2,,\n3,4,,", ["a", "b"]),
        ("a,b,\n1,2,\n3,4,5", ["a", "b", ""]),
        ("a,b\n1,2,\n3,4,", ["a", "b"]),
        ("a,b\n1,x,y\n2,x,y", ["", "a", "b"]),
        ("a,b\n1,x,y\n1,x,y", ["a", "b"]),
        ("two\r\nlines,b\n1,2", ["two\nlines", "b"]),
    ],
)
def test_the_columns_of_a_file(text: str, names: list[str]) -> None:
    records = [part.split(",") for part in text.replace("\r\n", "\0").split("\n")]
    first = [cell.replace("\0", "\r\n") for cell in records[0]]
    assert columns_of(first, records[1:]) == names


def test_an_index_counts_rows() -> None:
    body = [["1", "7", "x"], ["5", "8", "x"], ["2", "8", "x"]]
    assert counting_columns(["", "", "c"], body) == [True, False, False]
    assert counting_columns(["", ""], []) == [True, True]


WORDS = ["", "NA", "unknown", "-", "kg", "Total", "low", "Bern", "2020", "2021", "1.5", "7", "-3", "1e5", "2026-01-02"]


@given(st.lists(st.lists(st.sampled_from(WORDS), min_size=3, max_size=3), min_size=3, max_size=12), st.integers(0, 9))
def test_lines_below_proper_names_are_data_unless_they_are_units(rows: list[list[str]], seed: int) -> None:
    names = random.Random(seed).sample(["id", "size", "kind of x", "when", "y"], 3)
    head = find_head([names, *rows], SPEC, names)
    assert (head.above, head.header) == (0, True)
    for row in rows[: head.below]:
        assert not any(
            cell in ("2020", "2021", "1.5", "7", "-3", "1e5", "2026-01-02", "Bern", "unknown") for cell in row
        )
