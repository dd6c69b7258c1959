"""The home of a model that is retrained for 400 nights stays as small as declared, and keeps all that counts.

A night leaves what a real one leaves, as files of the same sizes without content. Housekeeping itself is the real one,
run every day.
"""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.artifacts import night_slug
from pipelines.housekeeping.items import size_of
from pipelines.housekeeping.retention import tidy
from pipelines.housekeeping.spec import HousekeepingSpec
from pipelines.housekeeping.stage import SIZE, housekeep
from pipelines.ledger import Ledger
from pipelines.ledger.schema import models, nights, publications, stages
from pipelines.settings import Settings

NIGHTS = 400 if os.environ.get("AIMASS_FULL") else 120
FIRST = datetime(2026, 1, 1, 2, tzinfo=UTC)
PROMOTED_EVERY = 4
"""Nights between two that go live."""
STAGES = {
    "ingest": 900_000, "sample": 700_000, "clean": 950_000, "validate": 160_000, "split": 620_000, "features": 840_000,
    "tune": 310_000, "ensemble": 1_700_000, "evaluate": 420_000, "register": 2_000, "package": 1_250_000,
    "deploy": 3_000,
}  # fmt: skip
"""Bytes that each stage of a night of the demo model leaves."""
MODEL, BENTO, CALLS, TASK_LOGS, PREDICTIONS, SERVICE_LOG = 830_000, 1_300_000, 160_000, 240_000, 400_000, 90_000
GROWS = 20_000
"""What was read of the source in a night; it is kept for good."""
MB = 1_000_000


class Simulation:
    """A home that grows by a night a day."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.ledger = settings, Ledger.open(settings)
        self.now = FIRST
        with self.ledger.transaction() as connection:
            spec = {"name": "demo", "task": "binary", "target": "label", "positive": "yes"}
            connection.execute(models.insert().values(name="demo", spec=spec, identity=None, created_at=FIRST))

    def lay(self, path: Path, size: int) -> Path:
        """Make a folder with one file of a size, last changed now."""
        path.mkdir(parents=True, exist_ok=True)
        with (path / "part").open("wb") as stream:
            stream.truncate(size)
        os.utime(path, (self.now.timestamp(), self.now.timestamp()))
        return path

    def night(self, number: int) -> None:
        """Let a night run to its end; every fourth is promoted and goes live."""
        self.now = FIRST + timedelta(days=number)
        name, settings = f"scheduled__{self.now.isoformat()}", self.settings
        slug, live = night_slug(name), number % PROMOTED_EVERY == 0
        rows = []
        for stage, size in STAGES.items():
            uri = f"nights/demo/{slug}/{stage}-{secrets.token_hex(6)}"
            self.lay(settings.storage / uri, size)
            ref = {"uri": uri, "digest": "d", "stage": stage, "rows": 1_000, "meta": {}}
            fields = {"state": "done", "fence": 1, "attempt": 1, "ref": ref, "started_at": self.now}
            rows.append({"model": "demo", "night": name, "stage": stage, **fields})
        digest = f"{number:064x}"
        uri, tag = f"models/demo/{digest}", f"demo:v{number + 1}-{digest[-12:]}"
        self.lay(settings.storage / uri, MODEL)
        self.lay(settings.bentoml_home / "bentos" / tag.replace(":", "/"), BENTO)
        self.lay(settings.calls / "demo" / slug, CALLS)
        self.lay(settings.airflow_home / "logs" / "dag_id=retrain_demo" / f"run_id={name}", TASK_LOGS)
        self.lay(settings.storage / "predictions" / "demo" / self.now.date().isoformat(), PREDICTIONS)
        self.lay(settings.storage / "history" / "demo" / "orders" / slug, GROWS)
        self.lay(settings.staging / f"killed-{number}", 50_000)
        log = settings.logs / f"bento-demo-v{number + 1}.log"
        log.write_bytes(b"x" * SERVICE_LOG)
        os.utime(log, (self.now.timestamp(), self.now.timestamp()))
        published = {
            "version": number + 1, "state": "registered", "fence": 1, "as_of": self.now, "model_uri": uri,
            "model_digest": digest, "bento_uri": tag, "created_at": self.now,
            "verdict": {"verdict": "promoted" if live else "kept"},
        }  # fmt: skip
        with self.ledger.transaction() as connection:
            connection.execute(
                nights.insert().values(
                    model="demo",
                    night=name,
                    as_of=self.now,
                    source="local",
                    state="success",
                    fence=1,
                    started_at=self.now,
                    finished_at=self.now,
                )
            )
            connection.execute(stages.insert(), rows)
            connection.execute(publications.insert().values(model="demo", night=name, **published))
        if live:
            previous = self.ledger.route("demo")
            self.ledger.want("demo", number + 1, "serve")
            self.ledger.switch("demo", number + 1, 0, "test", "test")
            if previous is not None:
                self.ledger.want("demo", previous, "stop")


@pytest.fixture
def simulation(home: Settings, own_temporary: Path) -> Simulation:
    """An empty home; what lies in the system's temporary folder is not its own."""
    return Simulation(home)


