"""Two tables compared, against counting by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import storage
from pipelines.cli.diff_tables import compare, opened

ROWS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 2)), max_size=8)


def compared(folder: Path, one: pa.Table, other: pa.Table) -> dict[str, Any]:
    storage.write_table(one, folder / "a")
    storage.write_table(other, folder / "b")
    with opened(folder / "a", folder / "b", folder / "work", 1) as connection:
        return compare(connection)


def keyed(rows: list[tuple[str, int]]) -> pa.Table:
    return pa.table(
        {"v": pa.array([row[1] for row in rows], pa.int64()), "_key": pa.array([row[0] for row in rows], pa.string())}
    )


@settings(max_examples=30)
@given(ROWS, ROWS)
def test_rows_are_counted_as_bags_by_key(
    tmp_path_factory: pytest.TempPathFactory, one: list[tuple[str, int]], other: list[tuple[str, int]]
) -> None:
    found = compared(tmp_path_factory.mktemp("t"), keyed(one), keyed(other))["rows"]
    before, after = Counter(row[0] for row in one), Counter(row[0] for row in other)
    assert found["added"] == sum((after - before).values())
    assert found["removed"] == sum((before - after).values())
    alike = [key for key in before if before[key] == after[key]]
    bags = {key: [sorted(row[1] for row in rows if row[0] == key) for rows in (one, other)] for key in alike}
    assert found["changed"] == sum(before[key] for key in alike if bags[key][0] != bags[key][1])


def test_columns_and_what_they_hold(tmp_path: Path) -> None:
    keys = pa.array([str(n) for n in range(8)])
    one = pa.table(
        {
            "same": range(8),
            'odd "name"': ["x"] * 8,
            "gone": range(8),
            "kind": range(8),
            "number": pa.array([1.0, None, float("nan"), 5.0] * 2),
            "text number": [str(n) for n in range(8)],
            "_key": keys,
        }
    )
    other = pa.table(
        {
            "same": range(8),
            'odd "name"': ["x"] * 6 + ["y", None],
            "new": range(8),
            "kind": [str(n) for n in range(8)],
            "number": pa.array([2.0, 2.0, 3.0, 5.0] * 2),
            "text number": [str(n + 1) for n in range(8)],
            "_key": keys,
        }
    )
    found = compared(tmp_path, one, other)
    assert found["columns"] == {"added": ["new"], "removed": ["gone"], "kinds": {"kind": ["BIGINT", "VARCHAR"]}}
    assert found["rows"] == {"before": 8, "after": 8, "added": 0, "removed": 0, "changed": 8}
    assert found["values"] == [
        {"column": 'odd "name"', "nulls": [0.0, 0.125], "top": {"x": [1.0, 0.75], "y": [0.0, 0.125]}},
        {"column": "number", "nulls": [0.5, 0.0], "mean": [3.0, 3.0]},
        {"column": "text number", "nulls": [0.0, 0.0], "mean": [3.5, 4.5]},
    ]


def test_an_empty_table_is_compared_too(tmp_path: Path) -> None:
    found = compared(tmp_path, keyed([]), keyed([("a", 1)]))
    assert found["rows"] == {"before": 0, "after": 1, "added": 1, "removed": 0, "changed": 0}
    assert found["values"] == [{"column": "v", "nulls": [None, 0.0], "mean": [None, 1.0]}]
