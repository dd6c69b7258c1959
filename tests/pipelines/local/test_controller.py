"""The controller against a supervisor that only remembers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.deployment import serve
from pipelines.errors import DeployError
from pipelines.ledger import Ledger
from pipelines.local import controller as module
from pipelines.local.controller import Controller, watcher_name
from pipelines.settings import Settings


class Parts:
    """A supervisor in memory."""

    def __init__(self) -> None:
        self.running: dict[str, int] = {}
        self.commands: dict[str, list[str]] = {}
        self.environments: dict[str, dict[str, str]] = {}
        self.killed: list[str] = []
        self.next_pid = 100

    def names(self) -> set[str]:
        return {*self.running, "mlflow"}

    def pid(self, name: str) -> int | None:
        return self.running.get(name)

    def add(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        self.commands[name] = command
        self.environments[name] = environment
        self.die(name)

    def die(self, name: str) -> None:
        """Come back with another pid, as circus does."""
        self.next_pid += 1
        self.running[name] = self.next_pid

    def remove(self, name: str) -> None:
        del self.running[name]

    def kill(self, name: str) -> None:
        self.killed.append(name)
        self.die(name)


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
        self.controller = Controller(home, self.ledger, self.parts, Path("/run/x"), lambda _: self.ready)

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
    clock(module.READY_WITHIN + 1)
    world.tick()
    assert world.row.actual == "failed"
    assert "not ready after 60 s" in world.row.detail


def test_silent_service_is_killed_and_told(world: World, clock: Callable[[float], None]) -> None:
    world.ledger.want("loans", 1, "serve")
    world.tick(2)
    world.ready = False
    clock(module.SILENT_FOR + 1)
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
        clock(module.SILENT_FOR + 1)
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
