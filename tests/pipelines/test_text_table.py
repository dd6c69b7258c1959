from __future__ import annotations

from rich.text import Text

from pipelines.text_table import text_table


def test_columns_are_aligned_and_no_cell_is_broken():
    long = "x" * 5000
    assert text_table([["a", long], ["bcd", ""]], ["name", "value"]) == ["name  value", f"a     {long}", "bcd"]


def test_markup_is_text_and_styles_are_left_out():
    assert text_table([["[red]a[/red]", Text(":smile:", style="green")]]) == ["[red]a[/red]  :smile:"]


def test_wide_characters_take_their_width():
    assert text_table([["中文", "1"], ["ab", "2"]]) == ["中文  1", "ab    2"]


def test_numbers_to_the_right_indent_and_least_width():
    assert text_table([["a", "1.5 s"], ["b", "10.5 s"]], right=(1,), least=8, indent=2) == [
        "  a            1.5 s",
        "  b           10.5 s",
    ]


def test_no_rows_are_the_header_or_nothing():
    assert text_table([], ["a", "b"]) == ["a  b"]
    assert text_table([]) == []


def test_on_a_terminal_long_cells_are_folded(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    lines = text_table([["a", "x" * 50]], terminal=30)
    assert [line.strip() for line in lines] == ["a  " + "x" * 27, "x" * 23]
