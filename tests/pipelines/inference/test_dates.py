# ruff: noqa: DTZ001 - clean moments are naive UTC
from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import SpecError
from pipelines.inference.recipe import dates

PLAIN = ["%Y-%m-%d %H:%M:%S", "%d/%m/%Y %I:%M:%S %p", "%b %d, %Y %H:%M:%S", "%Y%m%d%H%M%S", "%Y-%j %H:%M:%S"]


@pytest.mark.parametrize("name", PLAIN)
@given(moment=st.datetimes(min_value=datetime(1000, 1, 1)))
def test_reads_what_strftime_writes(name: str, moment: datetime) -> None:
    whole = moment.replace(microsecond=0)
    assert dates.reader((name,))(whole.strftime(name)) == whole


@given(st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.none()))
def test_reads_iso(moment: datetime) -> None:
    assert dates.reader(())(moment.isoformat()) == moment


def test_formats_are_tried_in_order() -> None:
    assert dates.reader(("%d/%m/%Y", "%m/%d/%Y"))("1/2/2020") == datetime(2020, 2, 1)
    assert dates.reader(("%d/%m/%Y", "%m/%d/%Y"))("1/31/2020") == datetime(2020, 1, 31)


@pytest.mark.parametrize("text", ["2020-02-30", "2020-1-1", "", "24:00", "2020-01-01T25:00", "2020-01-01 extra"])
def test_refuses(text: str) -> None:
    assert dates.reader(("%m/%d/%Y",))(text) is None


def test_seconds_since_1970() -> None:
    assert dates.reader(("%s",))("86400") == datetime(1970, 1, 2)


@pytest.mark.parametrize("name", ["%Q", "%H:%M", "%Y-%Y-%m-%d", "%", "day"])
def test_a_wrong_format_is_a_spec_error(name: str) -> None:
    with pytest.raises(SpecError, match="date format"):
        dates.compile_format(name)
