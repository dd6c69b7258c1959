"""What `aimass init` writes of how columns are read, and what it asks: a setting either way, that does what it says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from pipelines.cleaning import scan
from pipelines.cleaning.learn import learn
from pipelines.cleaning.reading import read_text_column
from pipelines.cleaning.spec import CleanSpec
from pipelines.cli.readings import Found, ask_about_tokens, declare, is_value
from pipelines.inference.recipe.cells import lowered
from pipelines.inference.recipe.row_recipe import MISSING
from pipelines.spec import ModelSpec

MODEL = ModelSpec(name="demo", task="binary", target="y", positive="1")
TOKENS = frozenset(map(lowered, MISSING))


@pytest.mark.parametrize(
    ("token", "count", "words", "gaps", "value"),
    [
        ("NA", 100, {"EU": 200, "APAC": 150, "SA": 90}, 0, True),  # a continent
        ("NA", 100, {"EU": 200, "APAC": 150}, 50, True),
        ("NA", 100, {"EU": 200}, 50, True),  # gaps are written otherwise
        ("NA", 100, {"EU": 200}, 0, False),
        ("NA", 100, {"red": 200, "green": 100}, 0, False),  # in another case
        ("NA", 100, {"Red": 200, "Green": 100}, 0, False),
        ("NA", 500, {"EU": 200, "AS": 100}, 0, False),  # most of all cells
        ("n/a", 100, {"eu": 200, "as": 100}, 0, False),
        ("nan", 20, {"red": 200, "green": 90}, 0, True),
        ("null", 20, {"eins": 200, "zwei": 90}, 0, True),
        ("null", 20, {"a": 200, "b": 90}, 0, False),  # letters are no words
        ("?", 20, {"a": 200, "b": 90}, 50, False),
        ("NA", 5, {}, 50, False),
        ("NULL", 10, {"EU": 100, "AS": 100}, 0, False),  # longer than any other
    ],
)
def test_a_token_is_a_value_where_it_looks_like_the_others(
    token: str, count: int, words: dict[str, int], gaps: int, value: bool
) -> None:
    assert is_value(token, count, words, gaps) == value


def looked(cells: list[str | None]) -> scan.Cells:
    return scan.look(pa.array(cells, pa.large_string()), scan.Look(TOKENS))


def read(cells: list[str | None], spec: CleanSpec) -> list[Any]:
    """Read a column as a night with these settings does."""
    count = len(cells)
    raw = pa.table(
        {
            "x": pa.array(cells, pa.string()),
            "y": ["1", "0"] * (count // 2) + ["1"] * (count % 2),
            "_key": [str(index) for index in range(count)],
            "_sealed": [False] * count,
            "_weight": [1.0] * count,
        }
    )
    recipe, _ = learn(raw, MODEL, spec)
    clean, bad = recipe.apply(raw)
    assert not bad.to_numpy().any()
    return [None if value != value else value for value in clean["x"].tolist()]


def setting_in(text: str) -> dict[str, Any]:
    start = text.index("present={")
    return eval(f"dict({text[start : text.index('}', start) + 1]})")


def test_both_answers_to_the_question_of_a_token_do_what_they_say() -> None:
    region: list[str | None] = ["EU"] * 40 + ["NA"] * 30 + ["APAC"] * 20 + ["SA"] * 10
    found = Found()
    assert ask_about_tokens(found, "x", looked(region), "column") == ("NA",)
    assert read(region, found.clean()) == region
    (question,) = found.warnings
    assert "kept as a value" in question
    assert read(region, CleanSpec()) == [None if cell == "NA" else cell for cell in region]
    colour: list[str | None] = ["red"] * 40 + ["NA"] * 30 + ["green"] * 30
    found = Found()
    assert ask_about_tokens(found, "x", looked(colour), "column") == ()
    assert read(colour, found.clean()) == [None if cell == "NA" else cell for cell in colour]
    (question,) = found.warnings
    assert "read as missing" in question
    assert read(colour, CleanSpec(**setting_in(question))) == colour


def test_rare_tokens_are_no_question() -> None:
    found = Found()
    ask_about_tokens(found, "x", looked(["a"] * 996 + ["NA"] * 4), "column")
    ask_about_tokens(found, "x", looked(["a"] * 9_000 + ["NA"] * 50), "column")
    assert (found.warnings, found.settings) == ([], {})


CASES: dict[str, tuple[list[str | None], str | None, list[Any], list[str]]] = {
    "plain numbers": (["1.5", "2", "1e5", None], None, [1.5, 2.0, 100_000.0, None], []),
    "money": (["1.234,50 €", "12,00 €", "-3,25 €"], "numbers", [1234.5, 12.0, -3.25], []),
    "thousands that may be decimals": (["1,234", "500,000"], "numbers", [1234.0, 500_000.0], ["could as well be read"]),
    "spans": (["07:45", "1 day 00:00:10", "PT1M"], "numbers", [27_900.0, 86_410.0, 60.0], []),
    "percent": (["12 %", "3 %"], "numbers", [0.12, 0.03], []),
    "some words": (
        ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "unknown", "unknown", "unknown"] * 2,
        "missing_in",
        [*map(float, range(1, 11)), None, None, None] * 2,
        ["read as missing"],
    ),
    "days in another order": (["31.12.2025", "01.02.2026"], "dates", None, []),
    "iso days": (["2025-12-31", "2026-01-02"], "dates", None, []),
    "codes": (["007", "011", "099", "120"], "kinds", ["007", "011", "099", "120"], ["leading zeros"]),
    "truth": (["yes", "no", "Yes", "NO", "yes", "no"], None, ["yes", "no"] * 3, []),
    "words": (["red", "green", None], None, ["red", "green", None], []),
    "unicode": (["e\u0301", "\u00e9"], None, ["é", "é"], ["Unicode"]),
    "composed letters": (["é", "Zürich", "Łódź"], None, ["é", "Zürich", "Łódź"], []),
    "lists": (["[1]", "[2, 3]"], None, None, ["lists or objects"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_written_reads_the_column_as_it_was_looked_at(case: str) -> None:
    cells, setting, expected, told = CASES[case]
    seen = looked(cells)
    reading = read_text_column("x", seen, CleanSpec(), moments=False, time=False)
    found = Found()
    declare(found, "x", reading, seen)
    assert set(found.settings) == ({setting} if setting else set())
    for words in told:
        assert any(words in warning for warning in found.warnings), found.warnings
    assert bool(found.warnings) == bool(told)
    if expected is not None:
        assert read(cells, found.clean()) == expected
        assert read(cells, CleanSpec()) == expected  # which writes down what would be learned anyway


def test_dates_in_two_orders_are_asked_about() -> None:
    cells: list[str | None] = ["01/02/2026", "03/04/2026", "05/06/2026"]
    seen = looked(cells)
    reading = read_text_column("x", seen, CleanSpec(), moments=False, time=False)
    found = Found()
    declare(found, "x", reading, seen)
    assert found.settings == {"kinds": {"x": "category"}}
    assert any("%m/%d/%Y" in warning and "%d/%m/%Y" in warning for warning in found.warnings)
    known = read_text_column("x", seen, CleanSpec(), moments=True, time=True)
    found = Found()
    declare(found, "x", known, seen)
    assert found.settings["dates"]["x"] == known.column.formats
    assert "could as well be read as" in found.warnings[-1]


def test_the_target_is_called_the_target() -> None:
    seen = looked(["1.234,50 €", "1,00 €"])
    found = Found()
    reading = read_text_column("x", seen, CleanSpec(), moments=False, time=False)
    declare(found, "x", replace(reading, notes=("is odd",)), seen, target=True)
    assert found.warnings == ["target 'x' is odd"]
    assert "x" in found.settings["numbers"]


def test_words_are_counted_before_they_are_told() -> None:
    cells: list[str | None] = [str(index) for index in range(2_000)] + ["unknown"] * 40 + ["n.a."] * 2 + ["-"] * 9
    seen = looked(cells)
    found = Found()
    declare(found, "x", read_text_column("x", seen, CleanSpec(), moments=False, time=False), seen)
    assert found.settings["missing_in"] == {"x": ("unknown",)}
    assert "'unknown' 40" in found.warnings[0]
    assert Counter(read([cell for cell in cells if cell != "n.a."], found.clean()))[None] == 49
