from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training import cell, check_rows

from pipelines.inference.operations.base import Output, encoded, operation_from_json
from pipelines.inference.operations.entity import EntityState
from pipelines.inference.operations.keys import Keys, keyed_table, learn_keys
from pipelines.inference.operations.target import TargetMean

TEXT = st.none() | st.sampled_from(["a", "b", "", "\x1f", "a*b", "ü"])
NUMBER = st.sampled_from([float("nan"), 0.0, -0.0, 1.0, 2.5, -3.0])
TABLE = st.lists(st.tuples(TEXT, NUMBER, TEXT), min_size=1, max_size=30)


def columns_of(rows: list[tuple[Any, ...]]) -> list[Any]:
    texts, numbers, others = zip(*rows, strict=True)
    return [
        encoded(pa.array(texts, pa.large_string())),
        np.array(numbers),
        encoded(pa.array(others, pa.large_string())),
    ]


def plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple("missing" if value is None or value != value else value for value in row)


@settings(max_examples=100)
@given(TABLE, TABLE, st.integers(1, 3))
def test_a_key_has_the_same_index_in_a_table_and_in_a_row(
    rows: list[tuple[Any, ...]], asked: list[tuple[Any, ...]], width: int
) -> None:
    parts, index = learn_keys(columns_of(rows)[:width])
    keys = Keys(parts)
    number: dict[Any, int] = {}
    for row, found in zip(rows, index, strict=True):
        assert number.setdefault(plain(row[:width]), int(found)) == found
    assert sorted(number.values()) == list(range(len(parts[0])))
    columns = columns_of(asked)[:width]
    indices, function = keys.indices(columns), keys.row()
    for position, row in enumerate(asked):
        assert indices[position] == number.get(plain(row[:width]), -1)
        assert function([cell(column, position) for column in columns]) == indices[position]
    np.testing.assert_array_equal(keys.indices(columns_of(rows)[:width]), index)


@given(TABLE)
def test_the_order_of_rows_changes_no_key(rows: list[tuple[Any, ...]]) -> None:
    first, second = learn_keys(columns_of(rows))[0], learn_keys(columns_of(rows[::-1]))[0]
    assert [part.to_pylist() for part in first[::2]] == [part.to_pylist() for part in second[::2]]
    np.testing.assert_array_equal(first[1].to_numpy(zero_copy_only=False), second[1].to_numpy(zero_copy_only=False))


def test_many_wide_parts_do_not_overflow() -> None:
    rng = np.random.default_rng(0)
    columns = [rng.normal(size=3000) for _ in range(8)]  # 3000 ** 8 is far beyond 64 bits
    parts, index = learn_keys(columns)
    assert len(parts[0]) == 3000
    np.testing.assert_array_equal(Keys(parts).indices(columns), index)


@pytest.mark.parametrize("kind", [TargetMean, EntityState])
def test_what_is_known_and_what_is_not_survives_a_round_trip(kind: Any) -> None:
    parts, _ = learn_keys([encoded(pa.array(["x", "y", None, "z"])), np.array([1.0, np.nan, 2.0, 3.0])])
    values = [np.array([0.1, np.nan, 0.3, 0.4]), np.array([1.0, 2.0, 3.0, 4.0])]
    table = keyed_table(parts, values, np.array([True, True, False, True]))
    age = ("2026-01-01T00:00:00+00:00",) if kind is EntityState else ()
    operation = kind(("c", "n"), (Output("p"), Output("q")), table, (None, 7.5), *age)
    entry = operation.to_json()
    assert entry["unknown"] == [None, 7.5]
    assert entry.get("as_of") == (age[0] if age else None)
    again = operation_from_json(entry, operation.tables())
    columns = {"c": encoded(pa.array(["z", "x", None, "q"])), "n": np.array([3.0, 1.0, np.nan, 1.0])}
    made = again.apply(columns, 4)
    for before, after in zip(operation.apply(columns, 4), made, strict=True):
        np.testing.assert_array_equal(before, after)
    check_rows(again, columns, made, 4)
    assert made[1].tolist()[2:] == [7.5, 7.5]
    assert np.isnan(made[0][2:]).all()
    assert [len(column) for column in again.apply({name: column[:0] for name, column in columns.items()}, 0)] == [0, 0]
