"""A cell is sent as the service's own reading of raw rows would write it, whatever library it comes from."""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.client.cells import json_cell
from pipelines.inference import schema

CELLS: list[Any] = [
    None,
    True,
    0,
    -7,
    2**70,
    "",
    "x",
    1.5,
    -0.0,
    float("nan"),
    float("inf"),
    pd.NA,
    pd.NaT,
    pd.Timestamp("2026-03-01T02:03:04.000000005"),
    pd.Timestamp("2026-03-01", tz="Europe/Zurich"),
    pd.Timedelta("90s"),
    datetime(2026, 3, 1, 2, tzinfo=UTC),
    date(2026, 3, 1),
    time(1, 2, 3, 500_000),
    timedelta(days=1.5),
    Decimal("1.50"),
    Decimal("NaN"),
    Decimal("-0.00"),
    Decimal("12345678901234567890"),
    Decimal("0.1234567890123456789"),
    Decimal("1E+20"),
    Decimal("1E-7"),
    UUID(int=7),
    np.float64(0.1),
    np.float32(0.1),
    np.float64("nan"),
    np.int8(-3),
    np.uint64(2**63),
    np.bool_(False),
    np.str_("y"),
    [1, None, "a"],
    {"a": [1.5]},
    [datetime(2026, 3, 1, tzinfo=UTC)],
    np.array([1, 2]),
    [UUID(int=1)],
    [Decimal("1.50"), timedelta(seconds=90), time(1)],
]


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_it_is_what_the_service_writes(cell: Any) -> None:
    sent = json_cell(cell)
    assert (type(sent), sent) == (type(schema.json_cell(cell)), schema.json_cell(cell))
    assert json.loads(json.dumps(sent, allow_nan=False)) == sent


@given(st.decimals() | st.floats() | st.datetimes() | st.timedeltas() | st.times() | st.integers() | st.uuids())
def test_any_plain_cell_is_what_the_service_writes(cell: Any) -> None:
    assert json_cell(cell) == schema.json_cell(cell)


def test_moments_of_numpy_keep_their_unit() -> None:
    assert json_cell(np.datetime64("2026-03-01T02:00:00", "ns")) == "2026-03-01T02:00:00"
    assert json_cell(np.datetime64("NaT")) is None
    assert json_cell(np.timedelta64(90, "s")) == 90.0
    assert json_cell(OrderedDict(a=np.float64(1))) == '{"a":1.0}'
    assert json_cell([pd.NaT, {"when": date(2026, 3, 1)}]) == '[null,{"when":"2026-03-01"}]'


@pytest.mark.parametrize(
    "cell",
    [b"raw", {1, 2}, object(), 1j, [float("nan")], [b"raw"], Decimal("1E+9999")],
    ids=lambda cell: type(cell).__name__,
)
def test_what_is_no_json_value_is_refused_and_never_null(cell: Any) -> None:
    with pytest.raises(TypeError, match="no JSON value"):
        json_cell(cell)
