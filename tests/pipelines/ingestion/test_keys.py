"""The canonical key text by columns is the one of each value."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.holdout import SEPARATOR, canonical_key, canonical_value
from pipelines.ingestion.keys import declared_keys, hashed_keys

KEYLIKE = st.text(alphabet="0019 +-._eE:/aZ~é\u0660", max_size=9)


@given(st.lists(st.one_of(st.none(), KEYLIKE, st.text(max_size=4), st.uuids().map(str)), max_size=30))
@example(["", " ", "0", "00", "1_0", "9e5", "9e5f", "1e", "12-3", "1.", "+1", "inf", "nan", "a ", "1a ", "1 a", "\n1"])
@example(["1" * 18, "1" * 19, "1" * 40, "x\n", "5\n", "5a\n"])
def test_texts(cells: list[str | None]) -> None:
    expected = [canonical_value(cell) for cell in cells]
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        assert declared_keys([pa.array(cells, kind)]).to_pylist() == expected
    assert declared_keys([pa.array(cells, pa.string()).dictionary_encode()]).to_pylist() == expected
    assert declared_keys([pa.array([*cells, "x"], pa.string()).slice(0, len(cells))]).to_pylist() == expected


@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-(2**60), 2**60).map(float)), max_size=20))
@example([0.0, -0.0, 1e15, 2.0**53, 2.0**53 - 1, -(2.0**60), 1e300, 5e-324, 1.5, float("inf"), float("nan")])
def test_floats(cells: list[float | None]) -> None:
    assert declared_keys([pa.array(cells, pa.float64())]).to_pylist() == [canonical_value(cell) for cell in cells]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=20))
def test_integers(cells: list[int | None]) -> None:
    assert declared_keys([pa.array(cells, pa.int64())]).to_pylist() == [canonical_value(cell) for cell in cells]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([True, None, False]),
        pa.array([date(2026, 3, 1), None]),
        pa.array([datetime(2026, 3, 1, 2, tzinfo=UTC), datetime(2026, 3, 1, 2, 3, 4, 5, tzinfo=UTC), None]),
        pa.array([Decimal("1.50"), Decimal("2.00"), None]),
        pa.array([0.1, 0.5, None], pa.float32()),
        pa.array([1, 255, None], pa.uint8()),
        pa.array([b"a", None]),
        pa.array([[1], None]),
        pa.nulls(2),
        pa.array([], pa.string()),
    ],
    ids=lambda array: str(array.type),
)
def test_other_kinds(array: pa.Array) -> None:
    assert declared_keys([array]).to_pylist() == [canonical_value(cell) for cell in array.to_pylist()]


def test_several_columns() -> None:
    columns = [pa.array([1, None, 3]), pa.array(["a", " b", None])]
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    assert declared_keys(columns).to_pylist() == [canonical_key(row) for row in rows]
    assert SEPARATOR in declared_keys(columns)[0].as_py()


def test_hashed_keys() -> None:
    texts = ["", "a", "ü\x1f\x00"]
    expected = [hashlib.blake2b(text.encode(), digest_size=8).hexdigest() for text in texts]
    assert hashed_keys(pa.array(texts)).to_pylist() == expected
    assert hashed_keys(pa.array([], pa.string())).to_pylist() == []
