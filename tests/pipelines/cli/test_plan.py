"""`aimass plan`: a table and JSON, before the first night and after two, for the settings of the night."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from chain import write_small_source
from here import aimass

from pipelines.local.dag_file import Chain, as_chain
from pipelines.settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was set up and has had no night."""
    folder = tmp_path_factory.mktemp("plan")
    write_small_source(folder / "in.csv", 400)
    words = ("init", "small", "--source", "in.csv", "--target", "label", "--positive", "yes", "--key", "id")
    assert aimass(*words, folder=folder, **home(folder)).returncode == 0
    return folder


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the DAG file here: the first test starts the process that a user's call starts."""

    def chain_of(settings: Settings, dag_file: Path, params: Mapping[str, Any]) -> Chain:
        from aimass_airflow.inprocess import load_dag
        from aimass_airflow.specs import declared

        return as_chain(declared(load_dag(dag_file), dict(params)))

    monkeypatch.setattr("pipelines.cli.plan.chain_of", chain_of)


def home(folder: Path) -> dict[str, str]:
    return {"AIMASS_HOME": str(folder / ".aimass"), "AIMASS_DAGS_FOLDER": str(folder / "dags")}


def test_before_the_first_night_curves_tell(project: Path) -> None:
    (project / "prices.json").write_text('{"currency": "EUR", "cpu_hour": 0.04}')
    words = ("plan", "small", "--trials", "3", "--prices", "prices.json")
    done = aimass(*words, "--json", folder=project, **home(project))
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    found = {each["stage"]: each for each in facts["stages"]}
    assert (facts["model"], facts["nights"], facts["level"]) == ("small", 0, 0.8)
    assert list(found)[:3] == ["ingest", "sample", "clean"]
    assert list(found)[-1] == "deploy"
    assert found["ingest"]["why"] == "it was never done"
    assert found["ingest"]["rows"]["value"] == pytest.approx(400, rel=0.02)
    assert found["tune"]["rows"] == {"value": 3.0, "low": 3.0, "high": 3.0}
    assert found["tune"]["where"].startswith("LocalExecutor, pool heavy; Ray: ")
    assert found["deploy"]["why"] == "publishes, which every night does itself"
    whole = facts["total"]["minutes"]
    assert whole["low"] < whole["value"] < whole["high"]
    assert facts["total"]["cost"]["value"] > 0


@pytest.mark.usefixtures("in_process")
def test_rows_that_are_asked_about_need_no_source_and_more_take_longer(project: Path) -> None:
    minutes = []
    for rows in ("1000000", "100000000"):
        done = aimass("plan", "small", "--rows", rows, "--json", folder=project, **home(project))
        facts = json.loads(done.stdout)
        assert not any(each["reused"] for each in facts["stages"])
        minutes.append(facts["total"]["minutes"]["value"])
    assert minutes[1] > 5 * minutes[0]


@pytest.mark.usefixtures("in_process")
def test_after_two_nights_what_is_re_used_is_told_and_a_changed_setting_is_named(project: Path) -> None:
    quick = ("--param", 'tune__families=["linear"]', "--param", "evaluate__plots=false", "--trials", "2")
    stop = ("--param", "deploy__stop_before=true")
    for _ in range(2):
        done = aimass("run", "small", "--local", *quick, *stop, folder=project, **home(project))
        assert done.returncode == 0, done.stderr[-3000:]
    done = aimass("plan", "small", *quick, folder=project, **home(project))
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "yes" in lines["features"].split()
    assert "nothing has changed since" in lines["features"]
    assert "all" in lines
    assert "80% of nights" in done.stderr
    changed = aimass("plan", "small", *quick[:-1], "3", "--json", folder=project, **home(project))
    found = {each["stage"]: each for each in json.loads(changed.stdout)["stages"]}
    assert found["features"]["reused"]
    assert (found["tune"]["reused"], found["tune"]["why"]) == (False, "trials was 2 and is 3")
    assert found["ensemble"]["why"] == "tune is made anew"
    assert found["tune"]["nights"] >= 1


@pytest.mark.usefixtures("in_process")
def test_what_is_wrong_is_told(project: Path) -> None:
    done = aimass("plan", "none", folder=project, **home(project))
    assert (done.returncode, done.stdout) == (2, "")
    assert "no such model" in done.stderr
    done = aimass("plan", "small", "--param", "sample__fractoin=0.5", folder=project, **home(project))
    assert done.returncode == 2
    assert "sample__fractoin" in done.stderr
