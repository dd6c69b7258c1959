"""Each industry template: what init writes from it, a night on its generated feed, and a table of one's own."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
from here import night

from pipelines import settings as settings_module
from pipelines.cli.init import init_model, template_drift
from pipelines.errors import SpecError
from pipelines.industry import NAMES, template, templates
from pipelines.industry.feed import day_file, rows_of, write_feed
from pipelines.ledger import Ledger
from pipelines.local.inprocess import run_in_process

QUICK = {
    "tune__trials": 1, "tune__families": ["linear"], "evaluate__explain_rows": 0, "evaluate__plots": False,
    "ensemble__methods": [],
}  # fmt: skip
SHORT = "demand"
"""The template whose night is in `make test`; the full form has all."""
SERVED = "churn"
"""The template whose night goes on to a service in the full form, in which nights start processes of their own."""
FULL = bool(os.environ.get("AIMASS_FULL"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in (("HOME", tmp_path / ".aimass"), ("DAGS_FOLDER", tmp_path / "dags"), ("MLFLOW_PORT", "1024")):
        monkeypatch.setenv(f"AIMASS_{name}", str(value))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dags").mkdir()
    return tmp_path


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_a_night_on_the_generated_feed_makes_a_version_that_is_promoted(project: Path, name: str) -> None:
    if name != SHORT and not FULL:
        pytest.skip("a night of the same kind as another's: `make faults` runs it")
    report = init_model(f"my_{name}", None, template=name, dags=project / "dags")
    assert template_drift(report.dag) == []
    assert f'path="home:feed/my_{name}/{name}-*.csv"' in report.dag.read_text()
    assert not [line for line in report.warnings if "left out" in line]
    settings = settings_module.load()
    served = FULL and name == SERVED
    with (project / "night.log").open("wb") as log:
        run = run_in_process if FULL else night
        run(settings, report.dag, params={**QUICK, "deploy__stop_before": not served}, log=log)
    with Ledger.open(settings) as ledger:
        (row,) = ledger.nights(f"my_{name}")
        assert row.verdict is not None
        assert row.verdict["verdict"] == "promoted", row.verdict
        assert [each.version for each in ledger.versions(f"my_{name}")] == [1]
        assert ledger.route(f"my_{name}") == (1 if served else None)


@pytest.mark.parametrize("each", templates(), ids=lambda each: each.name)
def test_a_day_of_a_feed_is_a_function_of_seed_and_day(each, tmp_path: Path) -> None:
    day = date(2026, 3, 1)
    assert day_file(each, day) == day_file(each, day)
    assert not rows_of(each, day).equals(rows_of(each, day, seed=1))
    files = write_feed(each, tmp_path / "feed", day, 3)
    assert [path.name for path in files] == [f"{each.name}-2026-0{when}.csv" for when in ("2-27", "2-28", "3-01")]
    table, target, key = pd.read_csv(files[-1]), each.model["target"], each.model["key"][0]
    assert table[target].isna().sum() == len(rows_of(each, day))
    assert not table[key].duplicated().any()
    known = table[table[target].notna()]
    assert set(known[key]) == set(rows_of(each, day - timedelta(days=each.label_days))[key])


def test_on_a_table_of_ones_own_the_template_says_what_it_leaves_out(project: Path) -> None:
    (project / "own.csv").write_text(
        "id,contract,fee,left\n" + "".join(f"{n},{'ab'[n % 2]},{n % 7},{'yn'[n % 3 > 0]}\n" for n in range(400))
    )
    report = init_model("mine", "own.csv", "left", key=("id",), positive="y", template="churn", dags=project / "dags")
    text = report.dag.read_text()
    assert 'EVALUATE = EvaluateSpec(slices=("contract",), slice_margin=0.03, max_calibration_error=0.08)' in text
    assert 'ENSEMBLE = EnsembleSpec(threshold="cost", cost_false_negative=5.0)' in text
    assert "FEATURES = FeatureSpec()" in text
    left = [line for line in report.warnings if line.startswith("left out of the template")]
    assert len(left) == 4
    assert any("ratio of usage_30d, usage_prior_30d" in line for line in left)
    assert not (project / ".aimass" / "feed" / "mine").exists()


def test_an_unknown_template_is_refused_with_the_nearest(project: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'churn'"):
        init_model("mine", None, template="chrun", dags=project / "dags")
    assert template("fraud").name == "fraud"
    assert list(project.joinpath("dags").iterdir()) == []
