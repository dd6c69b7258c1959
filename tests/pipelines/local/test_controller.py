"""The controller against a supervisor that only remembers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from supervisors import Parts

from pipelines.deployment import serve
from pipelines.errors import DeployError
from pipelines.ledger import Ledger
from pipelines.local import controller as module
from pipelines.local import instance
from pipelines.local.controller import Controller, watcher_name
from pipelines.settings import Settings


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def forward(seconds: float) -> None:
        now[0] += seconds

    return forward


class World:
    """Ledger, supervisor and services that respond or not."""

    def __init__(self, home: Settings) -> None:
        self.ledger = Ledger.open(home)
        self.parts = Parts()
        self.ready = True
        self.silent: set[str] = set()
        self.controller = Controller(home, self.ledger, self.parts, Path("/run/x"), self.responds)

    def responds(self, address: str) -> bool:
        return self.ready and Path(address).name not in self.silent

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.controller.tick()

    @property
    def row(self):
        return self.ledger.serving("loans")[0]


@pytest.fixture
def world(home: Settings, monkeypatch: pytest.MonkeyPatch, clock: Callable[[float], None]) -> World:
    monkeypatch.setattr(
        serve,
        "bento_command",
        lambda _, model, version, socket: (["serve", model, str(version), str(socket)], {"A": "1"}),
    )
    monkeypatch.setattr(module, "DRAIN_SECONDS", 0.0)
    return World(home)


NAME = watcher_name("loans", 1)


def test_what_is_wanted_is_started_and_becomes_ready(world: World) -> None:
    world.ready = False
    world.ledger.want("loans", 1, "serve")
    world.tick(2)
    assert (world.row.actual, world.row.address) == ("starting", f"unix:/run/x/{NAME}")
    assert world.parts.commands[NAME] == ["serve", "loans", "1", f"/run/x/{NAME}"]
    assert world.parts.environments[NAME].keys() == {"A", "AIMASS_PLATFORM"}
    world.ready = True
    world.tick()
    assert (world.row.actual, world.row.pid) == ("ready", world.parts.running[NAME])


def test_two_versions_get_two_sockets_and_stop_removes_one(world: World) -> None:
    world.ledger.want("loans", 1, "serve")
    world.ledger.want("loans", 2, "serve")
    world.tick(2)
    first, second = (f"unix:/run/x/{watcher_name('loans', version)}" for version in (1, 2))
    assert [row.address for row in world.ledger.serving()] == [first, second]
    world.ledger.want("loans", 1, "stop")
    world.tick(2)
    assert [(row.actual, row.address) for row in world.ledger.serving()] == [("absent", None), ("ready", second)]
    assert NAME not in world.parts.running


def test_process_that_died_is_seen_and_comes_back(world: World) -> None:
    world.ledger.want("loans", 1, "serve")
    world.tick(2)
    before = world.row.pid
    world.parts.die(NAME)
    world.ready = False
    world.tick()
    assert world.row.actual == "starting"
    world.ready = True
    world.tick()
    assert (world.row.actual, world.row.pid != before) == ("ready", True)


def test_crash_loop_fails_with_an_alert_until_it_is_wanted_again(world: World) -> None:
    world.ready = False
    world.ledger.want("loans", 1, "serve")
    world.tick()
    for _ in range(6):
        world.tick()
        if NAME in world.parts.running:
            world.parts.die(NAME)
    assert world.row.actual == "failed"
    assert "ended 4 times within 60 s" in world.row.detail
    assert NAME not in world.parts.running
    assert [alert.key for alert in world.ledger.alerts()] == ["serving-1"]
    world.tick(3)
    assert NAME not in world.parts.running
    world.ready = True
    world.ledger.want("loans", 1, "serve")
    world.tick(2)
    assert world.row.actual == "ready"
    assert world.ledger.alerts() == []


def test_never_ready_fails(world: World, clock: Callable[[float], None]) -> None:
    world.ready = False
    world.ledger.want("loans", 1, "serve")
    world.tick(2)
    clock(instance.READY_WITHIN + 1)
    world.tick()
    assert world.row.actual == "failed"
    assert "not ready after 60 s" in world.row.detail


def test_silent_service_is_killed_and_told(world: World, clock: Callable[[float], None]) -> None:
    world.ledger.want("loans", 1, "serve")
    world.tick(2)
    world.ready = False
    clock(instance.SILENT_FOR + 1)
    world.tick()
    assert world.parts.killed == [NAME]
    assert (world.row.actual, [alert.kind for alert in world.ledger.alerts()]) == ("starting", ["serving"])
    world.ready = True
    world.tick()
    assert (world.row.actual, world.ledger.alerts()) == ("ready", [])


def test_one_that_starts_slowly_after_a_crash_is_left_to_start(world: World, clock: Callable[[float], None]) -> None:
    world.ledger.want("loans", 1, "serve")
    world.tick(2)
    world.parts.die(NAME)
    world.ready = False
    for _ in range(40):
        clock(0.5)
        world.tick()
    assert (world.parts.killed, world.row.actual) == ([], "starting")
    world.ready = True
    world.tick()
    assert world.row.actual == "ready"


def test_one_that_hangs_again_and_again_is_no_crash_loop(world: World, clock: Callable[[float], None]) -> None:
    world.ledger.want("loans", 1, "serve")
    world.tick(2)
    for _ in range(6):
        world.ready = False
        clock(instance.SILENT_FOR + 1)
        world.tick()
        world.ready = True
        world.tick()
    assert (len(world.parts.killed), world.row.actual) == (6, "ready")


def test_version_without_a_bento_fails_and_says_why(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise DeployError("version 1 of loans has no bento")

    monkeypatch.setattr(serve, "bento_command", refuse)
    world.ledger.want("loans", 1, "serve")
    world.tick()
    assert (world.row.actual, "has no bento" in world.row.detail) == ("failed", True)
    assert [alert.key for alert in world.ledger.alerts()] == ["serving-1"]
    world.ledger.want("loans", 1, "stop")
    world.tick()
    assert (world.row.actual, list(world.ledger.alerts())) == ("absent", [])


def test_service_that_nobody_asked_for_is_removed_and_other_parts_are_not(world: World) -> None:
    world.parts.add("bento-gone-v9", [], {})
    world.tick()
    assert world.parts.names() == {"mlflow"}


def test_lost_note_of_the_address_starts_over(world: World) -> None:
    world.ledger.want("loans", 1, "serve")
    world.parts.add(NAME, [], {})
    world.tick()
    assert NAME not in world.parts.running
    world.tick(2)
    assert world.row.actual == "ready"


SECOND = watcher_name("loans", 1, 2)


def test_each_instance_has_a_process_and_a_socket(world: World) -> None:
    world.ledger.want("loans", 1, "serve", instances=2)
    world.silent = {SECOND}
    world.tick(3)
    assert (world.row.actual, world.row.addresses) == ("starting", [f"unix:/run/x/{NAME}", f"unix:/run/x/{SECOND}"])
    assert world.parts.commands[SECOND][-1] == f"/run/x/{SECOND}"
    world.silent = set()
    world.tick()
    assert world.row.actual == "ready", "a release waits for all"
    world.parts.die(NAME)
    world.silent = {NAME}
    world.tick(2)
    assert world.row.actual == "ready", "the other one answers"
    world.parts.die(SECOND)
    world.silent = {NAME, SECOND}
    world.tick()
    assert world.row.actual == "starting"
    world.silent = {NAME}
    world.tick()
    assert world.row.actual == "ready", "with the first one that is back"
    world.ledger.want("loans", 1, "stop")
    world.tick(2)
    assert (world.parts.names(), world.row.actual) == ({"mlflow"}, "absent")


def test_a_version_is_given_more_and_fewer_instances(world: World) -> None:
    world.ledger.want("loans", 1, "serve")
    world.tick(2)
    pid = world.parts.running[NAME]
    world.ledger.want("loans", 1, "serve", instances=2)
    assert world.row.actual == "starting"
    world.tick(2)
    assert (world.row.actual, len(world.row.addresses), world.parts.running[NAME]) == ("ready", 2, pid)
    world.ledger.want("loans", 1, "serve")
    assert world.row.instances == 2, "as many as before"
    world.ledger.want("loans", 1, "serve", instances=1)
    world.tick()
    assert (world.parts.names(), world.row.addresses) == ({"mlflow", NAME}, [f"unix:/run/x/{NAME}"])
    assert (world.row.actual, world.parts.running[NAME]) == ("ready", pid)


def test_an_instance_that_hangs_is_killed_alone(world: World, clock: Callable[[float], None]) -> None:
    world.ledger.want("loans", 1, "serve", instances=2)
    world.tick(2)
    world.silent = {SECOND}
    clock(instance.SILENT_FOR + 1)
    world.tick()
    assert world.parts.killed == [SECOND]
    assert (world.row.actual, world.row.detail) == ("ready", "did not respond, started again")
    assert len(world.ledger.alerts()) == 1
    world.silent = set()
    world.tick()
    assert (world.row.detail, world.ledger.alerts()) == ("", [])


def test_the_end_of_one_of_two_is_no_crash_loop(world: World) -> None:
    world.ledger.want("loans", 1, "serve", instances=2)
    world.tick(2)
    for turn in range(20):
        world.parts.die((NAME, SECOND)[turn % 2])
        world.tick(2)
    assert (world.row.actual, world.row.detail, world.parts.names()) == ("ready", "", {"mlflow", NAME, SECOND})
    for _ in range(instance.CRASHES - 1):
        world.silent = {NAME, SECOND}
        for name in (NAME, SECOND):
            world.parts.die(name)
        world.tick()
        world.silent = set()
        world.tick()
    world.silent = {NAME, SECOND}
    world.tick()
    for name in (NAME, SECOND):
        world.parts.die(name)
    world.tick()
    assert world.row.actual == "failed", "both at once is one"


def test_a_process_of_age_that_hangs_is_given_time_to_come_back(
    world: World, clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ledger.want("loans", 1, "serve")
    world.tick(2)
    clock(3600)
    world.tick()
    monkeypatch.setattr(world.parts, "kill", world.parts.killed.append)  # the supervisor needs a moment
    world.ready = False
    clock(instance.SILENT_FOR + 1)
    world.tick(3)
    assert (world.parts.killed, world.row.actual) == ([NAME], "starting")


def test_an_instance_that_ends_again_and_again_rests_while_another_answers(
    world: World, clock: Callable[[float], None]
) -> None:
    world.ledger.want("loans", 1, "serve", instances=2)
    world.tick(2)
    world.silent = {SECOND}
    for _ in range(instance.CRASHES + 1):
        if SECOND in world.parts.running:
            world.parts.die(SECOND)
        world.tick()
    assert (SECOND in world.parts.running, world.row.actual) == (False, "ready")
    assert "ended 4 times" in world.row.detail
    assert len(world.ledger.alerts()) == 1
    world.tick(3)
    assert SECOND not in world.parts.running
    world.silent = set()
    clock(instance.CRASH_WINDOW + 1)
    world.tick(2)
    assert SECOND in world.parts.running
    assert (world.row.actual, world.row.detail, world.ledger.alerts()) == ("ready", "", [])


def test_a_release_of_which_an_instance_fails_fails(world: World) -> None:
    world.ledger.want("loans", 1, "serve", instances=2)
    world.silent = {SECOND}
    for _ in range(instance.CRASHES + 2):
        world.tick()
        if SECOND in world.parts.running:
            world.parts.die(SECOND)
    assert (world.row.actual, world.parts.names()) == ("failed", {"mlflow"})


def later(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_a_lease_ends_by_itself_and_may_be_renewed(world: World) -> None:
    world.ledger.want("loans", 1, "serve", until=later(60))
    world.ledger.want("loans", 2, "serve", until=later(-1))
    world.tick(3)
    assert [(row.desired, row.actual) for row in world.ledger.serving()] == [("serve", "ready"), ("stop", "absent")]
    assert world.parts.names() == {"mlflow", NAME}
    world.ledger.want("loans", 2, "serve", until=later(60))
    world.tick(2)
    assert [row.actual for row in world.ledger.serving()] == ["ready", "ready"]


def test_an_earlier_version_outlives_its_lease_while_the_live_one_is_not_ready(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.ledger, "route", lambda _: 2)
    world.ledger.want("loans", 2, "serve")
    world.silent = {watcher_name("loans", 2)}
    world.ledger.want("loans", 1, "serve", until=later(-1))
    world.ledger.want("loans", 3, "serve", until=later(-1))
    world.tick(3)
    assert [row.desired for row in world.ledger.serving()] == ["serve", "serve", "stop"]
    world.silent = set()
    world.tick(2)
    assert [row.desired for row in world.ledger.serving()] == ["stop", "serve", "stop"]
