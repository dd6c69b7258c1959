"""Housekeeping and delete on the command line: what would go, what is refused and why, what is recorded."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.artifacts import night_slug
from pipelines.cli.main import app
from pipelines.ledger import Ledger
from pipelines.settings import Settings

pytestmark = pytest.mark.usefixtures("own_temporary")


@pytest.fixture
def ledger(home: Settings, make_night: Callable[..., object]) -> Ledger:
    """Three nights of the model churn, each with a version; the second is live. The third night is running."""
    opened = Ledger.open(home)
    for number in (1, 2, 3):
        night = make_night(f"night-{number}", as_of=f"2026-03-0{number}T02:00:00", name="churn")
        opened.open_night(night, "local")
        uri = f"nights/churn/{night_slug(night.night)}/clean-1"
        (home.storage / uri).mkdir(parents=True)
        (home.storage / uri / "part").write_bytes(b"x" * 1_000)
        fence = opened.begin_stage("churn", night.night, "clean")
        ref = {"uri": uri, "digest": "d", "stage": "clean", "rows": None, "meta": {}}
        opened.finish_stage("churn", night.night, "clean", fence, state="done", ref=ref)
        model = home.storage / "models" / "churn" / (f"{number}" * 3)
        model.mkdir(parents=True)
        (model / "model.json").write_bytes(b"x" * 2_000)
        opened.reserve("churn", night.night, fence)
        facts = {"model_uri": model.relative_to(home.storage).as_posix(), "model_digest": f"{number}" * 64}
        opened.advance("churn", night.night, fence, state="registered", as_of=night.as_of, **facts)
        opened.assign_version("churn", night.night, fence)
        if number < 3:
            opened.close_night("churn", night.night, "success", {"verdict": "promoted"})
    opened.switch("churn", 2, 0, "test", "test")
    return opened


def run(capfd: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capfd.readouterr()
    result = CliRunner().invoke(app, list(words))
    seen = capfd.readouterr()
    assert result.exit_code == code, result.output + seen.err
    return seen.out + seen.err + result.output


def test_a_version_is_looked_at_then_deleted_with_who_and_why(
    ledger: Ledger, home: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    text = run(capfd, "delete", "churn", "--version", "1", "--dry-run")
    assert "version 1" in text
    assert "2 kB" in text
    assert [row.version for row in ledger.versions("churn")] == [1, 2, 3]
    assert "needs a reason" in run(capfd, "delete", "churn", "--version", "1", code=2)
    run(capfd, "delete", "churn", "--version", "1", "--why", "wrong prices")
    assert [row.version for row in ledger.versions("churn")] == [2, 3]
    assert not (home.storage / "models" / "churn" / "111").exists()
    told = ledger.deleted_versions("churn")[0].verdict["deleted"]
    assert told["by"].startswith("delete:")
    assert told["why"] == "wrong prices"
    assert '"version": 1' in run(capfd, "versions", "churn", "--deleted", "--json")
    assert "wrong prices" in run(capfd, "versions", "churn", "--deleted")


def test_what_is_in_use_is_refused_with_each_reason_and_its_cure(
    ledger: Ledger, capfd: pytest.CaptureFixture[str]
) -> None:
    ledger.want("churn", 1, "serve")
    words = ("--version", "1", "--version", "2", "--version", "9", "--night", "night-3", "--night", "nigth-1")
    text = run(capfd, "delete", "churn", *words, "--why", "x", code=2)
    for part in (
        "version 1: its service is kept running",
        "version 2: it is live; aimass rollback churn",
        "version 9: there is none",
        "night night-3: it is running",
        "did you mean 'night-1'",
    ):
        assert part in text, part
    assert len(ledger.versions("churn")) == 3
    assert "it made version 1" in run(capfd, "delete", "churn", "--night", "night-1", "--why", "x", code=2)


def test_a_night_is_deleted_but_what_others_use_of_it_stays(
    ledger: Ledger, home: Settings, capfd: pytest.CaptureFixture[str], make_night: Callable[..., object]
) -> None:
    uri = f"nights/churn/{night_slug('night-1')}/split-1"
    (home.storage / uri).mkdir(parents=True)
    fence = ledger.begin_stage("churn", "night-3", "split")
    ref = {"uri": uri, "digest": "d", "stage": "split", "rows": None, "meta": {}}
    ledger.finish_stage("churn", "night-3", "split", fence, state="done", ref=ref)
    run(capfd, "delete", "churn", "--night", "night-1", "--version", "1", "--why", "wrong prices")
    left = home.storage / "nights" / "churn" / night_slug("night-1")
    assert [path.name for path in left.iterdir()] == ["split-1"]
    row = ledger.night("churn", "night-1")
    assert (row.state, row.verdict["deleted"]["why"]) == ("deleted", "wrong prices")
    assert ledger.stages("churn", "night-1") == []
    assert "deleted" in run(capfd, "nights", "churn")


def test_a_model_goes_as_a_whole_once_no_caller_can_ask_it(
    ledger: Ledger, home: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    text = run(capfd, "delete", "churn", "--dry-run", code=2)
    assert "aimass pause churn" in text
    assert "night night-3: it is running" in text
    ledger.close_night("churn", "night-3", "failed")
    assert "answers no caller" in run(capfd, "pause", "churn", "--why", "to be deleted")
    assert "version 2" in run(capfd, "delete", "churn", "--dry-run")
    assert len(ledger.versions("churn")) == 3
    home.dags.mkdir(exist_ok=True)
    (home.dags / "retrain_churn.py").write_text("")
    assert "retrain_churn.py stays" in run(capfd, "delete", "churn", "--why", "the product ended")
    assert ledger.versions("churn") == []
    assert (ledger.route("churn"), ledger.serving("churn"), ledger.paused()) == (None, [], {})
    assert not list((home.storage / "models").glob("*/*"))
    assert not list((home.storage / "nights").glob("*/*"))
    assert {row.verdict["deleted"]["why"] for row in ledger.nights("churn")} == {"the product ended"}
    assert "no models yet" in run(capfd, "models")
    run(capfd, "ledger", "verify")
    assert "no such model" in run(capfd, "delete", "chrun", "--dry-run", code=2)


def test_housekeeping_lists_what_would_go_by_the_policy_of_the_dag_file(
    ledger: Ledger, home: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    ledger.close_night("churn", "night-3", "success", {})
    home.dags.mkdir(exist_ok=True)
    (home.dags / "housekeeping.py").write_text("HOUSEKEEPING = HousekeepingSpec(nights=1, spare_hours=1)\n")
    first = home.storage / "nights" / "churn" / night_slug("night-1") / "clean-1"
    os.utime(first, (0, 0))
    text = run(capfd, "housekeeping", "--dry-run")
    assert "what would go" in text
    assert "1 things would go" in text
    assert first.is_dir()
    report = json.loads(run(capfd, "housekeeping", "--json").split("\n1 things")[0])
    assert (report["results"], report["items"][0]["bytes"]) == (1, 1_000)
    assert not first.exists()
    assert "most is held by" in run(capfd, "housekeeping", "--max-gb", "0.000001", code=1)
    (home.dags / "housekeeping.py").write_text("HOUSEKEEPING = HousekeepingSpec(nights=len([1]))\n")
    assert "plain values" in run(capfd, "housekeeping", "--dry-run", code=2)


def test_the_policy_of_the_project_is_read(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.cli.policy import housekeeping_spec
    from pipelines.settings import load

    root = Path(__file__).parents[3]
    spec = housekeeping_spec(load(home=home.home, dags_folder=root / "dags"), {"dry_run": True})
    assert (spec.nights, spec.dry_run) == (14, True)


def test_what_was_live_lately_or_is_the_measure_of_nights_is_kept(
    ledger: Ledger, capfd: pytest.CaptureFixture[str]
) -> None:
    ledger.close_night("churn", "night-3", "success", {})
    ledger.switch("churn", 3, 0, "test", "test")
    text = run(capfd, "delete", "churn", "--version", "2", "--dry-run", code=2)
    assert "it was live until" in text
    assert "less than 30 days ago" in text
    with ledger.transaction() as connection:
        connection.exec_driver_sql("UPDATE history SET at = '2026-01-01 00:00:00.000000'")
        worse = """'{"metric": "roc_auc", "champion_score": 0.5, "champion_version": 2, "improvement": -1}'"""
        connection.exec_driver_sql(
            """UPDATE publications SET verdict = '{"metric": "roc_auc", "champion_score": 0.5}' WHERE version = 2"""
        )
        connection.exec_driver_sql(f"UPDATE publications SET verdict = {worse} WHERE version = 3")
    text = run(capfd, "delete", "churn", "--version", "2", "--dry-run", code=2)
    assert "nights are compared with it" in text
    with ledger.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE publications SET verdict = {worse.replace('-1', '1')} WHERE version = 3")
    assert "version 2" in run(capfd, "delete", "churn", "--version", "2", "--dry-run")
