"""Totals and notes below a table, and data that only look like them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ingestion.files.footers import tail_length

DATA = [[f"k{n}", f"{n}", f"{n}.5", "ab"[n % 2]] for n in range(1, 8)]


def length(*tail: str, data: list[list[str]] = DATA, others: list[list[str]] | None = None, ended: bool = True) -> int:
    lines = [*data, *(text.split(",") if text else [] for text in tail)]
    return tail_length(lines, others or [], len(data[0]), ended=ended)


@pytest.mark.parametrize(
    ("tail", "lines"),
    [
        (["Total,28,,"], 1),
        (["TOTAL:,28,31.5,"], 1),
        (["Grand total,28,,"], 1),
        (["Summe,28,,"], 1),
        (["Gesamtergebnis,28,,"], 1),
        (["合計,28,,"], 1),
        (["Total (USD),28,,"], 1),
        ([",Total,31.5,"], 1),
        (["Total,28"], 1),
        (["Subtotal,12,,", "Total,28,,"], 2),
        (["Total,28,,", "", "Source: the office"], 3),
        (["Average,4,,", "Total,28,,"], 2),
        (["Total,28,,", ",,,", "Note: net"], 3),
        (["Source: the office,,,"], 1),
        (["(7 rows)"], 1),
        (["7 rows selected."], 1),
        (["* without tax"], 1),
        (["", "As delivered on Monday"], 1),
        (["Generated on 2026-01-02"], 1),
        (["Total,28,,", "", "", ""], 4),
        # data
        ([], 0),
        (["", ""], 0),
        ([",,,"], 0),
        (["Total,8,8.5,a"], 0),
        (["Totally,8,,"], 0),
        (["total recall,8,,"], 0),
        (["k8,,,"], 0),
        (["k8"], 0),
        (["note 8,,,"], 0),
        (["* without tax,,,"], 0),
        (["As delivered on Monday"], 0),
        (["Total,28,,", "k9,9,9.5,a"], 0),
    ],
)
def test_what_is_no_data(tail: list[str], lines: int) -> None:
    assert length(*tail) == lines


def test_a_word_that_data_have_is_no_total() -> None:
    data = [[sex, f"{year}", f"{year % 7}", ""] for year in range(2000, 2009) for sex in ("M", "F", "Total")]
    assert length(data=data) == 0
    assert length("Total,28,,", others=[["Total", "3", "", ""], *DATA]) == 0
    sparse = [[*row[:2], "", row[3]] for row in DATA]
    assert length("Total,28,,a", data=sparse) == 0  # a cell that others leave empty too


def test_sums_tell_a_total_where_no_cell_is_empty() -> None:
    data = [["a", "1", "2.5"], ["b", "2", "0.25"], ["c", "4", ""]]
    assert length("Total,7,2.75", data=data) == 1
    assert length("Total,7,2.8", data=data) == 0
    assert length("Total,7,2.75", data=data, others=data) == 0  # there may be more lines than were seen


def test_half_a_line_is_not_taken_for_a_note() -> None:
    assert length("", "As delivered on", ended=False) == 0
    assert length("", "Source: the office", ended=False) == 1


@given(
    st.lists(st.lists(st.sampled_from(["", "1", "2.5", "x", "Total", "sum", "-"]), min_size=3, max_size=3), max_size=9)
)
def test_only_lines_that_say_so_are_taken(rows: list[list[str]]) -> None:
    found = tail_length(rows, [], 3, ended=True)
    for row in rows[len(rows) - found :]:
        assert not any(row) or next(filter(None, row)) in ("Total", "sum")
