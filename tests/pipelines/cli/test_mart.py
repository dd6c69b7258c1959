"""`aimass data publish|list|show|download|expire`, beside `aimass data MODEL`."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from here import aimass

from pipelines.settings import Settings

ROWS = "id,city,email\n1,rome,a@b\n2,oslo,\n"


@pytest.fixture
def source(home: Settings, tmp_path: Path) -> Path:
    path = tmp_path / "visits.csv"
    path.write_text(ROWS)
    return path


def test_a_table_from_publication_to_its_end(home: Settings, source: Path, tmp_path: Path) -> None:
    said = aimass("data", "publish", "visits", "--from", str(source), "--hash", "email", "--description", "All visits")
    assert (said.returncode, said.stdout[:40]) == (0, "mart:visits@1: 2 rows, 3 columns, digest"), said.stderr
    assert "private: email hashed, by --drop or --hash" in said.stderr
    assert "no new version" in aimass("data", "publish", "visits", "--from", str(source), "--hash", "email").stdout
    again = aimass("data", "publish", "copied", "--from", "mart:visits", "--drop", "city", "--json")
    assert json.loads(again.stdout)["origin"]["path"] == "mart:visits@1"
    listed = aimass("data", "list").stdout
    assert "mart:visits@1" in listed
    assert "All visits" in listed
    shown = aimass("data", "show", "visits").stdout
    assert "private   email: hash, by --drop or --hash" in shown
    assert "a@b" not in shown
    facts = json.loads(aimass("data", "show", "visits@1", "--json").stdout)
    assert facts["preview"][0][:2] == ["1", "rome"]
    target = tmp_path / "out.parquet"
    assert aimass("data", "download", "visits@1", "--output", str(target)).returncode == 0
    assert pq.read_table(target).schema.names == ["id", "city", "email"]
    assert target.stat().st_mode & 0o777 == 0o600
    assert "would expire" in aimass("data", "expire", "visits@1", "--dry-run").stdout
    assert aimass("data", "expire", "visits@1").returncode == 2
    assert aimass("data", "expire", "visits@1", "--why", "old").returncode == 0
    refused = aimass("data", "show", "visits@1")
    assert refused.returncode == 2
    assert "has expired" in refused.stderr
    assert "visits@1" not in aimass("data", "list").stdout
    assert "mart:visits@1" in aimass("data", "list", "--all").stdout


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["publish", "t"], "published from one source"),
        (["publish", "t", "--from", "gone.csv"], "no source file"),
        (["publish", "t", "--from", "gone.csv", "--stage", "clean"], "a stage needs a model"),
        (["publish", "t", "--sql", "SELECT 1"], "published from one source"),
        (["publish", "t", "--from", "mart:none"], "no such published table"),
        (["show", "none"], "no such published table"),
        (["show", "A b"], "names no published table"),
        (["expire", "visits", "--why", "x"], "which version is to expire?"),
        (["download", "none", "--output", "x.csv"], "no such published table"),
        (["nobody"], "no such model"),
        (["--json", "nobody"], "no such model"),
    ],
)
def test_what_is_refused(source: Path, words: list[str], what: str) -> None:
    said = aimass("data", *words)
    assert (said.returncode, said.stdout) == (2, "")
    assert what in said.stderr
