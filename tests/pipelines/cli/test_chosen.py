"""Names of columns in options: whatever a name holds, it can be named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.cli.chosen import resolved, split_names
from pipelines.errors import SpecError

AGE = "Age (years, self-reported)"
COLUMNS = (
    "id",
    AGE,
    "score[0]",
    '{"q": 1}',
    '{"q": 1, "r": 2}',
    'Preis "netto"',
    '"netto" Preis',
    "<5",
    "Gesamt\nBetrag",
    "a",
    "b c",
    "@x",
    "x,y,z",
    "x",
    "y",
)


@pytest.mark.parametrize("name", COLUMNS)
def test_every_name_can_be_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text(f"{name}\n")
    quoted = '"' + name.replace('"', '""') + '"'
    for text in (name, quoted, f"@{tmp_path / 'names.txt'}") if not name.startswith("@") else (quoted,):
        assert resolved(split_names(text), COLUMNS) == (name,)
    assert resolved(split_names(f"id,{quoted},b c"), COLUMNS) == tuple(dict.fromkeys(("id", name, "b c")))


def test_commas_and_lines_part_names(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes(b'\xef\xbb\xbfa, b\r\nc/d (e)\r\n\r\n"f,g"\r\n')
    assert split_names(f"@{tmp_path / 'names.txt'}") == ("a", "b", "c/d (e)", "f,g")
    assert split_names("a,b c, ,") == ("a", "b c")
    assert split_names(None) == split_names("") == ()
    assert resolved(split_names("a,b"), ["a", "b", "a,b"]) == ("a,b",)
    assert resolved(split_names(f"x,{AGE},a"), COLUMNS) == ("x", AGE, "a")
    with pytest.raises(SpecError, match="list of names"):
        split_names("@nowhere")


def test_a_name_that_differs_in_case_or_blanks_only_is_found() -> None:
    assert resolved(split_names("gesamt betrag,ID"), COLUMNS) == ("Gesamt\nBetrag", "id")
    assert resolved(split_names("age"), ["Age", "AGE"]) == ("age",)  # which of them?
    assert resolved(("ID", "nobody"), COLUMNS) == ("id", "nobody")


NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).map(str.strip).filter(bool)


@given(st.lists(NAME, min_size=1, max_size=5, unique=True))
def test_quoted_names_come_back(names: list[str]) -> None:
    assume(not any(sign in name for name in names for sign in "\x1c\x1d\x1e\x85\u2028\u2029\x0b\x0c"))
    text = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    assert split_names(text) == tuple(names)
    assert resolved(split_names(text), names) == tuple(names)
    for name in names:
        assume(not name.startswith("@"))
        assert resolved(split_names(name), names) == (name,)
