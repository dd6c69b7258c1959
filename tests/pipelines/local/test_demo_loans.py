"""The demo feed is one function of seed and day, and as messy as it says."""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import date, datetime
from pathlib import Path

import pytest

from pipelines.local.demo_loans import COLUMNS, simulate

START = date(2026, 3, 2)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[date, dict[str, str]]]:
    found = []
    for path in simulate(tmp_path_factory.mktemp("feed"), START, 25, seed=3, rows_per_day=200):
        day = date.fromisoformat(path.stem.removeprefix("applications-"))
        with path.open(newline="") as stream:
            found += [(day, row) for row in csv.DictReader(stream)]
    return found


def test_a_day_depends_on_seed_and_day_alone(tmp_path: Path) -> None:
    long = simulate(tmp_path / "long", START, 12, seed=1)
    short = simulate(tmp_path / "short", date(2026, 3, 10), 2, seed=1)
    other = simulate(tmp_path / "other", START, 1, seed=2)
    assert [path.name for path in short] == ["applications-2026-03-10.csv", "applications-2026-03-11.csv"]
    assert [path.read_bytes() for path in short] == [path.read_bytes() for path in long[8:10]]
    assert other[0].read_bytes() != long[0].read_bytes()


def test_outcomes_arrive_later_as_whole_rows(rows: list[tuple[date, dict[str, str]]]) -> None:
    sent: dict[str, list[tuple[date, dict[str, str]]]] = defaultdict(list)
    for day, row in rows:
        assert tuple(row) == COLUMNS
        if (day, row) not in sent[row["application_id"]]:
            sent[row["application_id"]].append((day, row))
    complete = [both for both in sent.values() if len(both) == 2]
    assert len(complete) > 2_000
    for (first, blank), (later, labelled) in complete:
        assert 3 <= (later - first).days <= 10
        assert blank["defaulted"] == ""
        assert labelled["defaulted"] in ("yes", "no")
        assert {**blank, "defaulted": ""} == {**labelled, "defaulted": ""}
    assert all(len(both) <= 2 for both in sent.values())
    early = [both for both in sent.values() if both[0][0] <= date(2026, 3, 12) and both[0][1]["defaulted"] == ""]
    assert all(len(both) == 2 for both in early)


def test_dirt_gaps_doubles_and_categories(rows: list[tuple[date, dict[str, str]]]) -> None:
    table = [row for _, row in rows]

    def unreadable(row: dict[str, str]) -> bool:
        try:
            datetime.fromisoformat(row["applied_at"])
            float(row["amount"])
            float(row["income"] if row["income"] not in ("", "n/a") else 0)
        except ValueError:
            return True
        return False

    assert 0.002 < sum(map(unreadable, table)) / len(table) < 0.01
    assert 0.02 < sum(row["income"] in ("", "n/a") for row in table) / len(table) < 0.06
    assert len({(day, *row.values()) for day, row in rows}) < len(rows)
    counts = {name: len({row[name].strip() for row in table}) for name in COLUMNS}
    assert counts["has_cosigner"] == 2
    assert counts["region"] == 52
    assert counts["employer"] > 900
    labels = [row["defaulted"] for row in table if row["defaulted"]]
    assert 0.15 < labels.count("yes") / len(labels) < 0.35
