"""What operations cost, beside programs that do only that.

make bench-operations
make bench-operations ARGS="--megabytes 200"
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from operations_backup import compare


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1_000, help="size of the home that is backed up")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aimass-bench-") as folder:
        for line in compare(Path(folder), given.megabytes):
            print(line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
