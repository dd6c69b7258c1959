"""Two controllers share a ledger: what each starts, stops, and says of it."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from certificates import Authority
from sqlalchemy import update
from supervisors import Parts

from pipelines import settings as configuration
from pipelines.deployment import serve
from pipelines.errors import DeployError, SpecError
from pipelines.ledger import Ledger
from pipelines.ledger.schema import serving_hosts
from pipelines.local import controller as module
from pipelines.local.controller import Controller, watcher_name
from pipelines.local.endpoints import Ports
from pipelines.local.serving_host import LOST, ServingHost
from pipelines.settings import Settings
from pipelines.waiting import wait_until

HOSTS = ("127.0.0.1", "127.0.0.2")
NAME = watcher_name("demo", 1)


class Host:
    """A controller with a supervisor that only remembers; its services respond."""

    def __init__(self, settings: Settings, ledger: Ledger, address: str) -> None:
        self.settings = settings.model_copy(update={"serve_address": address, "serve_ports": "7100-7102"})
        self.parts, self.seen = Parts(), ServingHost(ledger, self.settings)
        self.responds = True
        ports = Ports(self.settings, ledger)
        self.controller = Controller(self.settings, self.seen, self.parts, Path("/run/x"), self.ready, ports)

    def ready(self, _address: str) -> bool:
        return self.responds

    def tick(self) -> None:
        self.controller.tick()


@pytest.fixture
def world(home: Settings, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.setattr(
        serve, "model_command", lambda _, model, version, uri, address: (["serve", uri, address], {"A": "1"})
    )
    monkeypatch.setattr(module, "DRAIN_SECONDS", 0.0)
    with Ledger.open(home) as ledger:
        ledger.reserve("demo", "one", 1)
        ledger.advance("demo", "one", 1, state="staged", model_uri="models/demo/abc", model_digest="abc")
        ledger.assign_version("demo", "one", 1)
        hosts = [Host(home, ledger, address) for address in HOSTS]
        for each in hosts:
            each.tick()
        with ledger.transaction() as connection:
            connection.execute(update(serving_hosts).values(since=datetime(2026, 1, 1, tzinfo=UTC)))
        yield SimpleNamespace(ledger=ledger, hosts=hosts, home=home)


def lose(world: SimpleNamespace, host: Host) -> None:
    """Let the lease of a host be over."""
    past = datetime.now(UTC) - timedelta(minutes=1)
    of_host = serving_hosts.c.address == host.seen.host
    with world.ledger.transaction() as connection:
        connection.execute(update(serving_hosts).where(of_host).values(until=past))


def test_both_serve_it_and_one_goes_on_alone(world):
    one, other = world.hosts
    world.ledger.want("demo", 1, "serve", instances=2, hosts=2)
    for host in (one, other) * 2:
        host.tick()
    (row,) = world.ledger.serving()
    assert row.actual == "ready"
    assert row.addresses == [f"tls:{host}:{port}" for host in HOSTS for port in (7100, 7101)]
    assert one.parts.commands[NAME] == ["serve", "models/demo/abc", "tls:127.0.0.1:7100"]
    assert other.parts.environments[NAME]["A"] == "1"

    lose(world, other)
    one.tick()
    (row,) = world.ledger.serving()
    assert (row.actual, row.addresses) == ("ready", ["tls:127.0.0.1:7100", "tls:127.0.0.1:7101"])
    one.seen.watch_others(datetime.now(UTC))
    assert [alert.key for alert in world.ledger.alerts()] == [f"{LOST}@127.0.0.2"]
    pids = dict(other.parts.running)
    other.tick()
    one.seen.watch_others(datetime.now(UTC))
    assert len(world.ledger.serving()[0].addresses) == 4
    assert other.parts.running == pids, "what still ran is used again as it is"
    assert world.ledger.alerts() == []


def test_one_takes_the_place_of_the_other_and_what_is_spare_is_stopped(world):
    world.ledger.want("demo", 1, "serve")
    for host in world.hosts * 2:
        host.tick()
    (has,) = [host for host in world.hosts if host.parts.running]
    (other,) = [host for host in world.hosts if host is not has]
    lose(world, has)
    for _ in range(2):
        other.tick()
    assert NAME in other.parts.running
    for host in (has, other) * 3:
        host.tick()
    assert sorted(len(host.parts.running) for host in world.hosts) == [0, 1]
    assert world.ledger.serving()[0].actual == "ready"
    world.ledger.want("demo", 1, "stop")
    for host in world.hosts * 2:
        host.tick()
    assert [host.parts.running for host in world.hosts] == [{}, {}]
    assert world.ledger.serving()[0].actual == "absent"


def test_a_controller_that_is_started_again_knows_the_ports_of_its_services(world):
    one, _ = world.hosts
    world.ledger.want("demo", 1, "serve", instances=2, hosts=2)
    one.tick()
    one.tick()
    before = dict(one.parts.running)
    again = Host(world.home, world.ledger, one.seen.host)
    again.parts = again.controller.parts = one.parts
    again.tick()
    assert one.parts.running == before
    assert {each.address for each in again.controller.instances["demo", 1]} == {
        "tls:127.0.0.1:7100",
        "tls:127.0.0.1:7101",
    }


def test_ports_that_are_taken_are_left_out(world):
    ports = Ports(world.hosts[0].settings, world.ledger)
    with socket.create_server((HOSTS[0], 7100)):
        assert ports.address("x", None, {"tls:127.0.0.1:7101"}) == "tls:127.0.0.1:7102"
        with pytest.raises(DeployError, match="no port is free"):
            ports.address("x", None, {"tls:127.0.0.1:7101", "tls:127.0.0.1:7102"})
    assert ports.address("x", "tls:127.0.0.1:7101", set()) == "tls:127.0.0.1:7101"
    assert ports.address("x", "unix:/run/x", set()) == "tls:127.0.0.1:7100"


def test_one_without_an_address_does_not_fight_with_those_that_have_one(world):
    with pytest.raises(SpecError, match="other hosts serve") as caught:
        module._serving_host(world.home, world.ledger)
    assert "127.0.0.1" in caught.value.seen
    for host in world.hosts:
        world.ledger.leave(host.seen.host)
    assert module._serving_host(world.home, world.ledger) is None


def test_a_lease_ends_with_a_process_that_is_stopped_in_order(world, monkeypatch):
    monkeypatch.setattr("pipelines.local.serving_host.RENEW_SECONDS", 0.01)
    one, other = world.hosts
    lose(world, one)

    def stopped() -> None:
        with one.seen.lease():
            assert wait_until(lambda: live(world) == list(HOSTS) or None, seconds=5, every=0.01), "it is renewed"
            raise SystemExit(0)

    with pytest.raises(SystemExit):
        stopped()
    assert live(world) == [other.seen.host]


def live(world: SimpleNamespace) -> list[str]:
    """Return the hosts whose lease is not over."""
    return [each.address for each in world.ledger.hosts() if each.live]


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"serve_address": "10.0.0.1", "ledger_url": "postgresql+psycopg://h/d"}, "mutual TLS"),
        ({"serve_certificate": "a.pem"}, "belong together"),
        ({"serve_address": "10.0.0.1", "all": True}, "SQLite is for one host"),
        ({"serve_ports": "80-90"}, "range of ports"),
        ({"serve_ports": "8000"}, "range of ports"),
    ],
)
def test_what_is_not_safe_between_hosts_is_refused(tmp_path, changed, what):
    if changed.pop("all", False):
        own = Authority(tmp_path / "a").issue("10.0.0.1")
        changed |= {"serve_certificate": own.certificate, "serve_key": own.key, "serve_authority": own.authority}
    with pytest.raises(SpecError) as caught:
        configuration.load(home=tmp_path, **changed)
    assert what in str(caught.value)
