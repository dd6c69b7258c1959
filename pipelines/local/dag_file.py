"""What a DAG file says, asked of Airflow in a child process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines import stages
from pipelines.errors import AimassError, from_dict
from pipelines.local.airflow_config import airflow_environment
from pipelines.pods import Pod
from pipelines.settings import Settings
from pipelines.spec import ModelSpec, Spec, spec_error

SECONDS = 120


def ask(settings: Settings, dag_file: Path, module: str, words: Sequence[str], unread: str) -> dict[str, Any]:
    """Run ``python -m MODULE DAGFILE WORDS… RESULT`` and return what it wrote.

    Parameters
    ----------
    unread
        What is said where it wrote nothing.

    Raises
    ------
    AimassError
        The DAG file cannot be imported, or the module's own error.
    """
    home = Path(tempfile.mkdtemp(prefix="dag-", dir=settings.run_dir))
    environment = airflow_environment(settings, home=home, dags=dag_file.resolve())
    environment["AIMASS_DAGS_FOLDER"] = str(dag_file.resolve().parent)
    result = home / "result.json"
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", module, str(dag_file.resolve()), *words, str(result)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if not result.exists():
            raise AimassError(unread, where=str(dag_file), seen=done.stderr.strip()[-500:] or done.returncode)
        facts: dict[str, Any] = json.loads(result.read_text())
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if facts.get("error"):
        raise from_dict(facts["error"])
    return facts


@dataclass(frozen=True)
class Declared:
    """One stage of a DAG file: its spec in force, input → the stage that makes it, Airflow's pool, queue and pod."""

    spec: Spec
    inputs: Mapping[str, str]
    pool: str
    queue: str
    pod: Pod | None = None


@dataclass(frozen=True)
class Chain:
    """A DAG file's model and its stages, in their order."""

    model: ModelSpec
    stages: Mapping[str, Declared]


def chain_of(settings: Settings, dag_file: Path, params: Mapping[str, Any]) -> Chain:
    """Return the model and the stages of a DAG file, with a night's Params laid over their specs.

    Raises
    ------
    AimassError
        The DAG file cannot be imported, or the Params are wrong.
    """
    words = [json.dumps(dict(params))]
    return as_chain(ask(settings, dag_file, "aimass_airflow.specs", words, "the specs cannot be read"))


def as_chain(facts: Mapping[str, Any]) -> Chain:
    """Return what ``aimass_airflow.specs`` writes as objects."""
    try:
        model = ModelSpec(**facts["model"])
        found = {
            name: Declared(
                stages.get(name).spec_class()(**each["spec"]),
                each["inputs"],
                each["pool"],
                each["queue"],
                Pod(**each["pod"]) if each["pod"] else None,
            )
            for name, each in facts["stages"].items()
        }
    except ValidationError as error:
        raise spec_error("the DAG file", error) from None
    return Chain(model, found)
