"""``python -m pipelines STAGE REQUEST.json``: one stage or operation, tried by hand or started by Airflow.

An operation may be run without a request, with the settings it has by default: monitor, backup, restore_drill and
housekeeping, for those of a batch must be given.
Leaves ``result.json`` or ``error.json`` beside the request. Exit code 0 done, 20 SpecError, 21 DataError, 22 GateError,
23 DeployError, 24 BackupError, 1 anything else, which a retry may cure.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from pipelines import stages
from pipelines.artifacts import Call, Request, Result, write_atomic
from pipelines.errors import AimassError, SpecError
from pipelines.logs import configure, name_origin
from pipelines.parent_watch import end_with_children, watch_parent
from pipelines.stages import Stage
from pipelines.tracing import stage_span

if TYPE_CHECKING:
    from pipelines.process_usage import Meter

USAGE = """usage: python -m pipelines STAGE REQUEST.json
       python -m pipelines OPERATION
example: python -m pipelines sample .aimass/calls/loans/NIGHT/sample-1/request.json
         python -m pipelines housekeeping"""
TRANSIENT = 1
RARELY = (100_000, 50, 100)
"""Thresholds of the garbage collector: imports make many lasting objects, so it searches for cycles rarely."""
WAIT = "-"
"""Instead of a request: import what the stage needs and wait for the request."""


log = logging.getLogger(__name__)


def read_request(stage: Stage, path: Path | None) -> Call | Request:
    """Read and check a request file; without one, return that of an operation by default.

    Raises
    ------
    SpecError
        If it cannot be read, does not fit the contract, or is for another stage.
    """
    if path is None:
        return Call(stage=stage.name, spec=stage.spec_class()().model_dump(mode="json"))
    kind = Request if stage.of_night else Call
    try:
        request = kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise SpecError(
            "the request cannot be read",
            where=str(path),
            seen=str(error).splitlines()[0],
            expected=f"the JSON of pipelines.artifacts.{kind.__name__}",
            cure="give the path of a request.json that the operator wrote",
        ) from None
    if request.stage != stage.name:
        raise SpecError("the request is for another stage", where=str(path), seen=request.stage, expected=stage.name)
    return request


def main(arguments: list[str], alone: bool = False) -> int:
    """Run one stage or operation; return the exit code.

    Parameters
    ----------
    alone
        Whether this process is for it alone: what it took before now is counted, too.
    """
    if arguments[:1] in (["-h"], ["--help"]):
        print(USAGE, file=sys.stderr)
        return 0
    if arguments[1:] == [WAIT]:
        return _wait(arguments[0])
    operation = arguments[0] if len(arguments) == 1 else ""
    if len(arguments) != 2 and operation not in [each.name for each in stages.OPERATIONS]:
        print(USAGE, file=sys.stderr)
        return SpecError.exit_code
    gc.set_threshold(*RARELY)
    watch_parent()
    signal.signal(signal.SIGTERM, lambda *_: end_with_children())
    path = Path(arguments[1]) if len(arguments) == 2 else None
    for stale in ("result.json", "error.json"):
        if path is not None:
            (path.parent / stale).unlink(missing_ok=True)
    from pipelines.clusters import visible_gpus
    from pipelines.process_usage import measured

    with measured(from_birth=alone, gpus=visible_gpus()) as meter:
        return _run(arguments[0], path, meter)


def _run(stage: str, path: Path | None, meter: Meter) -> int:
    request: Call | None = None
    started = time.monotonic()
    try:
        from pipelines import settings as settings_module
        from pipelines.clusters import prepare_environment

        name_origin(stage)
        prepare_environment()
        request = read_request(stages.get(stage), path)
        settings = settings_module.load().ensure()
        if isinstance(request, Request):
            name_origin(request.stage, request.night.model.name, request.night.night)
        from pipelines.full_disk import disk_errors
        from pipelines.runner import run_operation, run_stage

        with disk_errors(settings.home):
            if isinstance(request, Request):
                with stage_span(stage, request.night.model.name, request.night.night, attempt=request.night.attempt):
                    done: Result = run_stage(request, settings, meter)
            else:
                done = run_operation(request, settings, meter)
            if path is not None:
                write_atomic(path.parent / "result.json", done.model_dump_json(indent=1))
    except AimassError as error:
        log.error("%s: %s", error.kind, error)
        facts, code = error.to_dict(), error.exit_code
    except Exception as error:
        log.exception("a failure that another attempt may cure")
        facts = {"kind": "transient", "what": f"{type(error).__name__}: {error}", "where": stage}
        code = TRANSIENT
    else:
        return 0
    return _fail(path, request, facts, code, meter, time.monotonic() - started)


def _wait(stage: str) -> int:
    """Import what a stage needs, then run the request that a line on stdin names; without one, end."""
    gc.set_threshold(*RARELY)
    name_origin(stage)
    watch_parent()
    from pipelines.clusters import prepare_environment

    prepare_environment()
    with suppress(Exception):  # what cannot be imported is told when it is needed
        known = stages.get(stage)
        known.load()
        import_module("pipelines.runner")
        for name in known.ahead:
            import_module(name)
    line = sys.stdin.readline()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if not line:
        return 0
    order = json.loads(line)
    os.environ.update(order["environment"])
    return main([stage, order["request"]], alone=True)


def _fail(
    path: Path | None, request: Call | None, error: dict[str, object], code: int, meter: Meter, seconds: float
) -> int:
    """Leave the error and record it; on a full disk as much of that as there is room for."""
    from pipelines.full_disk import is_disk_full

    try:
        return _record(path, request, error, code, meter, seconds)
    except Exception as second:
        if not is_disk_full(second, *([path] if path is not None else [])):
            raise
        log.warning("the disk is full: the error is not recorded")  # whoever called sees that for himself
        return code


def _record(
    path: Path | None, request: Call | None, error: dict[str, object], code: int, meter: Meter, seconds: float
) -> int:
    if path is not None and path.parent.is_dir():
        write_atomic(path.parent / "error.json", json.dumps(error, indent=1))
    if request is None:
        return code
    from pipelines import settings as settings_module
    from pipelines.ledger import Ledger, SupersededError
    from pipelines.runner import keep_usage

    if not isinstance(request, Request):
        with suppress(Exception), Ledger.open(settings_module.load()) as ledger:  # why it failed is told already
            keep_usage(ledger, request, meter, "failed", seconds)
        return code
    night = request.night
    settings = settings_module.load()
    try:
        with Ledger.open(settings) as ledger:
            keep_usage(ledger, request, meter, "failed", seconds)
            where = (night.model.name, night.night, request.stage, night.fence)
            ledger.finish_stage(*where, state="failed", error=error)
    except SupersededError as late:
        log.warning("%s", late)
        return code
    if code != TRANSIENT:
        from pipelines.runner import show_night

        show_night(request, settings)
    return code


if __name__ == "__main__":
    configure()
    sys.exit(main(sys.argv[1:], alone=True))
