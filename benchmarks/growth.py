"""The data stages on tables of growing size, and what they would take on a larger one; one table.

    python benchmarks/growth.py                                    # 1 M, 10 M and 100 M rows × 20 columns, and 1 B
    python benchmarks/growth.py --rows 1000000 --target 100000000

The table and the specs are those of ``data_path.py``: a stratified 10 % sample is cleaned and turned into features.
Each stage is a process of its own. What lies beyond the largest size is computed, see ``report``.
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

from pipelines.planning.curves import SORTS
from pipelines.planning.growth import n_log_n

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
    """Return the lines of a Markdown table: seconds and memory of each stage and size, and of the target.

    Of a stage that takes T(m) and T(n) seconds for the two largest sizes m < n, T(x) = a + b * w(x) with
    b = (T(n) - T(m)) / (w(n) - w(m)) and a = T(n) - b * w(n), where w(x) is x, or x log x for a stage that sorts.
    """
    sizes = sorted(figures)
    ahead = [target] if target and len(sizes) > 1 else []
    heads = [f"{size:,} rows" for size in sizes] + [f"{size:,} rows, extrapolated" for size in ahead]
    lines = [f"| stage | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    sums = [0.0] * len(heads)
    for stage in CHAIN:
        seconds = [figures[size][stage]["seconds"] for size in sizes]
        cells = [
            f"{taken:.1f} s, {figures[size][stage]['peak'] / 1e9:.2f} GB"
            for size, taken in zip(sizes, seconds, strict=True)
        ]
        for size in ahead:
            fixed, slope = line(stage, sizes[-2:], seconds[-2:])
            seconds.append(fixed + slope * weight(stage, size))
            cells.append(f"{seconds[-1]:,.0f} s")
        sums = [total + taken for total, taken in zip(sums, seconds, strict=True)]
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    lines.append(f"| all | {' | '.join(f'{total:,.1f} s' for total in sums)} |")
    rates = [size / total for size, total in zip([*sizes, *ahead], sums, strict=True)]
    lines.append(f"| rows a second | {' | '.join(f'{rate:,.0f}' for rate in rates)} |")
    return lines


def weight(stage: str, rows: float) -> float:
    """Return the work of so many rows."""
    return n_log_n(rows) if stage in SORTS else rows


def line(stage: str, sizes: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """Return the fixed part and the slope through two sizes; neither is negative."""
    (less, more), (before, after) = (weight(stage, size) for size in sizes), seconds
    slope = max((after - before) / (more - less), 0.0)
    return max(after - slope * more, 0.0), slope


if __name__ == "__main__":
    raise SystemExit(main())
