"""MLflow's aliases follow a switch in the tests' process, which has imported MLflow once; a process takes 3 s for that.

Processes of the product itself have the real follower, and so has a test that uses ``alias_process``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipelines.deployment.follow import AliasFollower
from pipelines.registry.aliases import reconcile

REAL = {name: AliasFollower.__dict__[name] for name in ("__enter__", "__exit__", "go")}


def _enter(follower: AliasFollower) -> AliasFollower:
    return follower


def _exit(_: AliasFollower, *__: object) -> None:
    return None


def _go(follower: AliasFollower, seconds: float = 0.0) -> bool:
    return reconcile(follower.settings, follower.ledger, follower.model)


@pytest.fixture(scope="session", autouse=True)
def aliases_here() -> Iterator[None]:
    """Reconcile the aliases in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name, function in zip(REAL, (_enter, _exit, _go), strict=True):
            patch.setattr(AliasFollower, name, function)
        yield


@pytest.fixture
def alias_process(aliases_here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconcile them in a process of its own, as the product does."""
    for name, function in REAL.items():
        monkeypatch.setattr(AliasFollower, name, function)
