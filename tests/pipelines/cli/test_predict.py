"""Telling a header from data by the serve schema alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.cli.predict import _names_without_header
from pipelines.inference.recipe import Column, RowRecipe

WHOLE = ("id", "age", "size (m)", "kind", "label")
RECIPE = RowRecipe((Column("age", "number"), Column("size (m)", "number"), Column("kind", "category")))
PREDICTOR: Any = SimpleNamespace(schema=SimpleNamespace(source_columns=WHOLE, target="label"), recipe=RECIPE)


@pytest.mark.parametrize(
    ("first", "names"),
    [
        (["7", "31", "1.5", "a", "yes"], WHOLE),
        (["7", "31", "1.5", "a"], WHOLE[:4]),
        (["7", "oops", "?", "a"], WHOLE[:4]),
        (["kind", "age", "size (m)"], ()),
        (["id", "age", "size (m)", "kind", "label"], ()),
        (["Nr", "Alter", "Maß", "Art"], ()),
        (["Nr", "Alter", "Maß", "Art", "Ziel"], ()),
        (["1", "2"], ()),
    ],
)
def test_a_first_line_is_data_or_names(first: list[str], names: tuple[str, ...]) -> None:
    assert _names_without_header(first, PREDICTOR) == names
