"""Times without a zone are in the zone of the model; both changes of the clocks, texts and types alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import SpecError
from pipelines.ingestion.files.file_dates import known_since
from pipelines.ingestion.files.sources import find_files
from pipelines.ingestion.spec import Files
from pipelines.settings import Settings
from pipelines.spec import ModelSpec

TIMES = [
    ("2026-01-15 14:00:00", "2026-01-15T13:00"),
    ("2026-07-15 14:00", "2026-07-15T12:00"),
    ("2026-03-29 01:59:59", "2026-03-29T00:59:59"),
    ("2026-03-29 02:30:00", "2026-03-29T01:30"),  # skipped: read as if the clocks had not been put forward
    ("2026-03-29 03:00:00", "2026-03-29T01:00"),
    ("2025-10-26 01:59:59", "2025-10-25T23:59:59"),
    ("2025-10-26 02:30:00", "2025-10-26T01:30"),  # twice: the later one
    ("2025-10-26 03:00:00", "2025-10-26T02:00"),
    ("2026-01-15T14:00:00Z", "2026-01-15T14:00"),
    ("2026-01-15 14:00:00+05:30", "2026-01-15T08:30"),
    ("2026-01-15 14:00:00.5 UTC", "2026-01-15T14:00:00.5"),
    ("2026-01-15", "2026-01-14T23:00"),
]


def moments(wanted: list[str]) -> list[datetime]:
    return [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in wanted]


def night_of(make_night: Any, **model: Any) -> Any:
    return make_night("n", "2026-12-01", key=("id",), time="at", **model)


def test_texts(take_in: Callable[..., Any], make_night: Any, tmp_path: Path) -> None:
    lines = [f"{number},{text},yes" for number, (text, _) in enumerate(TIMES)]
    (tmp_path / "a.csv").write_text("\n".join(["id,at,label", *lines, ""]))
    night = night_of(make_night, zone="Europe/Berlin")
    found = take_in(night, source=str(tmp_path / "a.csv"), time_formats=("iso",))
    assert [when for (when,) in found.rows("_time")] == moments([utc for _, utc in TIMES])


@pytest.mark.parametrize(
    ("texts", "formats", "hour"),
    [
        (["15.01.26 14:00"], ("%d.%m.%y %H:%M",), 13),
        (["15.01.2026 2:00:00 PM"], ("%d.%m.%Y %I:%M:%S %p",), 13),
        (["15-01-2026"], ("%d-%m-%Y",), 23),
        (["20260115T1400+0100"], ("%Y%m%dT%H%M%z",), 13),
        (["1768485600"], ("epoch s",), 14),
        (["1768485600000"], ("epoch ms",), 14),
    ],
)
def test_notations(
    take_in: Callable[..., Any], make_night: Any, tmp_path: Path, texts: list[str], formats: tuple[str, ...], hour: int
) -> None:
    rows = [f"{number},{text},yes" for number, text in enumerate(texts * 3)]
    (tmp_path / "a.csv").write_text("\n".join(["id,at,label", *rows, ""]))
    night = night_of(make_night, zone="Europe/Berlin")
    found = take_in(night, source=str(tmp_path / "a.csv"), time_formats=formats)
    assert {when.hour for (when,) in found.rows("_time")} == {hour}


def test_types(take_in: Callable[..., Any], make_night: Any, tmp_path: Path) -> None:
    naive = [datetime.fromisoformat(text) for text, _ in TIMES[:8]]
    table = {"id": range(8), "at": pa.array(naive, pa.timestamp("us")), "label": ["yes"] * 8}
    night = night_of(make_night, zone="Europe/Berlin")
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    found = take_in(night, source=str(tmp_path / "a.parquet"))
    assert [when for (when,) in found.rows("_time")] == moments([utc for _, utc in TIMES[:8]])
    table["at"] = table["at"].cast(pa.timestamp("us", "UTC"))
    pq.write_table(pa.table(table), tmp_path / "b.parquet")
    zoned = take_in(night, source=str(tmp_path / "b.parquet"))
    assert [when for (when,) in zoned.rows("_time")] == [when.replace(tzinfo=UTC) for when in naive]
    pq.write_table(pa.table({**table, "at": [date(2026, 7, 15)] * 8}), tmp_path / "c.parquet")
    days = take_in(night, source=str(tmp_path / "c.parquet"))
    assert days.rows("_time")[0][0] == datetime(2026, 7, 14, 22, tzinfo=UTC)


def test_a_row_is_known_when_its_local_moment_has_passed(
    take_in: Callable[..., Any], make_night: Any, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(
        "id,at,label\na,2026-11-30 20:00,yes\nb,2026-12-01 08:00,no\nc,2026-12-01 10:00,no\n"
    )
    utc = take_in(night_of(make_night), source=str(tmp_path / "a.csv"), time_formats=("iso",))
    assert utc.rows("id") == [("a",)]
    (told,) = [text for text in utc.report["notices"] if "zone" in text]
    assert "2 row(s) wait for a later night: 'at' is up to 10 h ahead of UTC" in told
    there = take_in(night_of(make_night, zone="Asia/Tokyo"), source=str(tmp_path / "a.csv"), time_formats=("iso",))
    assert there.rows("id") == [("a",), ("b",)]


def test_as_of_joins_compare_moments_of_one_zone(take_in: Callable[..., Any], make_night: Any, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,at,label\na,2026-07-01 12:00,yes\n")
    (tmp_path / "b.csv").write_text("id,known,price\na,2026-07-01T09:30:00Z,1\na,2026-07-01 12:30,2\n")
    join = {"name": "prices", "source": str(tmp_path / "b.csv"), "on": ["id"], "time": "known"}
    found = take_in(night_of(make_night, zone="Europe/Berlin"), source=str(tmp_path / "a.csv"), joins=[join])
    assert [float(price) for (price,) in found.rows("price")] == [1.0]


def test_a_file_of_a_day_is_read_once_the_day_is_over_there(home: Settings, tmp_path: Path) -> None:
    spec = Files(path=str(tmp_path / "*.csv"), file_date="a-%Y-%m-%d.csv")
    files = [tmp_path / f"a-2026-07-0{day}.csv" for day in (1, 2)]
    for file in files:
        file.write_text("id,label\n1,yes\n")
    late = datetime(2026, 7, 2, 22, 30, tzinfo=UTC)
    assert find_files(spec, late, home) == files[:1]
    assert find_files(spec, late, home, "Europe/Berlin") == files
    since = known_since(files, spec, "Europe/Berlin")
    assert since == {file: datetime(2026, 7, day, 22, tzinfo=UTC) for file, day in zip(files, (1, 2), strict=True)}


def test_an_unknown_zone_is_refused_with_the_nearest() -> None:
    with pytest.raises(SpecError) as caught:
        ModelSpec(name="m", task="regression", target="y", zone="Europe/Berlinn")
    assert "Europe/Berlin" in str(caught.value)
