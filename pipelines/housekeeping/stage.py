"""``python -m pipelines.housekeeping.stage [SPEC_JSON]``: what the housekeeping DAG starts. Exit 0: done."""

from __future__ import annotations

import json
import sys

from pipelines import settings as configuration
from pipelines.errors import AimassError
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.housekeeping.tidy import tidy

SPEC = HousekeepingSpec


def main(arguments: list[str]) -> int:
    """Run with the spec that the DAG file declares, as JSON; give the exit code."""
    try:
        spec = HousekeepingSpec(**json.loads(arguments[0] if arguments else "{}"))
        report = tidy(configuration.load().ensure(), spec)
    except AimassError as error:
        print(f"{error.kind}: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    print(report.model_dump_json(), file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
