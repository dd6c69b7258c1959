"""Base of our operators: one call of ``python -m pipelines``, its log, its result or its typed error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from airflow.sdk import BaseOperator

from aimass_airflow.ahead import Ahead
from aimass_airflow.connections import connections_of
from aimass_airflow.pods import executor_config
from aimass_airflow.stage_process import StageProcess
from pipelines.artifacts import Call, write_atomic
from pipelines.errors import BY_KIND, from_dict
from pipelines.full_disk import disk_full, is_scarce
from pipelines.logs import read_line
from pipelines.pods import Pod
from pipelines.process_usage import ProcessUsage
from pipelines.spec import Spec


class TransientStageError(RuntimeError):
    """A stage failed for a reason that a retry may cure."""


class CallOperator(BaseOperator):
    """Runs ``python -m pipelines STAGE REQUEST.json`` as a subprocess."""

    ahead: ClassVar[Ahead | None] = None
    """Processes that were started before their turn, where one process runs a whole night."""
    _process: StageProcess | None = None
    took: ProcessUsage | None = None
    """What the last process took, as far as it could be seen from here."""
    executor_config: dict[str, Any] | None

    def run_in_pod(self, stage: str, asked: Pod | None) -> None:
        """Ask for the stage's resources where Airflow runs tasks in pods; what the DAG file itself configures stays."""
        self.pod = asked
        if not self.executor_config:
            self.executor_config = executor_config(stage, asked)

    def call(self, request: Call, folder: Path, spec: Spec) -> bytes:
        """Run a request to its end; return the JSON of its result.

        Parameters
        ----------
        folder
            Where request, result and error lie.
        spec
            Names the connections that the process may use.

        Raises
        ------
        AimassError
            What the stage left in ``error.json``; a retry cannot cure it.
        TransientStageError
            Anything else.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(folder / "request.json", request.model_dump_json(indent=1))
        self._process = self._begin(request.stage, folder / "request.json", connections_of(spec))
        try:
            code = self._process.follow(self._tell)
        finally:
            self.took = self._process.usage
            self._process.stop()
            self._process = None
        if code == 0:
            return (folder / "result.json").read_bytes()
        raise _error(request.stage, folder, code)

    def _tell(self, line: str) -> None:
        level, text, fields = read_line(line)
        self.log.log(level, "%s", text, **fields)

    def _begin(self, stage: str, request: Path, given: dict[str, str]) -> StageProcess:
        process = None if self.ahead is None else self.ahead.take(stage)
        if process is None:
            return StageProcess(stage, request, given)
        process.begin(request, given)
        return process

    def on_kill(self) -> None:
        """Stop the process with the task."""
        if self._process is not None:
            self._process.stop()


def _error(stage: str, folder: Path, code: int) -> Exception:
    try:
        facts: dict[str, Any] = json.loads((folder / "error.json").read_bytes())
    except (OSError, ValueError):
        if is_scarce(folder):
            return disk_full(folder)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return TransientStageError(f"stage {stage} ended with {how} and left no error; see the lines above")
    kind = facts.get("kind")
    if kind in BY_KIND or kind == "SupersededError":
        return from_dict(facts)
    return TransientStageError(str(from_dict(facts)))
