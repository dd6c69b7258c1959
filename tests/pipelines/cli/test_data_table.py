"""`aimass init` and `aimass data` end with one table: column, read as, example, share missing, what becomes of it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.artifacts import Night, Request
from pipelines.cli.console import MAX_COLUMNS
from pipelines.cli.data import readings
from pipelines.cli.main import app
from pipelines.ledger import Ledger
from pipelines.runner import run_stage
from pipelines.settings import Settings


def write(folder: Path, wide: int = 0) -> Path:
    """Write rows with one column of most kinds, and so many plain ones."""
    names = ["id", "price", "clock", "day", "flag", "zip", "lists", *(f"w{n}" for n in range(wide)), "label"]
    lines = [";".join(names)]
    for row in range(60):
        cells = [
            str(row),
            "" if row % 4 == 0 else f"1.2{row:02d},50 €",
            f"{row % 24:02d}:30",
            f"{1 + row % 28:02d}.01.2026",
            ("yes", "no")[row % 2],
            f"0{row:04d}",
            f"[{row}]",
            *(str(row * n % 7) for n in range(wide)),
            ("a", "b")[row % 3 == 0],
        ]
        lines.append(";".join(cells))
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    return folder / "rows.csv"


@pytest.fixture
def night(home: Settings, make_night: Callable[..., Night], tmp_path: Path) -> Callable[..., Ledger]:
    """Run the stages of a night up to clean."""

    def run(stages: tuple[str, ...], wide: int = 0) -> Ledger:
        ledger = Ledger.open(home)
        made = make_night("night-1", "2026-03-01T02:00:00", key=["id"], positive="a")
        ledger.open_night(made, "local")
        specs: dict[str, dict[str, Any]] = {"ingest": {"source": str(write(tmp_path, wide))}, "sample": {}, "clean": {}}
        refs: dict[str, Any] = {}
        wires = {"ingest": {}, "sample": {"raw": "ingest"}, "clean": {"sampled": "sample"}}
        for stage in stages:
            fence = ledger.begin_stage("demo", "night-1", stage, specs[stage])
            inputs = {name: refs[source] for name, source in wires[stage].items()}
            request = Request(
                stage=stage, night=made.model_copy(update={"fence": fence}), spec=specs[stage], inputs=inputs
            )
            refs[stage] = run_stage(request, home).ref
        ledger.close_night("demo", "night-1", "success")
        return ledger

    return run


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, str]]:
    """Run a command; return what it said."""

    def call(*words: str) -> tuple[str, str]:
        capfd.readouterr()
        result = CliRunner().invoke(app, list(words))
        said = capfd.readouterr()
        assert result.exit_code == 0, said.err
        return said.out, said.err + result.stderr

    return call


def test_data_shows_what_the_night_understood(night: Callable[..., Ledger], home: Settings, run: Any) -> None:
    ledger = night(("ingest", "sample", "clean"))
    entries = {entry["column"]: entry for entry in readings(home, ledger, "demo", "night-1")}
    assert {name: (entry["read as"], entry["becomes"]) for name, entry in entries.items()} == {
        "id": ("as written", "key"),
        "price": ("number, decimal ',', thousands '.', currency", "feature"),
        "clock": ("number, in seconds", "feature"),
        "day": ("date, %d.%m.%Y", "feature"),
        "flag": ("truth value, yes or no", "feature"),
        "zip": ("category", "feature"),
        "lists": ("not read", "left out"),
        "label": ("category", "the target"),
    }
    assert entries["price"]["missing"] == pytest.approx(0.25, abs=0.05)
    assert entries["zip"]["example"].startswith("0")
    text, _ = run("data", "demo")
    for words in ("read as", "becomes", "number, in seconds", "truth value, yes or no", "the target", "left out"):
        assert words in text
    assert f"{entries['price']['missing']:.1%}" in text
    facts = json.loads(run("data", "demo", "--json")[0])
    assert facts["reading"] == list(entries.values())


def test_of_a_wide_table_the_first_columns_and_counts_of_the_others(night: Callable[..., Ledger], run: Any) -> None:
    night(("ingest", "sample", "clean"), wide=MAX_COLUMNS + 20)
    text, _ = run("data", "demo")
    assert re.search(r"… and \d\d more: number; feature", text)
    assert "… and 1 more: category; the target" in text
    assert text.count("\n") < MAX_COLUMNS + 20


@pytest.mark.parametrize("damage", ["not cleaned", "tidied away"])
def test_without_a_clean_stage_the_types_are_shown(
    night: Callable[..., Ledger], home: Settings, run: Any, damage: str
) -> None:
    ledger = night(("ingest",) if damage == "not cleaned" else ("ingest", "sample", "clean"))
    if damage == "tidied away":
        row = next(row for row in ledger.stages("demo", "night-1") if row.stage == "clean")
        shutil.rmtree(home.storage / row.ref["uri"])
    assert readings(home, ledger, "demo", "night-1") == []
    text, _ = run("data", "demo")
    assert "kind" in text
    assert "VARCHAR" in text
    assert "read as" not in text


@pytest.mark.usefixtures("home")
def test_init_ends_with_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    options = ["--target", "label", "--key", "id", "--dags", str(tmp_path / "dags")]
    text, told = run("init", "demo", "--source", "rows.csv", *options)
    for words in (
        "read as",
        "becomes",
        "number, decimal ',', thousands '.', currency",
        "date, %d.%m.%Y",
        "the target",
        "key",
    ):
        assert words in text
    assert "leading zeros" in told
    assert "lists or objects" in told
    written = (tmp_path / "dags" / "retrain_demo.py").read_text()
    assert "NumberText(" in written
    assert '"rows.csv"' in written
    assert str(tmp_path) not in written
