# ruff: noqa: DTZ001 - moments without a zone are those of UTC
"""What identifies a row is one text, made by columns, by DuckDB or value by value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.holdout import MISSING, canonical_value
from pipelines.inference.enrichment.lookup_keys import key_texts
from pipelines.inference.recipe.arrays import frame_of
from pipelines.inference.recipe.row_recipe import Column, RowRecipe
from pipelines.ingestion import derived_columns, keys
from pipelines.ingestion.files.read import Source, connect, load
from pipelines.ingestion.spec import Files

Load = Callable[[pa.Array], Source]
ARRAYS = {
    "int8": pa.array([-128, 127, 0, None], pa.int8()),
    "uint64": pa.array([2**64 - 1, 2**53 + 1, 0, None], pa.uint64()),
    "int64": pa.array([-(2**63), 2**63 - 1, None], pa.int64()),
    "decimal 38": pa.array([Decimal("9" * 38), Decimal("9" * 37 + "8"), Decimal(0), None], pa.decimal128(38, 0)),
    "decimal with cents": pa.array([Decimal("1.50"), Decimal("2.00"), Decimal("-0.01"), None], pa.decimal128(20, 2)),
    "decimal 60": pa.array([Decimal("7" * 60), None], pa.decimal256(60, 0)),
    "float": pa.array([1.0, 0.1, -0.0, 2.0**53 - 1, 1234.5, None, float("nan")]),
    "single": pa.array([1.0, 0.25, None], pa.float32()),
    "bool": pa.array([True, False, None]),
    "text": pa.array(["1", " 1.0 ", "007", "2024_01", "é", "e\u0301", "a b", "", None, "12e3", "9" * 39, "1.50"]),
    "dictionary": pa.array(["b", "a", None]).dictionary_encode(),
    "day": pa.array([date(2026, 1, 2), None]),
    "moment": pa.array([datetime(2026, 1, 2, 3, 4, 5), None]),
    "moment ns": pa.array([datetime(2026, 1, 2, 3, 4, 5), None], pa.timestamp("ns")),
    "zoned": pa.array([datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), None]),
    "clock": pa.array([time(1, 2, 3), None]),
    "span": pa.array([timedelta(days=1, seconds=3), None]),
    "uuid": pa.array([bytes(range(16)), None], pa.uuid()),
    "bytes": pa.array([b"\xff\x00", b"\xff\x01", None]),
    "list": pa.array([[1], [2], None]),
    "struct": pa.array([{"a": 1}, {"a": 2}, None]),
    "nothing": pa.nulls(2),
}


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    folder = tmp_path_factory.mktemp("identity")
    connection = connect(folder / "work")

    def build(column: pa.Array) -> Source:
        pq.write_table(pa.table({"a": column}), folder / "a.parquet")
        return load(connection, [folder / "a.parquet"], Files(path=str(folder)))

    yield build
    connection.close()


def texts_of(source: Source) -> tuple[list[Any], list[str], list[str], list[str | None]]:
    """Return the cells as DuckDB hands them over, and their texts by columns, as identity and as key of a join."""
    sql = source.connection.sql
    batch = sql(f"SELECT c0 AS k0 FROM {source.table}").to_arrow_table().column(0).combine_chunks()
    identity = keys.identity_sql([("c0", source.kind("a"))])
    joined = sql(f"SELECT {derived_columns.key(source, ['a'])} FROM {source.table}").fetchall()
    hashed = sql(f"SELECT {identity} FROM {source.table}").fetchall()
    own = keys.declared_keys([batch]).to_pylist()
    return batch.to_pylist(), own, [text for (text,) in hashed], [text for (text,) in joined]


@pytest.mark.parametrize("kind", ARRAYS)
def test_every_type_has_one_text(read: Load, kind: str) -> None:
    cells, own, identity, joined = texts_of(read(ARRAYS[kind]))
    assert own == [canonical_value(cell) for cell in cells]
    if kind not in ("span", "bytes", "list", "struct", "clock"):  # no key of a join is one of these
        assert joined == [None if text == MISSING else text for text in own]
    assert len(set(identity)) == len({text if text.strip() else MISSING for text in own})


NUMBERS = st.one_of(
    st.integers(-(10**6), 10**6),
    st.integers(-(2**63), 2**63 - 1),
    st.decimals(-(10**6), 10**6, places=3),
    st.integers(-(10**5), 10**5).map(lambda number: number / 8),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(cells=st.lists(st.none() | NUMBERS, min_size=1, max_size=8))
def test_numbers_as_texts_and_typed_are_the_same_rows(read: Load, cells: list[Any]) -> None:
    def numbers(kind: type | tuple[type, ...]) -> list[Any]:
        return [cell for cell in cells if isinstance(cell, kind)]

    def identities(column: pa.Array) -> list[tuple[str, str | None]]:
        _, own, identity, joined = texts_of(read(column))
        assert [MISSING if text is None else text for text in joined] == own
        return list(zip(own, identity, strict=True))

    for kind, given_type in ((int, pa.int64()), (Decimal, pa.decimal128(20, 3)), (float, pa.float64())):
        column = pa.array(numbers(kind), given_type)
        if not len(column):
            continue
        shown = [repr(cell) if isinstance(cell, float) else str(cell) for cell in numbers(kind)]
        assert identities(column) == identities(pa.array(shown, pa.string()))


def groups(texts: Sequence[str]) -> list[int]:
    return [texts.index(text) for text in texts]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(cells=st.lists(st.text("01. -+eE_é\u0301aA", max_size=5) | st.none(), min_size=1, max_size=8))
def test_texts_that_are_one_key_are_one_key_of_a_join(read: Load, cells: list[str | None]) -> None:
    _, own, _, joined = texts_of(read(pa.array(cells, pa.string())))
    assert own == [canonical_value(cell) for cell in cells]
    assert [MISSING if text is None else text for text in joined] == own


@pytest.mark.parametrize(
    ("kind", "far", "near"),
    [
        (pa.timestamp("us"), 2**63 - 1, "1970-01-01T00:00:00"),
        (pa.timestamp("ms", "UTC"), 2**62, "1970-01-01T00:00:00+00:00"),
        (pa.timestamp("s"), 2**40, "1970-01-01T00:00:00"),
        (pa.date32(), 2**31 - 1, "1970-01-01"),
    ],
)
def test_infinite_moments_are_keys_of_their_own(kind: pa.DataType, far: int, near: str) -> None:
    counts = pa.int32() if pa.types.is_date(kind) else pa.int64()
    cells = pa.array([far, -far, 0, None], counts).view(kind)
    assert keys.declared_keys([cells]).to_pylist() == ["infinity", "-infinity", near, MISSING]
    assert key_texts([cells]).to_pylist() == ["infinity", "-infinity", near, None]
    frame = frame_of(pa.table({"x": cells}))
    assert RowRecipe((Column("x", "date"),)).apply(frame)[0]["x"].isna().tolist() == [True, True, False, True]
