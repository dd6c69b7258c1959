"""Notices an alias that somebody moves by hand in MLflow: ``python -m pipelines.local.alias_watch``.

The ledger says what is live, and MLflow's alias ``champion`` shows it. One that names another version than the one
last projected was moved by a person: it is followed by the same proof as a rollback, or put back.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pipelines.errors import AimassError
from pipelines.ledger import Ledger
from pipelines.registry.aliases import ALERT, CHAMPION, MOVED, PROJECTED_TAG
from pipelines.registry.tracking import DIGEST_TAG, VERSION_TAG, foreign_home, login
from pipelines.secret_files import public_key
from pipelines.settings import Settings, load
from pipelines.storage import resolve

LOOK_SECONDS = 10.0
LAGGING_LOOKS = 3
"""An alias lags behind a switch for a moment; whoever switched brings it up to date. Then it is done here."""
AGAIN_SECONDS = 600.0
"""After a failure to write to MLflow the same sight is left alone for so long."""
ANSWER_SECONDS = 5.0
ACTOR = "mlflow-alias"
DEPLOYABLE = ("registered", "live", "retired")


@dataclass(frozen=True)
class Named:
    """What MLflow's alias names.

    Parameters
    ----------
    number
        MLflow's number of the version; None: there is no alias.
    version, digest
        The ledger's number and the digest of the model directory, as that version's tags have them.
    projected
        The numbers that the ledger gave it last; None: that is not known.
    """

    number: str | None
    version: int | None
    digest: str
    projected: list[str] | None

    @property
    def moved(self) -> bool:
        """Whether it is none that the ledger gave."""
        return self.number is not None and self.projected is not None and self.number not in self.projected


class AliasWatch:
    """Looks at every live model; all lasting state is in the ledger and in MLflow."""

    def __init__(self, settings: Settings, ledger: Ledger, client: httpx.Client) -> None:
        self.settings, self.ledger, self.client = settings, ledger, client
        self._lagging: dict[str, int] = {}
        self._failed: dict[str, tuple[object, float]] = {}

    def look(self) -> None:
        """Look once; while MLflow does not respond there is nothing to see."""
        if foreign_home(self.settings):  # its server is neither asked nor told the login
            return
        for model in sorted(self.ledger.routes()):
            try:
                self._look_at(model)
            except httpx.HTTPError:
                return

    def _look_at(self, model: str) -> None:
        named = self._named(model)
        live = self.ledger.route(model)
        seen, until = self._failed.get(model, (None, 0.0))
        if seen == (named, live) and time.monotonic() < until:
            return
        worked = self._settle(model, named, live)
        if not worked:
            self._failed[model] = ((named, live), time.monotonic() + AGAIN_SECONDS)

    def _settle(self, model: str, named: Named | None, live: int | None) -> bool:
        """Do what the sight asks for; tell whether MLflow could be written to."""
        if named is None:
            text = f"MLflow has no registered model {model}: the next night makes it again"
            self.ledger.alert(model, ALERT, text, ALERT)
        elif named.moved and named.version != live:
            return self._judge(model, live, named)
        elif named.number is None and named.projected:
            return self._put_back(model, f"alias {CHAMPION} of {model} was removed by hand in MLflow")
        elif named.version != live or named.moved or self._alert_is_open(model):
            self._lagging[model] = self._lagging.get(model, 0) + 1
            if self._lagging[model] >= LAGGING_LOOKS:
                return self._project(model)
        else:
            self._lagging.pop(model, None)
        return True

    def _judge(self, model: str, live: int | None, named: Named) -> bool:
        """Follow the move if that version can be served, else put the alias back."""
        seen = f"version {named.version}" if named.version else f"MLflow's version {named.number}"
        text = f"alias {CHAMPION} of {model} was moved by hand in MLflow from version {live} to {seen}"
        fault = why_not_deployable(self.settings, self.ledger, model, named) or self._follow(model, named, text)
        if fault:
            return self._put_back(model, f"{text}, which is not followed: {fault}")
        print(f"{text}: followed", file=sys.stderr, flush=True)
        return True

    def _follow(self, model: str, named: Named, why: str) -> str:
        """Make the version live by the proof of a rollback; return what failed, empty if nothing did."""
        from pipelines.deployment.rollback.spec import RollbackSpec
        from pipelines.deployment.rollback.stage import run

        try:
            run(RollbackSpec(model=model, to=named.version, why=why[:500], actor=ACTOR), settings=self.settings)
        except Exception as error:  # noqa: BLE001  # whatever fails, the version that was live stays so
            return _words(error)
        return ""

    def _put_back(self, model: str, text: str) -> bool:
        """Let the alias name the live version again, and tell why; each move is told, also a second one."""
        worked = self._project(model)
        text = f"{text}; the alias {'is put back' if worked else 'cannot be put back yet'}"[:500]
        print(text, file=sys.stderr, flush=True)
        self.ledger.resolve_alert(model, MOVED)
        self.ledger.alert(model, ALERT, text, MOVED)
        return worked

    def _project(self, model: str) -> bool:
        from pipelines.deployment.follow import AliasFollower

        self._lagging.pop(model, None)
        with AliasFollower(self.settings, self.ledger, model) as aliases:
            return aliases.go()

    def _alert_is_open(self, model: str) -> bool:
        return any((row.model, row.key) == (model, ALERT) for row in self.ledger.alerts())

    def _named(self, model: str) -> Named | None:
        """Ask MLflow; None: it has no such model."""
        answer = self._get("registered-models/get", name=model)
        if answer is None:
            return None
        registered = answer["registered_model"]
        numbers = {each["alias"]: str(each["version"]) for each in registered.get("aliases", ())}
        projected = _tags(registered).get(PROJECTED_TAG)
        tags: dict[str, str] = {}
        number = numbers.get(CHAMPION)
        if number is not None:
            found = self._get("model-versions/get", name=model, version=number)
            tags = _tags(found["model_version"]) if found else {}
        version = tags.get(VERSION_TAG, "")
        return Named(
            number,
            int(version) if version.isdecimal() else None,
            tags.get(DIGEST_TAG, ""),
            None if projected is None else projected.split(),
        )

    def _get(self, what: str, **asked: str) -> dict[str, Any] | None:
        address = f"{self.settings.mlflow_uri}/api/2.0/mlflow/{what}"
        response = self.client.get(address, params=asked, auth=login(self.settings))
        if response.status_code == 404:
            return None
        found: dict[str, Any] = response.raise_for_status().json()
        return found


def why_not_deployable(settings: Settings, ledger: Ledger, model: str, named: Named) -> str:
    """Return what keeps the version from going live, empty if nothing does: files are verified, nothing is started."""
    from pipelines.deployment.serve import bento_command
    from pipelines.inference.manifest import verify_manifest

    row = ledger.version(model, named.version) if named.version else None
    if row is None or row.state not in DEPLOYABLE:
        return "the ledger knows no such version"
    if named.digest != row.model_digest:
        return f"its tag {DIGEST_TAG} names another model directory than the ledger does"
    try:
        if verify_manifest(resolve(settings, row.model_uri), public_key(settings)) != row.model_digest:
            return "its model directory is another one than the ledger names"
        bento_command(settings, model, row.version, Path("unused"))
    except (AimassError, OSError) as error:
        return _words(error)
    return ""


def _tags(entity: dict[str, Any]) -> dict[str, str]:
    return {each["key"]: each["value"] for each in entity.get("tags", ())}


def _words(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def main() -> None:
    """Look every few seconds until this process is terminated."""
    settings = load()
    http = httpx.Client(timeout=ANSWER_SECONDS, trust_env=False, verify=settings.trusted)
    with Ledger.open(settings) as ledger, http as client:
        watch = AliasWatch(settings, ledger, client)
        while True:
            try:
                watch.look()
            except Exception as error:  # noqa: BLE001  # the ledger or MLflow is away or odd: the next look tells
                print(f"the aliases cannot be looked at: {_words(error)}", file=sys.stderr, flush=True)
            settings.alias_watch_beat.touch(mode=0o600)
            time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main()
