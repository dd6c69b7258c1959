"""K9: many processes publish the same nights at once; the ledger counts each night and each version once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
from postgres import postgres
from publishing import EACH, NIGHTS, publish

from pipelines.ledger import Ledger
from pipelines.settings import Settings

pytestmark = pytest.mark.fault

PROCESSES = 8 if os.environ.get("AIMASS_FULL") else 4


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Processes that have imported everything once the first ledger is done."""
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        yield pool


@pytest.fixture(params=["sqlite", "postgresql"])
def ledgers(request: pytest.FixtureRequest, home: Settings) -> Iterator[str | None]:
    """Address of the ledger; None: the SQLite file of the home."""
    if request.param == "sqlite":
        yield None
    else:
        with postgres() as address:
            yield address


def test_many_processes_publish_each_night_once(home: Settings, ledgers: str | None, pool: ProcessPoolExecutor) -> None:
    ledger = Ledger.open(home.model_copy(update={"ledger_url": ledgers}) if ledgers else home)
    attempts = [pool.submit(publish, str(home.home), ledgers, worker) for worker in range(PROCESSES)]
    done = [each for attempt in attempts for each in attempt.result()]
    with ledger:
        assert len(done) == PROCESSES * EACH

        # a fence is given once, and the night's counter stands at the last one
        begun: dict[str, list[int]] = {}
        for night, fence, _ in done:
            begun.setdefault(night, []).append(fence)
        nights: dict[str, Any] = {row.night: row for row in ledger.nights("demo")}
        assert len(nights) == NIGHTS
        for night, fences in begun.items():
            assert sorted(fences) == list(range(1, len(fences) + 1))
            (stage,) = ledger.stages("demo", night)
            assert (stage.attempt, stage.fence, nights[night].fence) == (len(fences),) * 3

        # a night has one version, and each number is given once
        assert [row.version for row in ledger.versions("demo")] == list(range(1, NIGHTS + 1))
        assert Counter(outcome for *_, outcome in done)["published"] > 0

        # one version is live, it is that of the newest night, and each switch follows the one before
        live = [row for row in ledger.versions("demo") if row.state == "live"]
        assert [row.version for row in live] == [ledger.route("demo")]
        assert ledger.verify_history()
        switches = ledger.history()
        assert switches[-1].to_version == live[0].version
        assert [row.from_version for row in switches] == [None, *(row.to_version for row in switches[:-1])]

        assert len(ledger.alerts()) == 1
        assert len(ledger.tokens()) == 3
        model = ledger.model("demo")
        assert model is not None
        assert model.identity is not None
