"""Lets MLflow's aliases follow a switch, without letting MLflow into the deployment."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from types import TracebackType
from typing import Self

import httpx

from pipelines.child_environment import as_environment
from pipelines.ledger import Ledger
from pipelines.settings import Settings
from pipelines.waiting import wait_until

log = logging.getLogger(__name__)

SECONDS = 60
FOLLOW_SECONDS = 5.0
"""A gateway reads the routes twice a second."""
ALERT = "mlflow-aliases"


def gateway_follows(settings: Settings, model: str, version: int) -> bool:
    """Wait until the gateway of this machine sends callers to a version; tell whether it does.

    From then on no response is from the version before. A gateway that is away will read the new route when it starts.
    """

    def follows() -> bool | None:
        try:
            reply = httpx.get(f"{settings.gateway_url}/readyz/{model}", timeout=1.0, trust_env=False)
            return reply.json()["models"][model]["live_version"] == version or None
        except httpx.TransportError:
            return False
        except (ValueError, KeyError):
            return None

    return bool(wait_until(follows, seconds=FOLLOW_SECONDS, every=0.05))


class AliasFollower:
    """The registry's own command for it, started early so that its imports pass while the bento starts.

    A command of another room, not its code: MLflow stays out of this process, and one that hangs is stopped. Left
    without ``go`` it ends without doing anything.
    """

    def __init__(self, settings: Settings, ledger: Ledger, model: str) -> None:
        self.settings, self.ledger, self.model = settings, ledger, model

    def __enter__(self) -> Self:
        environment = {**os.environ, **as_environment(self.settings)}
        command = [sys.executable, "-P", "-m", "pipelines.registry.aliases", self.model]
        self._child = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.communicate()

    def go(self, seconds: float = SECONDS) -> bool:
        """Reconcile now, waiting at most ``seconds``; tell whether it worked.

        A failure is a warning and an alert in the ledger, never a failed deployment; the next switch or night tries
        again.
        """
        try:
            self._child.communicate("go\n", timeout=seconds)
        except subprocess.TimeoutExpired:
            text = f"MLflow aliases of {self.model} are out of date: no response within {seconds:g} s"
            log.warning(text)
            self.ledger.alert(self.model, ALERT, text, ALERT)
            return False
        return self._child.returncode == 0
