from __future__ import annotations

import pytest

from pipelines.gateway.errors import RequestError
from pipelines.gateway.tables import MAX_ROWS, Shape, table_of_columns, table_of_rows

SHAPE = Shape(("a", "b", "tags"), frozenset({"a", "tags"}), frozenset({"tags"}), ("id",), {})


def test_needed_cells_come_out_and_the_rest_is_ignored():
    rows = [{"a": 1, "b": "x", "tags": ["t"], "id": 7, "c": {"deep": []}}, {"tags": None, "a": None, "id": 8}]
    table = table_of_rows(rows, SHAPE)
    assert table.columns == {"a": [1, None], "b": ["x", None], "tags": [["t"], None]}
    assert (table.rows, table.key) == (2, {"id": [7, 8]})
    columns = {"a": [1, None], "tags": [["t"], None], "id": [7, 8], "c": 3}
    other = table_of_columns(columns, SHAPE)
    assert (other.columns, other.rows) == ({"a": [1, None], "tags": [["t"], None], "b": [None, None]}, 2)
    assert other.key == {"id": [7, 8]}
    for unfit in ("x", [1], [1, [2]]):  # what the model does not need is ignored, whatever it holds
        assert table_of_columns({**columns, "id": unfit}, SHAPE).key == {}


@pytest.mark.parametrize(
    ("rows", "what", "fault"),
    [
        ([3], "a row is not an object", ""),
        ([{"a": 1, "tags": None}, None], "a row is not an object", ""),
        ([], "wrong number of rows", ""),
        ({}, "wrong number of rows", ""),
        ("rows", "wrong number of rows", ""),
        ([{"a": 1, "tags": None}] * (MAX_ROWS + 1), "wrong number of rows", ""),
        ([{"a": 1, "tags": None}, {"b": 1}], "1 of 2 rows cannot be read", "row 1 lacks 'a', 'tags'"),
        ([{"a": [1], "tags": None}], "a list or an object", "row 0: column 'a' holds a list"),
        ([{"a": 1, "tags": 1, "b": {"x": 1}}], "a list or an object", "row 0: column 'b' holds an object"),
    ],
)
def test_rows_that_cannot_be_read_are_refused_by_name(rows, what, fault):
    with pytest.raises(RequestError, match=what) as caught:
        table_of_rows(rows, SHAPE)
    assert caught.value.status == 400
    assert caught.value.error.get("faults", [""]) == [fault]


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"a": [1]}, "cannot be read"),
        ({"a": [1], "tags": [1, 2]}, "differ in length"),
        ({"a": 1, "tags": 1}, "not a list"),
        ({"a": [], "tags": []}, "wrong number of rows"),
        ({"a": [{}], "tags": [1]}, "a list or an object"),
    ],
)
def test_columns_that_cannot_be_read_are_refused(columns, what):
    with pytest.raises(RequestError, match=what):
        table_of_columns(columns, SHAPE)


def test_faults_are_limited():
    with pytest.raises(RequestError) as caught:
        table_of_rows([{}] * 500, SHAPE)
    assert len(caught.value.error["faults"]) == 21
    assert caught.value.error["faults"][-1] == "and 480 more"
