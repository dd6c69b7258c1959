"""Lets MLflow's aliases follow a switch, without letting MLflow into the deployment."""

from __future__ import annotations

import os
import subprocess
import sys

from pipelines.ledger import Ledger
from pipelines.settings import Settings

SECONDS = 60
ALERT = "mlflow-aliases"


def reconcile_aliases(settings: Settings, ledger: Ledger, model: str) -> bool:
    """Run the registry's own command for it; tell whether it worked.

    A command of another room, not its code: MLflow stays out of this process, and one that hangs is stopped. A failure
    is a warning and an alert in the ledger, never a failed deployment; the next switch or night tries again.
    """
    values = settings.model_dump(exclude_none=True)
    environment = {**os.environ, **{f"AIMASS_{name.upper()}": str(value) for name, value in values.items()}}
    command = [sys.executable, "-m", "pipelines.registry.aliases", model]
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        text = f"MLflow aliases of {model} are out of date: no answer within {SECONDS} s"
        print(f"warning: {text}", file=sys.stderr, flush=True)
        ledger.alert(model, ALERT, text, ALERT)
        return False
    return done.returncode == 0
