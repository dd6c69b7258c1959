from __future__ import annotations

from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from pipelines.inference.recipe.category_repair import chained, repairer
from pipelines.inference.recipe.cells import canonical_text

STEPS: tuple[Literal["case", "spaces", "dots"], ...] = ("case", "spaces", "dots")


def test_nothing_declared_is_nothing_done() -> None:
    assert repairer((), {}) is None


@given(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=12),
    st.lists(st.sampled_from(STEPS), unique=True).map(tuple),
    st.sampled_from([{}, {"NYC": "New  York.", "n.y.": "New  York."}, {"1.0": "one"}]),
)
def test_repairing_twice_changes_nothing(
    text: str, steps: tuple[Literal["case", "spaces", "dots"], ...], aliases: dict[str, str]
) -> None:
    repair = repairer(steps, aliases)
    if repair is not None:
        once = repair(canonical_text(text))
        assert repair(once) == once
        assert canonical_text(once) == once


def test_aliases_that_stand_for_aliases_are_named() -> None:
    assert chained((), {"a": "b", "b": "c"}) == ["a"]
    assert chained(("case",), {"x": "NYC", "nyc": "New York"}) == ["x"]
    assert chained(("case",), {"nyc": "New York", "ny": "New York"}) == []
