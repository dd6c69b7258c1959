"""Drift of a table by Evidently, in its own environment: needs pandas and Evidently, nothing of this project.

.bench-evidently/bin/python benchmarks/monitoring_evidently.py CURRENT.parquet REFERENCE.parquet OUT.json
"""

from __future__ import annotations

import sys

import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset


def main() -> int:
    """Compare every column by its population stability index, as ours does."""
    current, reference, out = sys.argv[1:]
    snapshot = Report([DataDriftPreset(method="psi")]).run(pd.read_parquet(current), pd.read_parquet(reference))
    snapshot.save_json(out)
    counted = snapshot.dict()["metrics"][0]["value"]
    print(f"{counted['count']:.0f} of the columns drifted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
