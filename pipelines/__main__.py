"""``python -m pipelines STAGE REQUEST.json``: one stage, tried by hand or started by Airflow.

Leaves ``result.json`` or ``error.json`` beside the request. Exit code 0 done, 20 SpecError, 21 DataError, 22 GateError,
23 DeployError, 24 BackupError, 1 anything else, which a retry may cure.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
import traceback
from pathlib import Path

from pydantic import ValidationError

from pipelines.artifacts import Request, write_atomic
from pipelines.errors import AimassError, SpecError
from pipelines.parent_watch import end_with_children, watch_parent

USAGE = """usage: python -m pipelines STAGE REQUEST.json
example: python -m pipelines sample .aimass/calls/loans/NIGHT/sample-1/request.json"""
TRANSIENT = 1


def read_request(stage: str, path: Path) -> Request:
    """Read and check a request file.

    Raises
    ------
    SpecError
        If it cannot be read, does not fit the contract, or is for another stage.
    """
    try:
        request = Request.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise SpecError(
            "the request cannot be read",
            where=str(path),
            seen=str(error).splitlines()[0],
            expected="the JSON of pipelines.artifacts.Request",
            cure="give the path of a request.json that the operator wrote",
        ) from None
    if request.stage != stage:
        raise SpecError("the request is for another stage", where=str(path), seen=request.stage, expected=stage)
    return request


def main(arguments: list[str]) -> int:
    """Run one stage; give the exit code."""
    if len(arguments) != 2 or arguments[0] in ("-h", "--help"):
        print(USAGE, file=sys.stderr)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else SpecError.exit_code
    gc.set_threshold(100_000, 50, 100)  # imports make many objects that stay; looking for cycles among them costs
    watch_parent()
    signal.signal(signal.SIGTERM, lambda *_: end_with_children())
    stage, path = arguments[0], Path(arguments[1])
    request: Request | None = None
    for stale in ("result.json", "error.json"):
        (path.parent / stale).unlink(missing_ok=True)
    try:
        from pipelines import settings as settings_module
        from pipelines.clusters import prepare_environment

        prepare_environment()
        request = read_request(stage, path)
        settings = settings_module.load().ensure()
        from pipelines.runner import run_stage

        result = run_stage(request, settings)
    except AimassError as error:
        print(f"{error.kind}: {error}", file=sys.stderr, flush=True)
        return _fail(path, request, error.to_dict(), error.exit_code)
    except Exception as error:  # noqa: BLE001 - the border of the process: everything else is transient and is retried
        traceback.print_exc()
        what = f"{type(error).__name__}: {error}"
        return _fail(path, request, {"kind": "transient", "what": what, "where": stage}, TRANSIENT)
    write_atomic(path.parent / "result.json", result.model_dump_json(indent=1))
    return 0


def _fail(path: Path, request: Request | None, error: dict[str, object], code: int) -> int:
    if path.parent.is_dir():
        write_atomic(path.parent / "error.json", json.dumps(error, indent=1))
    if request is not None:
        from pipelines import settings as settings_module
        from pipelines.ledger import Ledger, SupersededError

        night = request.night
        settings = settings_module.load()
        where = (night.model.name, night.night, request.stage, night.fence)
        try:
            with Ledger.open(settings) as ledger:
                ledger.finish_stage(*where, state="failed", error=error)
        except SupersededError as late:
            print(late, file=sys.stderr)
            return code
        if code != TRANSIENT:
            from pipelines.runner import show_night

            show_night(request, settings)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
