"""One night without the platform (`--local`): the DAG file in a child process with an Airflow database of its own.

Ledger and storage are the shared ones. The private database is a copy of a migrated template and is removed after the
night, so that a running scheduler never sees the run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pipelines.errors import AimassError, SpecError, from_dict
from pipelines.full_disk import disk_full, is_scarce
from pipelines.ledger import Ledger
from pipelines.local.airflow_config import MARK, airflow_environment
from pipelines.local.progress import LedgerProgress, Transition
from pipelines.local.templates import copy_template, template
from pipelines.parent_watch import PIPE
from pipelines.settings import Settings

POLL_SECONDS = 0.3


@dataclass(frozen=True)
class LocalNight:
    """The end of a night that ran in process."""

    model: str
    night: str


def run_in_process(
    settings: Settings,
    dag_file: Path,
    at: datetime | None = None,
    params: Mapping[str, Any] | None = None,
    *,
    run_after: datetime | None = None,
    log: IO[bytes] | None = None,
    tell: Callable[[Transition], None] | None = None,
) -> LocalNight:
    """Run one DAG file to its end; everything it prints goes to ``log`` (default: stderr).

    Parameters
    ----------
    at
        The night's date; default: now.
    params
        Airflow Params of the run, ``{"tune__trials": 8}``.
    run_after
        Decides the run id: the same moment twice is the same night, taken up again; default: now.
    log
        Open binary file for the log.
    tell
        Called with each change of a stage.

    Raises
    ------
    AimassError
        The typed error of the stage that failed.
    """
    if not dag_file.is_file():
        raise SpecError("no such DAG file", where=str(dag_file), cure="write one: aimass init NAME …")
    settings.ensure()
    moment = (run_after or datetime.now(UTC)).astimezone(UTC)
    kept = template("airflow")
    database = kept if kept.is_file() else settings.airflow_home / kept.name
    home = Path(tempfile.mkdtemp(prefix="local-", dir=settings.run_dir))
    environment = airflow_environment(settings, home=home, dags=dag_file.resolve())
    environment.pop(MARK, None)
    environment["AIMASS_DAGS_FOLDER"] = str(dag_file.resolve().parent)  # the suites lie beside it
    result = home / "result.json"
    command = [
        sys.executable,
        "-P",
        "-m",
        "aimass_airflow.inprocess",
        str(dag_file.resolve()),
        "--template",
        str(database),
        "--result",
        str(result),
        "--conf",
        json.dumps(dict(params or {})),
        *(["--at", at.isoformat()] if at else []),
        "--run-after",
        moment.isoformat(),
    ]
    registry = _prepare_registry(settings)
    try:
        with _reporting(settings, dag_file, moment, tell) as report:
            code = _run(command, environment, log, report)
        if not result.exists():
            if is_scarce(home):
                raise disk_full(home)
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise AimassError("the night ended without a result", where=str(dag_file), seen=how, cure="read its log")
        facts = json.loads(result.read_text())
    finally:
        if registry is not None:
            registry.wait()
        shutil.rmtree(home, ignore_errors=True)
    if facts.get("error"):
        raise from_dict(facts["error"])
    return LocalNight(facts["model"], facts["night"])


def _prepare_registry(settings: Settings) -> subprocess.Popen[bytes] | None:
    """Start creating MLflow's database while the first stages run, if there is none yet."""
    if settings.mlflow_address is not None:  # whoever serves it has prepared it
        return None
    if settings.mlflow_database is None and copy_template("mlflow", settings.mlflow_dir / "mlflow.db"):
        return None
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "pipelines.local.mlflow_store"],
        env={**os.environ, "AIMASS_HOME": str(settings.home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@contextmanager
def _reporting(
    settings: Settings, dag_file: Path, moment: datetime, tell: Callable[[Transition], None] | None
) -> Iterator[Callable[[], None]]:
    """Yield the function that reports what changed in the ledger since its last call."""
    if tell is None:
        yield lambda: None
        return
    with Ledger.open(settings) as ledger:
        progress = LedgerProgress(ledger, dag_file.stem.removeprefix("retrain_"), night_of(moment))

        def report() -> None:
            for change in progress.changes():
                tell(change)

        yield report


def night_of(moment: datetime) -> str:
    """Return the run id that Airflow generates for a manual run."""
    return f"manual__{moment.isoformat()}"


def _run(command: list[str], environment: Mapping[str, str], log: IO[bytes] | None, report: Callable[[], None]) -> int:
    """Run the child; a signal to this process, or its sudden death, first ends the child and its stages."""
    output = log or sys.stderr
    read_end, write_end = os.pipe()  # closed with this process, however that ends
    try:
        child = subprocess.Popen(
            command,
            env={**environment, PIPE: str(read_end)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            umask=0o077,
            pass_fds=(read_end,),
        )
    except BaseException:
        os.close(write_end)
        raise
    finally:
        os.close(read_end)
    try:
        while True:
            try:
                code = child.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                report()
                continue
            report()
            return code
    except BaseException:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        raise
    finally:
        os.close(write_end)
