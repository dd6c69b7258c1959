"""`aimass expectations`: learns from the nights in the ledger, shows the difference, keeps what people edited."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from pipelines import storage
from pipelines.artifacts import Night, Ref
from pipelines.cli.main import app
from pipelines.ledger import Ledger
from pipelines.settings import Settings
from pipelines.spec import ModelSpec
from pipelines.validation.history import cleaned_nights
from pipelines.validation.suite import learn_suite, suite_text

MODEL = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))
Aimass = Callable[..., tuple[int, str]]
START = datetime(2026, 3, 1, 2, tzinfo=UTC)


def had_night(home: Settings, number: int, state: str = "success", scale: float = 1.0) -> Path:
    """Record a night with a cleaned table; return its folder."""
    ledger = Ledger.open(home)
    night = Night(model=MODEL, night=f"manual__{number}", as_of=START + timedelta(days=number))
    ledger.open_night(night, "local")
    fence = ledger.begin_stage("demo", night.night, "clean")
    draw = np.random.default_rng(number)
    table = pa.table(
        {
            "_key": [f"{number}-{n}" for n in range(300)],
            "_time": pa.nulls(300, pa.timestamp("us", "UTC")),
            "_sealed": [False] * 300,
            "_weight": [1.0] * 300,
            "_y": draw.choice(["yes", "no"], 300),
            "size [m]": draw.normal(100, 10, 300) * scale,
        }
    )
    staging = storage.stage_folder(home, "clean")
    storage.write_table(table, staging / "cleaned")
    uri = f"nights/demo/{number}/clean-1"
    digest = storage.publish(staging, storage.resolve(home, uri), stage="clean", rows=300)
    ref = Ref(uri=uri, digest=digest, stage="clean", rows=300)
    ledger.finish_stage("demo", night.night, "clean", fence, state="done", ref=ref.model_dump(mode="json"))
    ledger.close_night("demo", night.night, state)
    ledger.close()
    return storage.resolve(home, uri)


@pytest.fixture
def aimass(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run a command; returns its exit code, and what it printed: `say` writes past sys.stdout."""

    def call(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["expectations", *words])
        return done.exit_code, capfd.readouterr().out + done.output

    return call


def test_learns_from_the_last_good_nights_and_keeps_edits(
    home: Settings, aimass: Aimass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")  # so that no cell is wrapped
    for number in range(3):
        had_night(home, number)
    had_night(home, 3, state="failed", scale=1000)
    path = home.dags.parent / "expectations" / "demo" / "suite.json"
    assert aimass("learn", "demo")[0] == 0
    assert not path.exists()
    assert aimass("learn", "demo", "--write")[0] == 0
    suite = json.loads(path.read_text())
    between = next(rule for rule in suite["expectations"] if rule["type"] == "expect_column_values_to_be_between")
    assert between["kwargs"]["max_value"] < 250  # the failed night is none to learn from
    assert any(rule["type"] == "expect_column_values_to_be_unique" for rule in suite["expectations"])
    code, same = aimass("diff", "demo")
    assert code == 0
    assert "no change" in same
    between["kwargs"]["max_value"] = 123.0
    suite["expectations"] = suite["expectations"][:-1]
    path.write_text(json.dumps(suite))
    code, told = aimass("diff", "demo")
    assert code == 0
    assert "kept (edited by hand)" in " ".join(told.split())
    assert "added" in told
    _, again = aimass("learn", "demo", "--write")
    assert "kept, edited by hand" in again
    assert "1 added, 0 removed, 0 changed" in again
    kept = json.loads(path.read_text())["expectations"]
    assert any(rule["kwargs"].get("max_value") == 123.0 for rule in kept)


def test_damaged_and_removed_nights_are_passed_over(home: Settings) -> None:
    folders = [had_night(home, number) for number in range(4)]
    (folders[1] / "cleaned" / "part-00000.parquet").write_bytes(b"PAR1")
    folders[2].rename(folders[2].with_name("gone"))
    found, passed = cleaned_nights(home, Ledger.open(home), "demo")
    assert found == [folders[0] / "cleaned", folders[3] / "cleaned"]
    assert passed == ["2026-03-03: removed since", "2026-03-02: a published folder is damaged"]
    assert cleaned_nights(home, Ledger.open(home), "demo", 1)[0] == [folders[3] / "cleaned"]


def test_without_a_suite_there_is_nothing_to_compare(home: Settings, aimass: Aimass) -> None:
    had_night(home, 1)
    assert aimass("diff", "demo")[0] == 2


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('"min_value"', '"min_valeu"', "min_valeu"),
        ('"severity": "warning"', '"severity": "hard"', "critical stops"),
        ('"kwargs"', '"arguments"', "'kwargs'"),
        ("},", "}", "line "),
    ],
)
@pytest.mark.parametrize("words", [("diff",), ("learn", "--write")])
def test_a_suite_that_no_night_could_read_is_refused_at_once(
    home: Settings, aimass: Aimass, words: tuple[str, ...], before: str, after: str, told: str
) -> None:
    path = home.dags.parent / "expectations" / "demo" / "suite.json"
    path.parent.mkdir(parents=True)
    had_night(home, 1)
    spoilt = suite_text(learn_suite("demo", pa.table({"_key": ["a"] * 9, "size": [1.0] * 9}))).replace(before, after)
    path.write_text(spoilt)
    code, said = aimass(words[0], "demo", *words[1:])
    assert code == 2
    assert "a suite cannot be read" in said
    assert told in said
    assert str(path) in said
    assert path.read_text() == spoilt


def test_an_unknown_model_is_a_clear_error(home: Settings, aimass: Aimass) -> None:
    code, said = aimass("learn", "nobody")
    assert code == 2
    assert "no such model" in said
