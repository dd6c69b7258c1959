from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.gateway.row_objects import json_lines, row_objects
from pipelines.inference.records import by_row

CELL = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text("ab\n", max_size=2), st.integers(), max_size=2),
)
NAME = st.text(st.characters(exclude_categories=("Cs",)), max_size=6) | st.sampled_from(
    ["size (m)", 'a"b', "a\\b", "a\nb", "Łódź", "\x7f", "self", "__init__", "cell0", "\u2028"]
)


@given(st.data(), st.lists(NAME, unique=True, max_size=4), st.integers(0, 4))
def test_rows_are_written_as_objects_are(data: st.DataObject, names: list[str], rows: int) -> None:
    columns = {name: data.draw(st.lists(CELL, min_size=rows, max_size=rows)) for name in names}
    if names and data.draw(st.booleans()):
        columns["by label"] = {name: columns[name] for name in names[::-1]}  # type: ignore[assignment]
    expected = [msgspec.json.encode(row).decode() for row in by_row(columns)]
    assert json_lines(columns).split("\n")[:-1] == expected
    assert msgspec.json.encode(row_objects(columns)).decode() == f"[{','.join(expected)}]"


def test_columns_of_different_length_are_refused() -> None:
    for names in ("ab", 'a"'):
        with pytest.raises(ValueError, match="zip"):
            row_objects({names[0]: [1, 2], names[1]: [1]})
