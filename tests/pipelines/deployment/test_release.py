from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.deployment.serve import private_service
from pipelines.deployment.spec import DeploySpec
from pipelines.errors import DeployError
from pipelines.ledger import SupersededError
from pipelines.registry.tracking import client

pytestmark = pytest.mark.slow

SPEC = DeploySpec(ready_timeout=30)


@pytest.fixture
def in_service_already(monkeypatch, tiny_service):
    """In place of a process of its own, each version gets the service of version 1 that all tests share."""
    monkeypatch.setattr("pipelines.deployment.service.private_service", lambda *_: nullcontext(tiny_service))


@contextmanager
def supervisor(packaged, outcome="ready", serve=private_service):
    """Stand in for the platform: serve what the ledger asks for with the real command, and write down what is seen."""
    end = threading.Event()

    def loop():
        services = {}
        while not end.is_set():
            for row in packaged.ledger.serving("demo"):
                if row.desired == "serve" and row.actual == "absent":
                    if outcome != "ready":
                        packaged.ledger.observe("demo", row.version, outcome, detail="will not start")
                        continue
                    service = serve(packaged.settings, "demo", row.version, 30)
                    url = service.__enter__()
                    services[row.version] = service
                    packaged.ledger.observe("demo", row.version, "ready", address=url)
            time.sleep(0.05)
        for service in services.values():
            service.__exit__(None, None, None)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(30)


def second_version(packaged, tmp_path, tiny, name, day, seed):
    return tiny.take_to_bento(tmp_path, packaged.settings, packaged.night_of(name, day=day), seed)


@pytest.mark.usefixtures("alias_process")
def test_a_local_night_proves_and_switches(packaged, tmp_path, tiny):
    outcome = tiny.release(SPEC, packaged.night, packaged.settings, tmp_path, packaged.done)
    assert outcome.meta == {"version": 1, "live": True}
    assert packaged.ledger.route("demo") == 1
    assert packaged.ledger.version("demo", 1).state == "live"
    written = json.loads((tmp_path / "deployment.json").read_text())
    assert written["proof"]["rows"] == 200
    assert client(packaged.settings).get_registered_model("demo").aliases == {"champion": 1}
    assert [(row.version, row.desired) for row in packaged.ledger.serving("demo")] == [(1, "serve")]


def test_a_retry_adopts(packaged, tmp_path, tiny):
    entries = len(packaged.ledger.history("demo"))
    again = tiny.release(SPEC, packaged.night, packaged.settings, tmp_path, packaged.done).stats
    assert again["live"]
    assert again["why"] == "already live"
    assert len(packaged.ledger.history("demo")) == entries


def test_a_backfill_never_moves_what_is_live(packaged, tmp_path, tiny):
    old = packaged.night_of("backfill", day=1).model_copy(update={"as_of": packaged.night.as_of.replace(year=2020)})
    done = tiny.take_to_bento(tmp_path, packaged.settings, old, 1)
    result = tiny.release(SPEC, old, packaged.settings, tmp_path, done).stats
    assert not result["live"]
    assert "later night" in result["why"]
    assert packaged.ledger.route("demo") == 1


def test_a_service_that_fails_leaves_the_old_version_live(packaged, tmp_path, tiny):
    done = second_version(packaged, tmp_path, tiny, "fails", 2, 2)
    version = done["register"].ref.meta["version"]
    night = packaged.night_of("fails", day=2, fence=3, platform=True)
    packaged.ledger.observe("demo", 1, "ready", address="unix:/nowhere")
    with supervisor(packaged, outcome="failed"), pytest.raises(DeployError, match="did not bring the new service up"):
        tiny.release(SPEC, night, packaged.settings, tmp_path, done)
    assert packaged.ledger.route("demo") == 1
    desired = {row.version: row.desired for row in packaged.ledger.serving("demo")}
    assert desired == {1: "serve", version: "stop"}
    (alert,) = packaged.ledger.alerts()
    assert "will not start" in alert.message


def test_the_platform_switches_after_the_proof_and_retires_the_old(packaged, tmp_path, tiny):
    done = second_version(packaged, tmp_path, tiny, "platform", 3, 3)
    version = done["register"].ref.meta["version"]
    night = packaged.night_of("platform", day=3, fence=3, platform=True)
    with supervisor(packaged):
        result = tiny.release(SPEC, night, packaged.settings, tmp_path, done).stats
    assert result["live"]
    assert result["previous"] == 1
    assert packaged.ledger.route("demo") == version
    rows = {row.version: row for row in packaged.ledger.serving("demo")}
    assert {each for each, row in rows.items() if row.desired == "serve"} == {1, version}
    assert rows[version].until is None
    assert timedelta(minutes=59) < rows[1].until - datetime.now(UTC) < timedelta(minutes=60), "it stays warm"
    assert not packaged.ledger.alerts()
    assert packaged.ledger.verify_history()


def test_a_failed_proof_leaves_the_old_version_live(packaged, tmp_path, tiny, in_service_already):
    done = second_version(packaged, tmp_path, tiny, "unproved", 4, 4)
    live = packaged.ledger.route("demo")
    night = packaged.night_of("unproved", day=4, fence=3)
    with pytest.raises(DeployError, match="differ from the golden ones"):
        tiny.release(SPEC, night, packaged.settings, tmp_path, done)
    assert packaged.ledger.route("demo") == live
    assert [alert.kind for alert in packaged.ledger.alerts()] == ["deploy_failed"]


def test_a_late_attempt_neither_switches_nor_stops_what_the_newer_one_serves(packaged, tmp_path, tiny, tiny_service):
    done = second_version(packaged, tmp_path, tiny, "twice", 5, 0)  # learned as version 1, whose service answers alike
    version = done["register"].ref.meta["version"]
    newer = packaged.night_of("twice", day=5, fence=7, platform=True)
    with supervisor(packaged, serve=lambda *_: nullcontext(tiny_service)):
        assert tiny.release(SPEC, newer, packaged.settings, tmp_path, done).meta["live"]
    packaged.ledger.switch("demo", 1, 0, "by hand", "a person")
    entries = len(packaged.ledger.history("demo"))
    late = newer.model_copy(update={"fence": 6})
    with pytest.raises(SupersededError):
        tiny.release(SPEC, late, packaged.settings, tmp_path, done)
    assert packaged.ledger.route("demo") == 1
    assert len(packaged.ledger.history("demo")) == entries
    assert {row.version: row.desired for row in packaged.ledger.serving("demo")}[version] == "serve"


def test_a_night_that_went_live_during_the_proof_stays_live(packaged, tmp_path, tiny, monkeypatch, in_service_already):
    later = second_version(packaged, tmp_path, tiny, "later", 9, 9)["register"].ref.meta["version"]
    slow = second_version(packaged, tmp_path, tiny, "slow", 8, 8)
    packaged.ledger.switch("demo", 1, 0, "by hand", "a person")

    def prove_slowly(*_arguments, **_options):
        packaged.ledger.switch("demo", later, 50, "the later night", "deploy")
        return {"rows": 1, "largest_difference": 0.0}

    monkeypatch.setattr("pipelines.deployment.verify.stage.prove", prove_slowly)
    result = tiny.release(SPEC, packaged.night_of("slow", day=8, fence=3), packaged.settings, tmp_path, slow).stats
    assert not result["live"]
    assert "later night" in result["why"]
    assert packaged.ledger.route("demo") == later
