"""The fixed cost of a night: 8 trials on 10,000 rows of adult, `aimass run --local`, stage by stage.

    make bench-night-cost
    make bench-night-cost ARGS="--before ../older/.venv/bin/aimass --nights 3"

Each night is the first one of a fresh home, so that nothing is re-used. ``wall`` is the clock from the moment that
Airflow begins an attempt until the ledger has its result: start of the process, imports and work. The builds take
turns. What counts is the sum of all stages but the search.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

DATA = Path(__file__).parents[2] / "shared" / "data" / "adult" / "adult-train.csv.gz"
COLUMNS = (
    "age,workclass,fnlwgt,education,education_num,marital_status,occupation,relationship,race,sex,capital_gain,"
    "capital_loss,hours_per_week,native_country,income"
)
ROWS, TRIALS, TARGET = 10_000, 8, 0.6


def main() -> int:
    """Run the nights and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="the command aimass of an older build, to be compared with")
    parser.add_argument("--nights", type=int, default=2, help="nights of each build; the median counts")
    given = parser.parse_args()
    if not DATA.is_file():
        raise SystemExit("the data set adult is not beside this checkout")
    builds = {"now": Path(sys.executable).with_name("aimass")}
    if given.before:
        builds = {"before": given.before.absolute(), **builds}
    spent: dict[str, list[dict[str, float]]] = {name: [] for name in builds}
    verdicts = set()
    with tempfile.TemporaryDirectory(prefix="aimass-bench-") as folder:
        table = Path(folder) / "adult.csv"
        with gzip.open(DATA, "rt") as source:
            table.write_text("".join([COLUMNS + "\n", *(line for _, line in zip(range(ROWS), source, strict=False))]))
        for turn in range(given.nights):
            for name, aimass in builds.items():
                seconds, score = night(aimass, table, Path(folder) / f"{name}-{turn}")
                spent[name].append(seconds)
                verdicts.add(f"score {score}")
    stages = list(spent["now"][0])
    median = {
        name: {stage: statistics.median(one[stage] for one in nights) for stage in stages}
        for name, nights in spent.items()
    }
    print(f"{ROWS:,} rows of adult, {TRIALS} trials, median of {given.nights} nights; {', '.join(sorted(verdicts))}\n")
    print(f"{'wall s':<12}" + "".join(f"{name:>9}" for name in builds))
    for stage in stages:
        print(f"{stage:<12}" + "".join(f"{median[name][stage]:>9.2f}" for name in builds))
    totals = {name: sum(value for stage, value in one.items() if stage != "tune") for name, one in median.items()}
    print(f"{'but tune':<12}" + "".join(f"{totals[name]:>9.2f}" for name in builds))
    if given.before:
        print(f"now / before: {totals['now'] / totals['before']:.2f} (target {TARGET})")
    return 0


def night(aimass: Path, table: Path, work: Path) -> tuple[dict[str, float], float]:
    """Run one night in a fresh home; return the seconds of each stage, and the score."""
    work.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIMASS_")}
    environment["AIMASS_HOME"] = str(work / "home")

    def call(*arguments: str) -> str:
        command = [str(aimass), *arguments]
        return subprocess.run(command, cwd=work, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout

    call("init", "adult", "--source", str(table), "--target", "income", "--positive", ">50K")
    call("run", "adult", "--local", "--trials", str(TRIALS))
    score = float(json.loads(call("show", "adult", "--json"))["sealed_score"])
    with sqlite3.connect(work / "home" / "ledger.db") as ledger:
        rows = ledger.execute("SELECT stage, started_at, finished_at FROM stages ORDER BY started_at").fetchall()
    shutil.rmtree(work)
    moments = [(stage, *(datetime.fromisoformat(text) for text in texts)) for stage, *texts in rows]
    return {stage: (end - start).total_seconds() for stage, start, end in moments}, score


if __name__ == "__main__":
    sys.exit(main())
