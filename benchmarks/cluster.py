"""What it costs to work beyond one machine, each beside the same on one machine in the same run.

make bench-cluster
python benchmarks/cluster.py --only storage --rows 2000000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from cluster_search import search_table
from cluster_storage import storage_table

TABLES: dict[str, Callable[[Path, int], Iterator[str]]] = {"storage": storage_table, "search": search_table}
"""Name of a table → what yields its lines, given a folder for its files and a number of rows."""


def main() -> int:
    """Run the tables that are asked for and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=TABLES, action="append", help="a table; default: all")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--work", type=Path, help="folder for tables and results (default: a temporary one)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aimass-bench-", dir=given.work) as folder:
        for name in given.only or TABLES:
            for line in TABLES[name](Path(folder), given.rows):
                print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
