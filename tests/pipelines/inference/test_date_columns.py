# ruff: noqa: DTZ001 - clean moments are naive UTC
from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.inference.recipe import dates
from pipelines.inference.recipe.date_columns import DIGITS, GUESSES, NONE, Written, learn, read_texts

FORMATS = (*GUESSES, *DIGITS, "%Y-%j %H:%M:%S", "%d/%m/%Y %I:%M:%S %p", "%s")
TAILS = (
    "",
    " 10:15",
    "T10:15:30.5",
    " 24:00:00",
    " 11:00 pm",
    " 13:00 pm",
    "+02",
    "Z",
    " UTC",
    "-0530",
    " 23:59:60",
    ":07:45",
    " 10:15:00.123456789 +05:30",
    " 24:00:01",
)


def one_by_one(texts: list[str], formats: tuple[str, ...]) -> list[int]:
    read = dates.reader(formats)
    epoch = datetime(1970, 1, 1)
    found = [read(text) for text in texts]
    return [NONE if moment is None else (moment - epoch) // timedelta(microseconds=1) for moment in found]


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=25)  # of each format
@given(
    moments=st.lists(st.datetimes(min_value=datetime(1000, 1, 1)), min_size=1, max_size=8),
    tail=st.sampled_from(TAILS),
    cut=st.integers(0, 30),
    sign=st.sampled_from("0123456789-/.: TZ+aJp"),
)
def test_a_column_reads_as_its_cells(name: str, moments: list[datetime], tail: str, cut: int, sign: str) -> None:
    texts = []
    for moment in moments:
        if name in dates.EPOCHS:
            seconds = int(moment.replace(tzinfo=UTC).timestamp())
            text = str(seconds * dates.EPOCHS[name])
        else:
            text = moment.isoformat() if name == dates.ISO else moment.strftime(name)
        texts += [text, text + tail, text[:cut] + sign + text[cut:], text[:cut] + text[cut + 1 :]]
    assert read_texts(pa.array(texts), (name,)).tolist() == one_by_one(texts, (name,))


@given(st.lists(st.text("0123456789.-", max_size=24), min_size=1))
def test_counts_since_1970_read_alike_however_long(texts: list[str]) -> None:
    for name in dates.EPOCHS:
        assert read_texts(pa.array(texts), (name,)).tolist() == one_by_one(texts, (name,))


def test_nulls_are_none() -> None:
    assert read_texts(pa.array([None, "2026-01-02"]), ()).tolist() == [NONE, 1_767_312_000_000_000]
    assert read_texts(pa.array([], pa.string()), ("%d.%m.%Y",)).tolist() == []


SPELLINGS = [
    "2024-03-05 03:15:00+00",
    "2024-03-05 03:15:00+00:00",
    "2024-03-05T03:15:00Z",
    "2024-03-05 03:15:00.000+00",
    "2024-03-05 00:15:00-03",
    "2024-03-05 08:45:00+0530",
    "2024-03-05 03:15:00 UTC",
    "2024-03-05T03:15:00,000 GMT",
    "2024-03-05 03:15",
    "2024-03-05 03:15:00.000000000000Z",
]


def test_every_spelling_of_a_zone_is_one_moment() -> None:
    assert len(set(read_texts(pa.array(SPELLINGS), ()).tolist())) == 1
    assert learn(dict.fromkeys(SPELLINGS, 1)) == Written(("iso",))


@pytest.mark.parametrize(
    ("texts", "formats"),
    [
        (["2026-01-02", "2026-12-31"], ("iso",)),
        (["1/2/2011", "3/25/2011"], ("%m/%d/%Y",)),
        (["1/2/2011", "25/3/2011"], ("%d/%m/%Y",)),
        (["01/13/26", "12/31/25"], ("%m/%d/%y",)),
        (["31/12/26", "01/01/26"], ("%d/%m/%y",)),
        (["31.01.26 10:15", "28.02.26 09:00"], ("%d.%m.%y",)),
        (["26-01-31", "26-02-01", "25-12-31"], ("%y-%m-%d",)),
        (["31-Jan-26", "01-Feb-26"], ("%d-%b-%y",)),
        (["31JAN2026", "01FEB2026:10:00:00"], ("%d%b%Y",)),
        (["1 March 2026", "2 Sept 2026"], ("%d %b %Y",)),
        (["Sat, 31 Jan 2026 10:15:00 GMT"], ("%a, %d %b %Y",)),
        (["31/Jan/2026:10:15:00 +0000"], ("%d/%b/%Y",)),
        (["Sat Jan 31 10:15:00 2026"], ("%a %b %d %H:%M:%S %Y",)),
        (["20260131T101500Z"], ("%Y%m%dT%H%M%S",)),
        (["2026-01", "2026-12"], ("%Y-%m",)),
        (["red", "green 5"], ()),
        (["20260102", "20261231"], ()),
        (["1.5", "2.25"], ()),
        (["1.2.3", "10.0.12.1"], ()),
        (["1234-56", "9999-12"], ()),
    ],
)
def test_one_way_of_writing(texts: list[str], formats: tuple[str, ...]) -> None:
    assert learn(dict.fromkeys(texts, 1)).formats == formats


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("20260102", "%Y%m%d"),
        ("20260102101500", "%Y%m%d%H%M%S"),
        ("202601021015", "%Y%m%d%H%M"),
        ("1769817600", "epoch s"),
        ("1769817600000", "epoch ms"),
        ("1769817600000000", "epoch us"),
        ("1769817600000000000", "epoch ns"),
        ("1769817600.25", "epoch s"),
    ],
)
def test_bare_digits_are_dates_where_declared(text: str, name: str) -> None:
    assert learn({text: 1}, declared=True).formats == (name,)


def test_day_and_month_are_rivals_until_one_value_decides() -> None:
    doubtful = {f"{1 + n % 12}/{1 + n % 11}/2026": 1 for n in range(132)}
    assert learn(doubtful) == Written(("%m/%d/%Y",), ("%d/%m/%Y",))
    assert learn({**doubtful, "25/3/2026": 1}) == Written(("%d/%m/%Y",))


def test_several_formats_and_dirt_but_never_both_orders() -> None:
    counts = {f"2026-01-{1 + n % 28:02d}": 5 for n in range(28)} | {"13/01/2026": 48, "01/13/2026": 1, "x": 1}
    assert learn(counts).formats == ("iso", "%d/%m/%Y")
    assert learn({"2026/01/31": 3, "31/12/2026": 2}).formats == ("%Y/%m/%d", "%d/%m/%Y")
    assert learn({"2026-01-01": 9, "x": 1}).formats == ()


def test_years_of_two_digits_lie_closest_together() -> None:
    counts = {f"{day:02d}.{month:02d}.26": 1 for day in range(1, 29) for month in (1, 2)}
    assert learn(counts).formats == ("%d.%m.%y",)
    assert np.isin(read_texts(pa.array(["31.01.26"]), ("%d.%m.%y",)), [1_769_817_600_000_000]).all()
