"""Days in the names of files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.ingestion.files.file_dates import date_pattern, file_day


@pytest.mark.parametrize(
    ("file", "pattern", "day"),
    [
        ("/a/loans-2026-01-02.csv", "loans-%Y-%m-%d.csv", 2),
        ("/a/day=2026-01-03/part.csv", "day=%Y-%m-%d/part.csv", 3),
        ("/a/2026/01/04/x/part.csv", "%Y/%m/%d/x/part.csv", 4),
        ("/a/day=2026-01-05/land=CH/part-17.csv", "day=%Y-%m-%d/*/*", 5),
        ("/a/loans.csv", "loans-%Y-%m-%d.csv", None),
    ],
)
def test_the_end_of_the_path_holds_the_date(file: str, pattern: str, day: int | None) -> None:
    wanted = None if day is None else datetime(2026, 1, day, tzinfo=UTC)
    assert file_day(Path(file), pattern) == wanted


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["a-2026-01-02.csv", "a-2026-01-03.csv"], "a-%Y-%m-%d.csv"),
        (["20260102.parquet", "20260103.parquet"], "%Y%m%d.parquet"),
        (["day=2026-01-02/p.csv", "day=2026-01-03/p.csv"], "day=%Y-%m-%d/p.csv"),
        (["day=2026-01-02/p1.csv", "day=2026-01-03/p2.csv"], "day=%Y-%m-%d/*"),
        (["a-2026-01-02.csv", "a-latest.csv"], None),
        (["a-2026-13-45.csv", "a-2026-13-46.csv"], None),
        (["a-2026-01-02.csv"], None),
    ],
)
def test_dates_in_names_are_seen(names: list[str], pattern: str | None) -> None:
    assert date_pattern([Path("/feed", name) for name in names]) == pattern
