"""K11: PostgreSQL stops at once in the middle of a night; retries complete it, with one version and a whole ledger.

In each stage, in short form in every third, it ends before or in the transaction that follows the stage's work, as by
``pg_ctl stop -m immediate``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chain import WIRES, Chain, write_small_source
from postgres import Server, postgres_server
from searching import run_here
from sqlalchemy.exc import DBAPIError

from pipelines import settings as configuration
from pipelines import storage
from pipelines.inference.manifest import verify_manifest
from pipelines.ledger.connect import Connected
from pipelines.secret_files import public_key
from pipelines.settings import Settings
from pipelines.spec import ModelSpec

EVERY = 1 if os.environ.get("AIMASS_FULL") == "1" else 3
MODEL = ModelSpec(name="small", task="binary", target="label", positive="yes", key=("id",))


class Stopper:
    """Stops PostgreSQL before, or at the end of, the transaction with a given number, counted from :meth:`arm`."""

    def __init__(self, server: Server) -> None:
        self.server, self.left, self.inside, self.stopped = server, 0, False, False

    def arm(self, number: int, inside: bool) -> None:
        """Be ready for the next transactions."""
        self.left, self.inside, self.stopped = number, inside, False

    def wrap(self, original: Any) -> Any:
        """Return what takes the place of ``Ledger.transaction``."""

        @contextmanager
        def transaction(ledger: Connected) -> Iterator[Any]:
            self.left -= 1
            if not self.left and not self.inside:
                self.stop()
            with original(ledger) as connection:
                yield connection
                if not self.left and self.inside:
                    self.stop()

        return transaction

    def stop(self) -> None:
        """Stop the server."""
        self.server.stop_at_once()
        self.stopped = True


@pytest.fixture
def specs(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Settings of a small night."""
    source, suite = tmp_path / "small.csv", tmp_path / "suite.json"
    write_small_source(source)
    rule = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "_y"}, "severity": "critical"}
    suite.write_text(json.dumps({"name": "small", "expectations": [rule], "meta": {}}))
    return {
        "ingest": {"source": str(source)},
        "validate": {"suite": str(suite)},
        "tune": {"trials": 2, "families": ["lightgbm", "linear"]},
        "evaluate": {"plots": False},
    }


@pytest.mark.fault
@pytest.mark.timeout(420)
def test_a_night_during_which_postgresql_stops_completes(
    home: Settings, specs: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.tuning.search.search", run_here)
    with postgres_server() as server:
        settings = configuration.load(ledger_url=server.address)
        monkeypatch.setenv("AIMASS_LEDGER_URL", server.address)
        chain = Chain(settings, MODEL, "manual__stormy", specs)
        stopper = Stopper(server)
        monkeypatch.setattr(Connected, "transaction", stopper.wrap(Connected.transaction))
        failed = []
        for index, stage in enumerate(WIRES):
            if index % EVERY == 0:
                stopper.arm(2, inside=bool(index % 2))
            try:
                chain.run_here(stage)
            except DBAPIError:
                failed.append(stage)
            if stopper.stopped:
                server.start()
                stopper.stopped = False
            if stage not in chain.results:
                chain.run_here(stage)
        assert len(failed) >= len(WIRES) // EVERY // 2, failed
        ledger = chain.ledger
        assert [row.version for row in ledger.versions("small")] == [1]
        assert ledger.route("small") == 1
        assert ledger.verify_history()
        assert len(ledger.history()) == 1
        assert {row.state for row in ledger.stages("small", "manual__stormy")} == {"done"}
        for stage, result in chain.results.items():
            assert storage.verify(storage.resolve(settings, result.ref.uri))["digest"] == result.ref.digest, stage
        champion = ledger.champion("small")
        assert verify_manifest(storage.resolve(settings, champion.model_uri), public_key(settings))
        ledger.close()
