"""One look of the monitor at a million logged predictions of 30 columns: seconds and memory.

    make bench-monitoring
    make bench-monitoring ARGS="--rows 100000"

The log is written as the gateway writes it. The first line is a look as it is scheduled, which compares the newest
20,000 rows and counts requests, errors and times of all; the second one compares every row (``psi_max_rows``). The
third one is Evidently in an environment of its own (``make .bench-evidently/.built``), which gets the same rows as a
table of typed columns, and compares them by the same index.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "helpers"), str(ROOT / "benchmarks")]

from measure import Measured, measure  # noqa: E402 - beside this file

FILE_ROWS = 50_000
TRAINING = 20_000
EVIDENTLY = ROOT / ".bench-evidently" / "bin" / "python"


def main() -> int:
    """Make a home, look at it in processes of their own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=30)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--most", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.home is not None:
        look(given.home, given.most)
        return 0
    with tempfile.TemporaryDirectory(prefix="aimass-bench-") as folder:
        for name, most in (("as scheduled", 20_000), ("every row", given.rows)):
            home = Path(folder) / name.replace(" ", "-")
            make(home, given.rows, given.columns)
            log = Path(folder) / "log"
            done = measure([sys.executable, __file__, "--home", str(home), "--most", str(most)], log=log)
            if done.code:
                raise SystemExit(done.output)
            tell(name, given.rows, done)
        if EVIDENTLY.exists():
            log.unlink()
            files = [Path(folder) / f"{name}.parquet" for name in ("current", "reference")]
            write(files[0], given.rows, given.columns)
            pq.write_table(pa.Table.from_pandas(table(0, TRAINING, given.columns)), files[1])
            command = [EVIDENTLY, ROOT / "benchmarks" / "monitoring_evidently.py", *files, Path(folder) / "out.json"]
            environment = {**os.environ, "DO_NOT_TRACK": "1", "PYTHONPATH": ""}
            done = measure([*map(str, command)], env=environment, log=log)
            if done.code:
                raise SystemExit(done.output)
            tell("Evidently", given.rows, done)
    return 0


def tell(name: str, rows: int, done: Measured) -> None:
    """Print a line of the table."""
    found = done.output.splitlines()[-1]
    print(f"{name:14} {rows:>9,} rows  {done.seconds:6.1f} s  {done.peak / 1e6:6.0f} MB  {found}", flush=True)


def parts(rows: int) -> list[tuple[int, int]]:
    """Return the first row and the number of rows of each file of the log."""
    return [(first, min(FILE_ROWS, rows - first)) for first in range(0, rows, FILE_ROWS)]


def write(path: Path, rows: int, columns: int) -> None:
    """Write the rows of the log as one table."""
    writer = None
    for first, size in parts(rows):
        part = pa.Table.from_pandas(table(first + 1, size, columns))
        writer = writer or pq.ParquetWriter(path, part.schema)
        writer.write_table(part)
    assert writer is not None
    writer.close()


def make(home: Path, rows: int, columns: int) -> None:
    """Write a home with a live model and the log of a day."""
    from monitored import Monitored

    from pipelines.artifacts import Night
    from pipelines.settings import Settings
    from pipelines.spec import ModelSpec

    def night(name: str) -> Night:
        spec = ModelSpec(name=name, task="binary", target="label", positive="yes")
        return Night(model=spec, night="manual__1", as_of=datetime(2026, 1, 1, tzinfo=UTC), fence=1)

    settings = Settings(home=home, dags_folder=home / "dags").ensure()
    model = Monitored(settings, night, table(0, TRAINING, columns))
    end = datetime.now(UTC)
    for first, size in parts(rows):
        part = table(first + 1, size, columns)
        model.ask(part, end - timedelta(hours=23) * (1 - first / rows))


def table(seed: int, rows: int, columns: int) -> pd.DataFrame:
    """Make numbers, whole numbers, few and many categories."""
    random = np.random.default_rng(seed)
    made: dict[str, Any] = {"score": random.normal(size=rows)}
    for number in range(columns - 1):
        kind = number % 4
        if kind == 0:
            made[f"n{number}"] = random.lognormal(3, 1, size=rows).round(4)
        elif kind == 1:
            made[f"i{number}"] = random.poisson(4, size=rows)
        elif kind == 2:
            made[f"few{number}"] = random.choice(["basic", "plus", "pro"], size=rows)
        else:
            made[f"many{number}"] = "c" + pd.Series(random.geometric(0.05, size=rows)).astype(str)
    return pd.DataFrame(made)


def look(home: Path, most: int) -> None:
    """Take one look and print what the drift check found."""
    from pipelines.monitoring.spec import MonitorSpec
    from pipelines.monitoring.stage import monitor
    from pipelines.settings import Settings

    settings = Settings(home=home, dags_folder=home / "dags")
    findings = monitor(settings, spec=MonitorSpec(psi_max_rows=most), probe=lambda _address: "")
    print(json.dumps(next(each.message for each in findings if each.kind == "drift")))


if __name__ == "__main__":
    sys.exit(main())
