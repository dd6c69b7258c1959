"""`aimass reproduce`: a night done again is the same, and the first stage that is not is named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chain import Chain, write_small_source
from searching import run_here
from sqlalchemy import update
from typer.testing import CliRunner

from pipelines import settings as settings_module
from pipelines import storage
from pipelines.artifacts import Request
from pipelines.cli.main import app
from pipelines.cli.reproduce import lines_of, reproduce
from pipelines.errors import SpecError
from pipelines.ledger.schema import stages
from pipelines.reproduction import rerun
from pipelines.runner import run_stage
from pipelines.spec import ModelSpec
from pipelines.tuning import search

pytestmark = pytest.mark.slow

MODEL = ModelSpec(name="demo", task="binary", target="label", positive="yes", key=("id",))


class Here(Chain):
    """The chain in this process."""

    def run(self, stage: str, kill_after: float | None = None) -> int:
        request = Request.model_validate_json(self.request(stage).read_bytes())
        self.results[stage] = run_stage(request, self.settings)
        return 0


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    """Search in this process: starting Ray twice is slow; ``AIMASS_FULL=1`` does."""
    with pytest.MonkeyPatch.context() as patch:
        if not os.environ.get("AIMASS_FULL"):
            patch.setattr(search, "search", run_here)
        yield


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, quick: None) -> Iterator[SimpleNamespace]:
    """A night up to its verdict, and its version."""
    root = tmp_path_factory.mktemp("reproduce")
    settings = settings_module.load(home=root / "home", dags_folder=root / "dags").ensure()
    write_small_source(root / "in.csv", 400)
    specs: dict[str, dict[str, Any]] = {
        "ingest": {"source": str(root / "in.csv")},
        "tune": {"trials": 2, "families": ["linear"]},
        "evaluate": {"plots": False},
    }
    chain = Here(settings, MODEL, "manual__1", specs)
    for stage in rerun.REPEATED:
        if stage != "validate":
            chain.run(stage)
    fence = chain.ledger.begin_stage("demo", "manual__1", "register")
    chain.ledger.reserve("demo", "manual__1", fence)
    chain.ledger.assign_version("demo", "manual__1", fence)
    yield SimpleNamespace(root=root, settings=settings, ledger=chain.ledger, results=chain.results)
    chain.ledger.close()


@pytest.fixture
def changed(night: SimpleNamespace) -> Iterator[Any]:
    """Change what the ledger holds of a stage; as before afterwards."""
    held = {row.stage: row for row in night.ledger.stages("demo", "manual__1")}

    def put(stage: str, **values: Any) -> None:
        with night.ledger.transaction() as connection:
            connection.execute(update(stages).where(stages.c.stage == stage).values(**values))

    yield lambda stage, **values: put(stage, **values)
    for stage, row in held.items():
        put(stage, spec=row.spec, made_of=row.made_of, ref=row.ref, rows=row.rows)


def again(night: SimpleNamespace) -> dict[str, Any]:
    return reproduce(night.settings, night.ledger, "demo", 1, lambda _: None)


@pytest.fixture
def few_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run most stages in this process: starting seven is slow; ``AIMASS_FULL=1`` does."""
    in_child = rerun.Rerun._in_child

    def run(self: rerun.Rerun, request: Request) -> Any:
        return in_child(self, request) if request.stage == "sample" else run_stage(request, self.scratch)

    if not os.environ.get("AIMASS_FULL"):
        monkeypatch.setattr(rerun.Rerun, "_in_child", run)


@pytest.mark.usefixtures("few_children")
def test_a_night_is_done_again_and_leaves_nothing(night: SimpleNamespace) -> None:
    before = {path: path.stat().st_mtime_ns for path in night.settings.storage.rglob("*")}
    facts = again(night)
    assert [(stage["stage"], stage["state"]) for stage in facts["stages"]] == [
        (name, "same") for name in rerun.REPEATED if name != "validate"
    ]
    assert facts["diverged"] is None
    assert list(lines_of(facts)) == ["demo version 1 (night of 2026-03-01): reproduced, 8 of 8 stages compared"]
    assert {path: path.stat().st_mtime_ns for path in night.settings.storage.rglob("*")} == before
    assert list(night.settings.run_dir.iterdir()) == []


def test_the_first_stage_that_differs_is_named(night: SimpleNamespace, changed: Any) -> None:
    row = next(row for row in night.ledger.stages("demo", "manual__1") if row.stage == "sample")
    changed("sample", spec=row.spec | {"fraction": 0.5}, made_of=row.made_of | {"code": "another"})
    facts = again(night)
    assert [(stage["stage"], stage["state"]) for stage in facts["stages"]] == [
        ("ingest", "same"),
        ("sample", "different"),
    ]
    assert facts["diverged"] == "sample"
    assert facts["stages"][-1]["differs"] == ["sampled"]
    told = list(lines_of(facts))
    assert told[0] == "demo version 1 (night of 2026-03-01): sample is the first stage that differs"
    assert told[1:] == ["differs: sampled", "because: the code of the stage has changed since"]


def test_a_changed_source_is_told(
    night: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    source = night.root / "in.csv"
    held = source.read_bytes()
    try:
        write_small_source(source, 401)
        monkeypatch.setenv("AIMASS_HOME", str(night.settings.home))
        done = CliRunner().invoke(app, ["reproduce", "demo", "1", "--json"])
    finally:
        source.write_bytes(held)
        os.utime(source)
    facts = json.loads(capfd.readouterr().out)
    assert done.exit_code == 1
    assert (facts["diverged"], facts["stages"][-1]["differs"]) == ("ingest", ["raw"])
    assert "what lies outside the night: files, suite, date has changed since" in facts["stages"][-1]["why"]


def test_a_stage_that_fails_is_told(night: SimpleNamespace) -> None:
    source = night.root / "in.csv"
    source.rename(night.root / "away.csv")
    try:
        facts = again(night)
    finally:
        (night.root / "away.csv").rename(source)
    assert (facts["diverged"], facts["stages"][-1]["state"]) == ("ingest", "failed")
    assert "ingest is the first stage that fails" in next(lines_of(facts))


def test_results_that_were_tidied_away_are_compared_by_what_is_left(night: SimpleNamespace, changed: Any) -> None:
    folder = storage.resolve(night.settings, night.results["sample"].ref.uri)
    row = next(row for row in night.ledger.stages("demo", "manual__1") if row.stage == "sample")
    changed("sample", rows=7, ref=row.ref | {"digest": "another"})
    shutil.move(folder, night.root / "kept")
    try:
        facts = again(night)
    finally:
        shutil.move(night.root / "kept", folder)
    assert (facts["diverged"], facts["stages"][-1]["differs"]) == ("sample", ["rows"])


def test_what_cannot_be_done_again_is_refused(night: SimpleNamespace, changed: Any) -> None:
    with pytest.raises(SpecError, match="no such version"):
        reproduce(night.settings, night.ledger, "demo", 9, lambda _: None)
    with pytest.raises(SpecError, match="no such model"):
        reproduce(night.settings, night.ledger, "demi", 1, lambda _: None)
    changed("tune", made_of=None)
    with pytest.raises(SpecError, match="too little is known"):
        again(night)


def test_the_scratch_home_is_private_and_goes(night: SimpleNamespace) -> None:
    with rerun.scratch_home(night.settings) as scratch:
        folder: Path = scratch.home
        assert scratch.ledger_url is None
        assert (scratch.secrets / "signing_key.pem").samefile(night.settings.secrets / "signing_key.pem")
        assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
