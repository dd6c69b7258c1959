"""Texts of the log become columns that the recipe reads like the cells themselves, whatever callers sent."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.monitoring.cells import cell_reader, frame_of, object_of
from pipelines.private_columns import HASHED

SENT = {
    "whole": [1, 2, None],
    "half": [1.5, 2.0, None],
    "mixed numbers": [1, 2.5, None],
    "truth": [True, False, None],
    "truth and number": [True, 1.0, 0],
    "texts": ["a", "1.0", ""],
    "texts and numbers": ["a", 1.0, 1],
    "large": [2**70, 1, None],
    "listed": [[1], [2], None],
    "objects": [{"a": 1}, {"b": 2}, None],
    "none": [None, None, None],
    'quoted "name"': ["x", "y", "z"],
    "größe": ["x", 2, None],
}


@pytest.mark.parametrize("kind", ["number", "category", "date"])
@pytest.mark.parametrize("name", SENT)
def test_typed_columns_are_read_like_their_cells(name: str, kind: str) -> None:
    texts = [json.dumps({"other": 0, name: cell}) for cell in SENT[name]]
    rows = [*map(cell_reader([name]), texts)]
    assert rows == [(json.loads(text)[name],) for text in texts]
    recipe = RowRecipe((Column(name, kind),))
    for found, expected in zip(
        recipe.apply(frame_of(rows, [name], typed=True)), recipe.apply(frame_of(rows, [name], typed=False)), strict=True
    ):
        assert_frame_equal(found, expected)


def test_one_type_is_one_array_and_mixed_cells_stay_as_they_are() -> None:
    frame = frame_of([(1, 1), (2, 2.0)], ["whole", "mixed"], typed=True)
    assert str(frame["whole"].dtype) == "int64[pyarrow]"
    assert frame["mixed"].dtype == object
    assert [type(cell) for cell in frame["mixed"]] == [int, float]


@pytest.mark.parametrize("text", [None, "[]", "3", "null", '{"a": 1', '{"a": "\ud800"}', "[" * 100_000])
def test_what_holds_no_object_is_none(text: str | None) -> None:
    assert cell_reader(["a", "b"])(text) is None
    assert object_of(text) is None


def test_absent_and_hashed_cells_are_missing() -> None:
    read = cell_reader(["a", "b", "c"])
    digest = HASHED + "0" * 32
    assert read('{"c": 3, "a": null}') == (None, None, 3)
    assert read(json.dumps({"a": digest, "b": "plain", "d": digest})) == (None, "plain", None)
    assert object_of(json.dumps({"a": digest, "b": 1})) == {"a": None, "b": 1}


def test_no_rows_and_no_columns() -> None:
    assert frame_of([], ["a"], typed=True).columns.tolist() == ["a"]
    assert cell_reader([])('{"a": 1}') == ()
    assert frame_of([(1, "x"), (2, "y")], ["a", "b"], typed=False).to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}
    assert isinstance(frame_of([(1,)], ["a"], typed=True)["a"], pd.Series)
