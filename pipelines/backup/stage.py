"""``python -m pipelines.backup.stage [SPEC_JSON]``: what the backup DAG starts. Exit 0 done, 24 BackupError."""

from __future__ import annotations

import json
import sys

from pipelines import settings as configuration
from pipelines.backup.backup import BackupReport, backup
from pipelines.backup.spec import BackupSpec
from pipelines.errors import AimassError
from pipelines.settings import Settings

SPEC = BackupSpec


def run(spec: BackupSpec, *, settings: Settings) -> BackupReport:
    """Take one verified backup; it belongs to no model and no night."""
    return backup(settings, spec)


def main(arguments: list[str]) -> int:
    """Run with the spec that the DAG file declares, as JSON; give the exit code."""
    try:
        spec = BackupSpec(**json.loads(arguments[0] if arguments else "{}"))
        report = run(spec, settings=configuration.load())
    except AimassError as error:
        print(f"{error.kind}: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    print(report.model_dump_json(), file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
