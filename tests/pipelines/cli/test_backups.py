from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from backups import chunk_files
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.ledger import Ledger
from pipelines.settings import Settings

Said = Callable[..., str]


@pytest.fixture
def begun(home: Settings) -> Settings:
    """A home with an empty ledger."""
    Ledger.open(home).close()
    return home


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Said:
    """Run a command; return all that it printed."""

    def run(*words: str, code: int = 0) -> str:
        capfd.readouterr()
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == code, done.output
        return capfd.readouterr().out + done.output

    return run


def test_backups_are_taken_listed_read_back_and_restored(begun: Settings, said: Said, tmp_path: Path) -> None:
    assert "no backups yet" in said("backups")
    name = said("backup").split(":")[0]
    assert " new)" in said("backup")
    listed = said("backups")
    assert name in listed
    assert "what it added" in listed
    assert said("backups", "verify", name) == f"{name}: whole\n"
    assert said("backups", "verify", "--all").count("whole") == 2
    assert "what it added" not in said("backups")
    first, _ = json.loads(said("backups", "--json"))
    assert first["name"] == name
    assert first["new_bytes"] > 0
    said("restore", name, "--into", str(tmp_path / "again"))
    assert (tmp_path / "again" / "ledger.db").is_file()


def test_a_fault_is_named_and_is_the_exit_code(begun: Settings, said: Said) -> None:
    said("backup")
    chunk_files(begun.backups)[0].unlink()
    assert "missing" in said("backups", "verify", code=1)
    assert "fault" in said("backups")


def test_over_a_home_only_with_force_and_then_it_is_set_aside(begun: Settings, said: Said) -> None:
    said("backup")
    said("backup")
    (begun.home / "ledger.db").write_bytes(b"lost")
    assert "--force" in said("restore", "latest", "--into", str(begun.home), code=1)
    assert (begun.home / "ledger.db").read_bytes() == b"lost"
    shown = said("restore", "latest", "--into", str(begun.home), "--force")
    (aside,) = begun.home.parent.glob("home.before-restore-*")
    assert str(aside) in shown
    assert (aside / "ledger.db").read_bytes() == b"lost"
    with Ledger.open(begun) as ledger:
        assert ledger.models() == []
    assert len(json.loads(said("backups", "--json"))) == 2
