"""Thirty nights of real flights, replayed day by day, and one model judged on a quarter that it never saw.

Lays the nyc_flights13 tables out as a feed of daily files in a home of its own and runs the DAG file
``dags/retrain_flight_delays.py`` as it stands, with ``aimass run flight_delays --local --at DATE``. Prints what each
night read, how long it took, how much memory it held, and how good its model is.

    make replay                # 30 nights from 2013-09-01, then January-September against October-December
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from measure import Measured, measure

from pipelines.ledger import Ledger
from pipelines.settings import Settings, load

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data" / "nyc_flights13"
MODEL = "flight_delays"
LEAKING = ("dep_delay", "arr_time", "air_time")


def main() -> int:
    """Replay the nights and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the five tables")
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--first", type=date.fromisoformat, default=date(2013, 9, 1), help="date of the first night")
    parser.add_argument("--trials", type=int, default=1, help="trials of each of the nights")
    parser.add_argument("--rows", type=int, default=20_000, help="rows that each of the nights learns from")
    parser.add_argument("--budget-seconds", type=float, default=120, help="budget of the quarter's model")
    parser.add_argument("--keep", type=Path, help="home to work in and keep (default: a temporary one)")
    given = parser.parse_args()
    home = given.keep or Path(tempfile.mkdtemp(prefix="aimass-replay-"))
    try:
        feed(given.data, home / "nights" / "feed" / "flights")
        nights(home / "nights", given.first, given.nights, given.trials, given.rows)
        shutil.copytree(home / "nights" / "feed", home / "quarter" / "feed", dirs_exist_ok=True)
        quarter(home / "quarter", given.budget_seconds)
        sentinel(home / "quarter")
    finally:
        if given.keep is None:
            shutil.rmtree(home, ignore_errors=True)
    return 0


def feed(data: Path, folder: Path) -> None:
    """Write the tables as they would arrive: flights and weather by day, the others whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("flights", "weather"):
        table = pd.read_csv(data / f"{name}.csv.gz", dtype=str, keep_default_na=False)
        for day, rows in table.groupby(["year", "month", "day"], sort=False):
            stamp = date(*(int(float(part)) for part in day)).isoformat()
            rows.to_csv(folder / f"{name}-{stamp}.csv", index=False)
    for name in ("planes", "airports", "airlines"):
        table = pd.read_csv(data / f"{name}.csv.gz", dtype=str, keep_default_na=False)
        table.to_csv(folder / f"{name}.csv", index=False)


def run(home: Path, at: date, *options: str) -> Measured:
    """Run one night of the DAG file."""
    command = [
        sys.executable,
        "-m",
        "pipelines.cli.main",
        "run",
        MODEL,
        "--local",
        "--at",
        f"{at.isoformat()}T02:00:00",
    ]
    environment = {**os.environ, "AIMASS_HOME": str(home)}
    return measure([*command, *options], cwd=ROOT, env=environment, log=home / "replay.log")


def nights(home: Path, first: date, count: int, trials: int, rows: int) -> None:
    """Replay ``count`` nights and print a line for each."""
    settings = load(home=home)
    print(f"{'night':<11}{'files read':>11}{'known':>7}{'rows':>9}{'seconds':>9}{'peak MB':>9}{'AUC':>8}  verdict")
    for offset in range(count):
        at = first + timedelta(days=offset)
        done = run(
            home,
            at,
            "--trials",
            str(trials),
            "--param",
            f"sample__max_rows={rows}",
            "--param",
            "deploy__stop_before=true",
        )
        if done.code:
            raise SystemExit(f"night of {at} failed with {done.code}:\n{done.output[-3000:]}")
        facts = night_facts(settings, at)
        increments = facts["ingest"].get("increments", {})
        print(
            f"{at.isoformat():<11}{increments.get('read', '-'):>11}{increments.get('known', '-'):>7}"
            f"{facts['rows']:>9}{done.seconds:>9.1f}{done.peak / 1e6:>9.0f}{facts['score']:>8.4f}  {facts['verdict']}",
            flush=True,
        )


def night_facts(settings: Settings, at: date) -> dict[str, Any]:
    """Return what the ledger knows of the night of a date."""
    with Ledger.open(settings) as ledger:
        moment = datetime(at.year, at.month, at.day, 2, tzinfo=UTC)
        night = next(row for row in reversed(ledger.nights(MODEL)) if row.as_of == moment)
        stage = next(row for row in ledger.stages(MODEL, night.night) if row.stage == "ingest")
        report = json.loads((settings.storage / stage.ref["uri"] / "report.json").read_text())
        version = next(row for row in ledger.versions(MODEL) if row.night == night.night)
        return {
            "ingest": report,
            "rows": stage.ref["rows"],
            "score": version.score,
            "verdict": night.verdict["verdict"],
        }


def quarter(home: Path, budget: float) -> None:
    """Train on January to September and judge on October to December."""
    done = run(
        home,
        date(2014, 1, 1),
        "--budget-seconds",
        str(budget),
        "--param",
        "ingest__seal_days=92",
        "--param",
        "ingest__seal_max_rows=200000",
    )
    if done.code:
        raise SystemExit(f"the night of the quarter failed with {done.code}:\n{done.output[-3000:]}")
    facts = night_facts(load(home=home), date(2014, 1, 1))
    start = facts["ingest"]["seal_start"]
    print(
        f"\ntrained before {start}, judged on {start} to 2013-12-31: AUC {facts['score']:.4f} (target 0.675), "
        f"{done.seconds:.0f} s, peak {done.peak / 1e6:.0f} MB"
    )


def sentinel(home: Path) -> None:
    """Leave the columns in that are known only after departure: the sentinel has to name them."""
    dags = home / "dags"
    dags.mkdir(exist_ok=True)
    text = (ROOT / "dags" / f"retrain_{MODEL}.py").read_text()
    cut = text.replace("drop=(*ONLY_AFTER_DEPARTURE, ", 'drop=("arr_delay", ')
    if cut == text:
        raise SystemExit("the DAG file no longer drops ONLY_AFTER_DEPARTURE")
    (dags / f"retrain_{MODEL}.py").write_text(cut)
    shutil.copytree(ROOT / "expectations" / MODEL, home / "expectations" / MODEL, dirs_exist_ok=True)
    done = run(home, date(2013, 10, 1), "--trials", "1", "--dags", str(dags))
    named = [column for column in LEAKING if f"'{column}'" in done.output]
    print(f"\nleft in, the sentinel (exit {done.code}) names {', '.join(named) or 'nothing'} of {', '.join(LEAKING)}")


if __name__ == "__main__":
    sys.exit(main())
