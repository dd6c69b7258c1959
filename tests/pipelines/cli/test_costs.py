"""`aimass cost` and `aimass metrics`: the sums of what the ledger has, and what they cost by a price table."""

from __future__ import annotations

import csv
import io
import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.ledger import Ledger
from pipelines.settings import Settings


@pytest.fixture
def ledger(home: Settings, make_night) -> Ledger:
    opened = Ledger.open(home)
    for number in (1, 2):
        night = make_night(f"n{number}", name="churn")
        opened.open_night(night, "local")
        fence = opened.begin_stage("churn", night.night, "tune")
        for attempt in (1, 2):
            took = {"cpu_seconds": 900.0, "gpu_seconds": 450.0, "peak_memory": attempt * 10**9}
            took |= {"bytes_read": 0, "bytes_written": 0}
            where = {"model": "churn", "night": night.night, "fence": attempt}
            opened.add_task_usage("tune", state="done", seconds=1.0, usage=took, **where)
        if number == 1:
            opened.reserve("churn", night.night, fence)
            opened.assign_version("churn", night.night, fence)
            facts = {"model_uri": "m", "model_digest": "d" * 64}
            opened.advance("churn", night.night, fence, state="staged", as_of=night.as_of, **facts)
    opened.observe_serving("churn", 1, "p", cpu_seconds=30.0, rows=2000, memory=1)
    opened.observe_serving("churn", 0, "g", cpu_seconds=6.0, rows=2000, memory=1)
    return opened


def run(capfd: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    capfd.readouterr()
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output
    told = capfd.readouterr()
    return told.out + result.stdout, told.err + result.stderr


def test_costs_by_version_and_per_thousand_predictions(
    ledger: Ledger, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text('{"currency": "USD", "cpu_hour": 2, "gpu_hour": 8}')
    found = json.loads(run(capfd, "cost", "churn", "--prices", str(prices), "--json")[0])
    assert found["prices"] == {"cpu_hour": 2.0, "gpu_hour": 8.0, "currency": "USD"}
    first, rest, whole = found["lines"]
    assert first == {
        "version": 1,
        "what": "n1",
        "cpu_seconds": 1800.0,
        "gpu_seconds": 900.0,
        "peak_memory": 2 * 10**9,
        "serving_cpu_seconds": 36.0,
        "predictions": 2000,
        "cpu_seconds_per_1000": 18.0,
        "training": 3.0,
        "serving": 0.02,
        "per_1000": 0.01,
        "per_1000_with_training": 1.51,
    }
    assert (rest["what"], rest["training"], rest["per_1000"]) == ("nights without a version", 3.0, None)
    assert (whole["what"], whole["cpu_seconds"], whole["serving_cpu_seconds"]) == ("all", 3600.0, 36.0)
    rows = list(csv.DictReader(io.StringIO(run(capfd, "cost", "churn", "--prices", str(prices), "--csv")[0])))
    assert (rows[0]["version"], rows[0]["training"], rows[0]["currency"]) == ("1", "3.0", "USD")


def test_prices_of_the_home_are_the_default_and_none_are_told(
    ledger: Ledger, home: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    out, err = run(capfd, "cost", "churn")
    assert "no money" in err
    assert "nights without a version" in out
    (home.home / "prices.json").write_text('{"cpu_hour": 1}')
    assert json.loads(run(capfd, "cost", "churn", "--json")[0])["lines"][0]["training"] == 0.5
    assert "cpu_hours" in run(capfd, "cost", "churn", "--prices", _wrong(home), code=2)[1]
    assert "exclude each other" in run(capfd, "cost", "churn", "--json", "--csv", code=2)[1]


def _wrong(home: Settings) -> str:
    path = home.run_dir / "prices.json"
    path.write_text('{"cpu_hours": 1}')
    return str(path)


def test_metrics_are_printed_or_written_for_the_collector(
    ledger: Ledger, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = run(capfd, "metrics")[0]
    assert 'aimass_stage_cpu_seconds{model="churn",stage="tune"} 900.0' in text.splitlines()
    path = tmp_path / "aimass.prom"
    assert str(path) in run(capfd, "metrics", "--output", str(path))[0]
    assert 'aimass_serving_rows_total{model="churn",version="1"} 2000.0' in path.read_text().splitlines()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
