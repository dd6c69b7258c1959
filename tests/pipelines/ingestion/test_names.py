"""Every column has a name of its own, and names that differ in writing only are found to be one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import DataError
from pipelines.ingestion.files.names import distinct, matched, own_name, refuse_doubled, without_indexes
from pipelines.reserved_columns import RESERVED


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("a", "b"), ("a", "b")),
        (("Age", "age", "AGE"), ("Age", "age", "AGE")),
        (("a", "a", "a"), ("a", "a.1", "a.2")),
        (("a", "a.1", "a", "a"), ("a", "a.1", "a.2", "a.3")),
        (("", "x", ""), ("column_1", "x", "column_3")),
        (("", "column_1"), ("column_1_", "column_1")),
        (("_key", "_KEY", "_key_"), ("_key__", "_KEY_", "_key_")),
        (("prediction", "index", "target", "probability"), ("prediction", "index", "target", "probability")),
    ],
)
def test_each_column_has_a_name_of_its_own(names: tuple[str, ...], found: tuple[str, ...]) -> None:
    own, said = distinct(names, "a.csv")
    assert own == found
    assert len(said) == sum(given != name for given, name in zip(names, found, strict=True) if given)


@given(st.lists(st.sampled_from(["", "a", "A", "a.1", "a.2", "column_1", "_y", "_Y", "_y_", *RESERVED]), max_size=12))
def test_names_are_distinct_and_never_ours(names: list[str]) -> None:
    own, _ = distinct(names, "a.csv")
    assert len(set(own)) == len(own) == len(names)
    assert all(name and name.lower() not in RESERVED for name in own)
    kept = [given for given in names if given and given.lower() not in RESERVED and names.count(given) == 1]
    assert all(own[names.index(given)] == given for given in kept)
    assert distinct(own, "a.csv")[0] == own


def test_a_wanted_name_that_occurs_twice_is_refused() -> None:
    with pytest.raises(DataError, match="doubled") as error:
        distinct(["y", "x", "y"], "a.csv", ["y"])
    assert "'y' 2 times" in error.value.seen
    assert distinct(["x", "x"], "a.csv", ["x", "x.1"])[0] == ("x", "x.1")  # as a model learned them
    with pytest.raises(DataError, match="doubled"):
        refuse_doubled(("a", "b", "a"), "query")
    refuse_doubled(("a", "A"), "query")


def test_names_of_the_stages_are_told_from_others() -> None:
    assert [own_name(name) for name in ("_key", "_Time", "key", "_reasons")] == ["_key_", "_Time_", "key", "_reasons"]


@pytest.mark.parametrize(
    ("have", "want", "found"),
    [
        (["Age", "plan"], ["age", "plan"], {"Age": "age"}),
        (["Gesamt\nBetrag"], ["Gesamt Betrag"], {"Gesamt\nBetrag": "Gesamt Betrag"}),
        (["Gro\u0308sse"], ["Gr\u00f6sse"], {"Gro\u0308sse": "Gr\u00f6sse"}),
        (["Age", "age"], ["age"], {}),
        (["Age", "AGE"], ["age"], {}),
        (["Age"], ["age", "AGE"], {}),
        (["size"], ["weight"], {}),
    ],
)
def test_names_that_differ_in_writing_only(have: list[str], want: list[str], found: dict[str, str]) -> None:
    assert matched(have, want) == found


def test_an_index_without_a_name_is_no_column() -> None:
    names = ["", "Unnamed: 0.1", "x", "__index_level_0__", "id"]
    positions, said = without_indexes(names, ["column_1", *names[1:]], [True] * 5)
    assert (positions, len(said)) == ((2, 4), 3)
    assert without_indexes(names, ["column_1", *names[1:]], [True] * 5, ["column_1"])[0] == (0, 2, 4)
    assert without_indexes(names, ["column_1", *names[1:]], [False] * 5)[0] == (0, 1, 2, 3, 4)
    assert without_indexes([""], ["column_1"], [True])[0] == (0,)
