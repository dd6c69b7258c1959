"""What the steps of a release share: which version it is, whether it is overtaken, and the way back if one fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from pipelines.artifacts import Artifact, Night
from pipelines.deployment.canary import PausedError
from pipelines.deployment.service import released_service
from pipelines.deployment.spec import DeploySpec
from pipelines.errors import AimassError, DeployError
from pipelines.gateway.private import private_gateway
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger import Ledger, SupersededError
from pipelines.ledger.rollouts import EndedError
from pipelines.ledger.rows import VersionRow
from pipelines.secret_files import public_key
from pipelines.settings import Settings
from pipelines.storage import resolve

ALERT, PAUSED = "deploy", "canary-paused"
"""Keys of the alerts of a release that failed, and of one that waits for a person."""


@dataclass(frozen=True)
class Candidate:
    """The version that a night releases.

    Parameters
    ----------
    row
        It, as the ledger has it.
    previous
        Version that is live; None: none is.
    settled
        Why there is nothing to be done: it is live already, or a later night is; empty otherwise.
    """

    row: VersionRow
    previous: int | None
    settled: str

    @property
    def version(self) -> int:
        """Its number."""
        return self.row.version


def candidate(ledger: Ledger, night: Night, register: Artifact) -> Candidate:
    """Return the version that a night releases.

    A night older than what is live releases nothing: a backfill never moves what is live.

    Raises
    ------
    DeployError
        The ledger does not know it.
    """
    model, version = night.model.name, int(register.ref.meta["version"])
    live = ledger.champion(model)
    row = ledger.version(model, version)
    if row is None:
        raise DeployError("no such version", where=model, seen=version, expected="a registered version")
    previous = None if live is None else live.version
    return Candidate(row, previous, "already live" if previous == version else overtaken(night, live))


def overtaken(night: Night, live: VersionRow | None) -> str:
    """Tell which later night is live, if one is."""
    if live is None or live.as_of is None or live.as_of <= night.as_of:
        return ""
    return f"version {live.version} of the later night {live.as_of.isoformat()} is live"


@contextmanager
def asking(
    spec: DeploySpec, night: Night, settings: Settings, ledger: Ledger, released: Candidate
) -> Iterator[tuple[httpx.Client, ModelDirectory]]:
    """Yield a client of a gateway of its own for the candidate's service, and the model directory that it serves.

    If the block fails, the candidate is withdrawn.
    """
    with withdrawn_on_failure(ledger, night, released.version):
        opened = ModelDirectory.open(resolve(settings, released.row.model_uri), public_key(settings))
        with (
            released_service(settings, ledger, night, released.version, spec) as address,
            private_gateway(settings, night.model.name, released.version, address) as client,
        ):
            yield client, opened


@contextmanager
def withdrawn_on_failure(ledger: Ledger, night: Night, version: int) -> Iterator[None]:
    """Leave everything as it was if the block fails: the candidate's service stops, an alert is open.

    A newer attempt of the night decides about the service itself. A canary that is paused, or a release that a person
    ended, is no failure.
    """
    try:
        yield
    except (SupersededError, PausedError, EndedError):
        raise
    except Exception as error:
        seen = f"{error.what}; {error.seen}" if isinstance(error, AimassError) else f"{type(error).__name__}: {error}"
        if night.platform:
            ledger.want(night.model.name, version, "stop")
        message = f"version {version} was not deployed: {seen}"[:500]
        ledger.alert(night.model.name, "deploy_failed", message, ALERT)
        raise
