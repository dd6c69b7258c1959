"""`aimass data`: the table of a night, from its snapshot or from the history, and what changed between two."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.artifacts import Night, Request
from pipelines.cli.data import difference, end_of, state_at
from pipelines.cli.main import app
from pipelines.errors import DataError, SpecError
from pipelines.ledger import Ledger
from pipelines.runner import run_stage
from pipelines.settings import Settings

pytestmark = pytest.mark.slow

Ingest = Callable[..., dict[str, Any]]


def deliver(
    source: Path, name: str, rows: list[tuple[int, str, float | str, str]], header: str = "id,city,x,label"
) -> None:
    source.mkdir(exist_ok=True)
    lines = [header, *(",".join(str(cell) for cell in row) for row in rows)]
    (source / name).write_text("\n".join(lines) + "\n")
    old = (source / name).stat().st_mtime - 100
    os.utime(source / name, (old, old))


def day(first: int, city: str = "rome", count: int = 20) -> list[tuple[int, str, float | str, str]]:
    return [(number, city, number / 10, "yes" if number % 3 else "no") for number in range(first, first + count)]


@pytest.fixture
def ingest(home: Settings, make_night: Callable[..., Night], tmp_path: Path) -> Ingest:
    """Run the ingest stage of a night; return its ref."""

    def run(number: int, source: Any = None, **spec: Any) -> dict[str, Any]:
        ledger = Ledger.open(home)
        night = make_night(f"night-{number}", f"2026-03-{number:02d}T02:00:00", key=["id"])
        declared = {"source": source or str(tmp_path / "in"), **spec}
        ledger.open_night(night, "local")
        fence = ledger.begin_stage("demo", night.night, "ingest", declared)
        result = run_stage(
            Request(stage="ingest", night=night.model_copy(update={"fence": fence}), spec=declared), home
        )
        ledger.close_night("demo", night.night, "success")
        ledger.close()
        return result.ref.model_dump()

    return run


@pytest.fixture
def lived_in(tmp_path: Path, ingest: Ingest) -> list[dict[str, Any]]:
    """Three nights: files a; a and b; a corrected, b, and a new column in c."""
    source = tmp_path / "in"
    deliver(source, "a.csv", day(0))
    refs = [ingest(1)]
    deliver(source, "b.csv", day(100, "oslo"))
    refs.append(ingest(2))
    deliver(source, "a.csv", [(0, "rome", "", "no"), *day(2, count=18)])
    deliver(source, "c.csv", [(*row, "new") for row in day(200)], header="id,city,x,label,extra")
    refs.append(ingest(4))
    return refs


def state(home: Settings, at: str | None = None) -> dict[str, Any]:
    ledger = Ledger.open(home)
    try:
        with state_at(home, ledger, "demo", end_of(at), lambda _: None) as found:
            return found.facts
    finally:
        ledger.close()


def tidy_away(home: Settings, ref: dict[str, Any]) -> None:
    shutil.rmtree(home.storage / ref["uri"])


def test_the_table_of_a_night_is_rebuilt_after_its_snapshot_is_gone(
    home: Settings, lived_in: list[dict[str, Any]], tmp_path: Path
) -> None:
    fields = ("night", "rows", "digest", "sealed", "unsealed", "columns")
    before = [state(home, f"2026-03-0{number}") for number in (1, 2, 3, 4)]
    assert [found["night"] for found in before] == ["night-1", "night-2", "night-2", "night-4"]
    assert [found["rows"] for found in before] == [20, 40, 40, 59]
    assert {found["from"] for found in before} == {"snapshot"}
    assert "extra" in before[3]["columns"]
    assert state(home) == before[3]
    for ref in lived_in:
        tidy_away(home, ref)
    shutil.rmtree(tmp_path / "in")
    history = sorted(path.as_posix() for path in (home.storage / "history").rglob("*"))
    after = [state(home, f"2026-03-0{number}") for number in (1, 2, 3, 4)]
    for one, other in zip(before, after, strict=True):
        assert {name: one[name] for name in fields} == {name: other[name] for name in fields}
        assert (other["from"], other["recorded_digest"]) == ("history", one["digest"])
    assert sorted(path.as_posix() for path in (home.storage / "history").rglob("*")) == history
    assert list(home.staging.iterdir()) == []


@pytest.mark.usefixtures("lived_in")
def test_a_date_without_a_night_is_what_was_known_then(home: Settings) -> None:
    told: list[str] = []
    ledger = Ledger.open(home)
    with state_at(home, ledger, "demo", datetime(2026, 2, 1, tzinfo=UTC), told.append) as found:
        assert (found.facts["night"], found.facts["rows"], found.facts["from"]) == (None, 20, "history")
        assert "nothing was read before 2026-03-01" in found.facts["notices"][0]
    assert "the first was on 2026-03-01" in told[0]
    assert [row.night for row in ledger.nights("demo")] == ["night-1", "night-2", "night-4"]
    ledger.close()


@pytest.mark.usefixtures("lived_in")
def test_what_changed(home: Settings) -> None:
    ledger = Ledger.open(home)
    facts = difference(home, ledger, "demo", ("2026-03-02", "2026-03-04"), lambda _: None)
    assert facts["rows"] == {"before": 40, "after": 59, "added": 20, "removed": 1, "changed": 1}
    assert facts["columns"] == {"added": ["extra"], "removed": [], "kinds": {}}
    assert facts["matched_by"] == "id"
    values = {change["column"]: change for change in facts["values"]}
    assert values["x"]["nulls"] == [0.0, pytest.approx(1 / 59)]
    assert values["x"]["mean"] == [pytest.approx(5.95), pytest.approx(640.9 / 58, abs=1)]
    assert values["city"]["top"] == {"oslo": [0.5, pytest.approx(20 / 59)], "rome": [0.5, pytest.approx(39 / 59)]}
    same = difference(home, ledger, "demo", ("2026-03-02", "2026-03-03"), lambda _: None)
    assert same["identical"]
    assert same["rows"] == {"before": 40, "after": 40, "added": 0, "removed": 0, "changed": 0}
    ledger.close()


@pytest.mark.usefixtures("lived_in")
def test_the_command(home: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    def run(*words: str, code: int = 0) -> str:
        assert CliRunner().invoke(app, ["data", *words]).exit_code == code
        return capfd.readouterr().out

    shown = run("demo", "--at", "2026-03-02")
    assert "rows      40 (" in shown
    assert "\ncity    VARCHAR\n" in shown
    told = json.loads(run("demo", "--json"))
    assert told["rows"] == 59
    assert set(told["columns"]) == {"id", "city", "x", "label", "extra"}
    changed = run("demo", "--diff", "2026-03-01", "2026-03-04")
    assert "rows      40 added, 1 removed, 1 changed, matched by id" in changed
    assert "columns added: extra" in changed
    assert "0.00% -> 1.69%" in changed
    assert "identical" in run("demo", "--diff", "2026-03-04", "2026-03-09")
    run("demo", "--at", "x", "--diff", "a", "b", code=2)
    run("demo", "--at", "soon", code=2)
    run("nobody", code=2)


def test_a_model_that_never_read_its_data(home: Settings, make_night: Callable[..., Night]) -> None:
    ledger = Ledger.open(home)
    ledger.open_night(make_night(), "local")
    with pytest.raises(SpecError, match="no night of this model"), state_at(home, ledger, "demo", None, print):
        pass
    ledger.close()


def test_a_source_without_history_says_when_it_changed_since(
    home: Settings, ingest: Ingest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(tmp_path / "in", "one.csv", day(0))
    path = tmp_path / "in" / "one.csv"
    ref = ingest(1, str(path))
    tidy_away(home, ref)
    assert state(home)["digest"] == state(home)["recorded_digest"]
    deliver(tmp_path / "in", "one.csv", day(1))
    told: list[str] = []
    ledger = Ledger.open(home)
    with state_at(home, ledger, "demo", None, told.append) as found:
        assert found.facts["digest"] != found.facts["recorded_digest"]
    assert "differs from the one that night saw" in told[-1]
    path.unlink()
    with pytest.raises(DataError, match="cannot be built again") as caught, state_at(home, ledger, "demo", None, print):
        pass
    assert "no source file" in caught.value.seen
    ledger.close()


def test_joined_tables_and_queries_are_rebuilt_as_known_then(
    home: Settings, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main table is a growing query, a joined one is a whole query, another one a folder."""
    database = tmp_path / "shop.db"
    monkeypatch.setenv("SHOP", f"sqlite:///{database}")

    def change(*statements: str) -> None:
        with closing(sqlite3.connect(database)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    rows = [(number, f"c{number % 3}", "yes" if number % 2 else "no", number) for number in range(40)]
    change("CREATE TABLE orders (id INT, city TEXT, label TEXT, at INT)", "CREATE TABLE cities (city TEXT, size INT)")
    change(*(f"INSERT INTO orders VALUES {row}" for row in rows[:30]))
    change(*(f"INSERT INTO cities VALUES ('c{number}', {number})" for number in range(3)))
    deliver(tmp_path / "in", "a.csv", [(number, "red", "", "") for number in range(20)], header="id,colour,_1,_2")
    spec = {
        "source": {"kind": "sql", "query": "SELECT * FROM orders", "connection": "SHOP", "since": "at"},
        "joins": [
            {
                "name": "cities",
                "source": {"kind": "sql", "query": "SELECT * FROM cities", "connection": "SHOP"},
                "on": ["city"],
            },
            {"name": "colours", "source": str(tmp_path / "in"), "on": ["id"], "columns": ["colour"]},
        ],
    }
    refs = [ingest(1, **spec)]
    change(*(f"INSERT INTO orders VALUES {row}" for row in rows[30:]), "UPDATE cities SET size = 9 WHERE city = 'c1'")
    deliver(tmp_path / "in", "b.csv", [(number, "blue", "", "") for number in range(20, 40)], "id,colour,_1,_2")
    refs.append(ingest(2, **spec))
    fields = ("night", "rows", "digest", "sealed", "columns")
    before = [{name: state(home, f"2026-03-0{number}")[name] for name in fields} for number in (1, 2)]
    assert [found["rows"] for found in before] == [30, 40]
    for ref in refs:
        tidy_away(home, ref)
    shutil.rmtree(tmp_path / "in")
    database.unlink()
    monkeypatch.delenv("SHOP")
    assert [{name: state(home, f"2026-03-0{number}")[name] for name in fields} for number in (1, 2)] == before


def test_a_damaged_snapshot_is_not_shown(home: Settings, lived_in: list[dict[str, Any]]) -> None:
    part = next((home.storage / lived_in[-1]["uri"] / "raw").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="damaged"):
        state(home)


def test_a_day_means_all_of_it() -> None:
    assert end_of("2026-03-01") == datetime(2026, 3, 2, tzinfo=UTC) - timedelta(microseconds=1)
    assert end_of("2026-03-01T02:00") == datetime(2026, 3, 1, 2, tzinfo=UTC)
    assert end_of(None) is None
