"""Rows of any form become the same requests: whole, in order, and within the gateway's limits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipelines.client.errors import InputError
from pipelines.client.tables import MAX_BYTES, bodies
from pipelines.gateway import request_body, tables

ROWS = [{"id": n, "town": None if n % 3 == 0 else f"Łódź {n}", "age": 1.5 * n} for n in range(25_300)]


def sent(rows: Any) -> list[dict[str, Any]]:
    found = [json.loads(body.content)["instances"] for body in bodies(rows)]
    return [row for part in found for row in part]


class Polars:
    """The part of polars that is used: its methods of the same names."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self._columns, self.columns = columns, list(columns)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __getitem__(self, name: str) -> pd.Series:
        return pd.Series(self._columns[name], dtype=object)

    def slice(self, start: int, length: int) -> Polars:
        return Polars({name: cells[start : start + length] for name, cells in self._columns.items()})

    def to_dict(self) -> dict[str, list[Any]]:
        return self._columns


COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}


def generated() -> Iterator[dict[str, Any]]:
    yield from ROWS


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        tuple(ROWS),
        generated(),
        COLUMNS,
        {**COLUMNS, "age": np.array(COLUMNS["age"]), "id": pd.Series(COLUMNS["id"])},
        pd.DataFrame(COLUMNS),
        pd.DataFrame(COLUMNS, index=np.arange(len(ROWS)) * 0.5),
        pd.DataFrame(COLUMNS).convert_dtypes(),
        pd.DataFrame(COLUMNS).astype({"town": "category"}),
        pa.table(COLUMNS),
        Polars(COLUMNS),
    ],
    ids=[
        "list",
        "tuple",
        "generator",
        "columns",
        "arrays",
        "frame",
        "other index",
        "nullable",
        "categories",
        "arrow",
        "polars",
    ],
)
def test_every_form_is_the_same_rows(rows: Any) -> None:
    assert sent(rows) == ROWS


def test_requests_are_within_the_limits_of_the_gateway() -> None:
    found = list(bodies(ROWS))
    assert [body.first_row for body in found] == list(range(0, 25_300, 1000))
    assert sum(body.rows for body in found) == len(ROWS)
    wide = [{"text": "é" * (n * 100)} for n in range(800)]
    parts = list(bodies(wide))
    assert sent(wide) == wide
    assert 60 < len(parts) < 90
    assert max(len(body.content) for body in parts) <= request_body.MAX_BYTES
    assert max(body.rows for body in found) == tables.MAX_ROWS
    assert [body.first_row for body in parts] == [0, *np.cumsum([body.rows for body in parts])[:-1]]
    assert MAX_BYTES < request_body.MAX_BYTES
    assert list(bodies([])) == list(bodies({"a": []})) == list(bodies(pd.DataFrame({"a": []}))) == []


@pytest.mark.parametrize(
    ("rows", "what", "where"),
    [
        ([{"a": 1}, [2]], "a row is not a mapping", "row 1"),
        ([{"a": 1}, {"a": b"x"}], "a cell cannot be sent", "row 1, column 'a'"),
        ([{"a": "\ud800"}], "cannot be written as JSON", "row 0"),
        ([{"a": 10**5000}], "cannot be written as JSON", "row 0"),
        ([{"a": "x" * (1 << 20)}], "larger than a request", "row 0"),
        ([{"1": 0, 1: 0}], "two columns have the same name", "row 0"),
        ({"a": 1, "b": 2}, "a column is not a list", "column 'a'"),
        ({"a": "text"}, "a column is not a list", "column 'a'"),
        ({"a": [1], "b": [1, 2]}, "the columns differ in length", ""),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns have the same name", "the frame's columns"),
        ("rows", "no known form", ""),
        (7, "no known form", ""),
    ],
)
def test_what_cannot_be_sent_is_named(rows: Any, what: str, where: str) -> None:
    with pytest.raises(InputError, match=what) as caught:
        list(bodies(rows))
    assert caught.value.where == where