def kept_models(settings: Settings) -> set[int]:
    return {int(path.name, 16) + 1 for path in (settings.storage / "models" / "demo").iterdir()}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_home_stays_as_small_as_declared(simulation: Simulation, untraced: None) -> None:
    settings = simulation.settings
    pinned = settings.backups / "20260101T000000.000000Z"
    simulation.lay(pinned, 5 * MB)
    spec = HousekeepingSpec(nights=14, versions=30, log_days=20, prediction_days=20, max_gb=0.25)
    largest, removed = 0, 0
    for number in range(NIGHTS):
        simulation.night(number)
        report = tidy(settings, spec, now=simulation.now + timedelta(hours=2))
        largest, removed = max(largest, report.size), removed + len(report.items)
        assert report.size <= report.limit, (number, report.holding)
        assert report.failed == ()
    assert largest < 0.25e9
    assert removed > (NIGHTS - spec.nights - 10) * len(STAGES)

    ledger, known = simulation.ledger, {row.version: row for row in simulation.ledger.versions("demo")}
    newest, live = set(range(NIGHTS - 29, NIGHTS + 1)), ledger.route("demo")
    were_live = [number + 1 for number in range(0, NIGHTS, PROMOTED_EVERY)][-10:]
    assert live in known
    assert newest | set(were_live) <= known.keys()
    assert kept_models(settings) == known.keys(), "a version of the ledger has its model directory, and only those"
    for row in known.values():
        assert (settings.bentoml_home / "bentos" / str(row.bento_uri).replace(":", "/")).is_dir()
    night_of_live = known[live].night
    for row in ledger.stages("demo", night_of_live):
        assert (settings.storage / row.ref["uri"]).is_dir()
    assert len(list((settings.storage / "history" / "demo" / "orders").iterdir())) == NIGHTS
    assert size_of(pinned) == 5 * MB
    assert len(ledger.deleted_versions("demo")) == NIGHTS - len(known)
    told = ledger.deleted_versions("demo")[0].verdict["deleted"]
    assert told["by"] == "housekeeping"
    assert "older than the newest" in told["why"]
    assert ledger.broken_history() is None


def test_a_smaller_home_keeps_less_but_never_what_is_pinned(simulation: Simulation) -> None:
    for number in range(20):
        simulation.night(number)
    now = simulation.now + timedelta(days=3)
    spec = HousekeepingSpec(nights=14, versions=30, max_gb=1.0)
    roomy = tidy(simulation.settings, spec, now=now)
    assert (roomy.versions, roomy.holding) == (0, {})
    tight = tidy(simulation.settings, spec.model_copy(update={"max_gb": 0.08}), now=now)
    assert tight.versions > 0
    assert "newest 7" in " ".join(item.why for item in tight.items) or "newest 3" in tight.items[-1].why
    assert tight.size <= tight.limit
    assert simulation.ledger.route("demo") in kept_models(simulation.settings)


def test_an_alert_says_what_holds_the_space_that_nothing_frees(simulation: Simulation) -> None:
    settings = simulation.settings
    for number in range(3):
        simulation.night(number)
    simulation.lay(settings.backups / "20260101T000000.000000Z", 300 * MB)
    spec = HousekeepingSpec(max_gb=0.1)
    for _ in range(2):
        housekeep(settings, spec)
    (alert,) = simulation.ledger.alerts()
    assert (alert.key, alert.kind) == (SIZE, "size")
    assert "backups (backups) 300.0 MB" in alert.message
    assert "HousekeepingSpec(max_gb=" in alert.message
    housekeep(settings, HousekeepingSpec(max_gb=10))
    assert simulation.ledger.alerts() == []
