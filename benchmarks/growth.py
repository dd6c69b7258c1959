"""The data stages on tables of growing size, and what they would take on a larger one; one table.

    python benchmarks/growth.py                                    # 1 M, 10 M and 100 M rows × 20 columns, and 1 B
    python benchmarks/growth.py --rows 1000000 --target 100000000

The table and the specs are those of ``data_path.py``: a stratified 10 % sample is cleaned and turned into features.
Each stage is a process of its own. What lies beyond the largest size comes from ``pipelines.planning.growth``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_path import CHAIN, chain
from job_table import job_table

Figures = Mapping[int, Mapping[str, Mapping[str, float]]]
"""Rows → stage → seconds and peak memory in bytes."""


def main() -> int:
    """Measure each size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000, 100_000_000])
    parser.add_argument("--target", type=int, default=1_000_000_000, help="rows to extrapolate to; 0: none")
    parser.add_argument("--work", type=Path, help="folder for tables and results (default: a temporary one)")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="also write the figures, as JSON")
    given = parser.parse_args()
    work = given.work or Path(tempfile.mkdtemp(prefix="aimass-bench-"))
    figures: dict[int, dict[str, dict[str, float]]] = {}
    try:
        for rows in given.rows:
            table = job_table(work / f"job-{rows}.parquet", rows)
            home = work / f"home-{rows}"
            measured = chain(table, home)
            figures[rows] = {name: {"seconds": each.seconds, "peak": each.peak} for name, each in measured.items()}
            print(f"{rows:,} rows: {json.dumps(figures[rows])}", flush=True)
            shutil.rmtree(home, ignore_errors=True)
            table.unlink()
            if given.keep:
                given.keep.write_text(json.dumps(figures, indent=1))
    finally:
        if given.work is None:
            shutil.rmtree(work, ignore_errors=True)
    for line in report(figures, given.target):
        print(line)
    return 0


def report(figures: Figures, target: int) -> Sequence[str]:
    """Return the lines of the table."""
    return [f"{stage} {[figures[rows][stage] for rows in figures]}" for stage in CHAIN]


if __name__ == "__main__":
    raise SystemExit(main())
