"""Hosts that share the serving table: leases, who takes what, and the row that is gathered from them."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from postgres import postgres
from sqlalchemy import select, update

from pipelines.ledger import Ledger
from pipelines.ledger.hosts import LEASE
from pipelines.ledger.rows import ServiceRow
from pipelines.ledger.schema import serving_hosts, serving_instances
from pipelines.settings import Settings

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


@pytest.fixture
def ledger(home: Settings):
    with Ledger.open(home) as opened:
        yield opened


def part(ledger: Ledger, host: str, version: int = 1) -> ServiceRow:
    """Renew a lease and return the row of a version as it is for the host."""
    return next(row for row in ledger.take_part(host, f"name-of-{host}") if row.version == version)


def all_there(ledger: Ledger, *hosts: str) -> None:
    """Let hosts be known to each other for longer than a lease."""
    for host in hosts:
        ledger.take_part(host, "name")
    age(ledger, since=2 * LEASE)


def age(ledger: Ledger, since: timedelta = timedelta(0), until: timedelta = timedelta(0), host: str | None = None):
    """Let time pass over what was written down."""
    with ledger.transaction() as connection:
        for row in connection.execute(select(serving_hosts)).all():
            if host in (None, row.address):
                moved = {"since": row.since - since, "until": row.until - until}
                connection.execute(update(serving_hosts).where(serving_hosts.c.address == row.address).values(**moved))


def serve(ledger: Ledger, host: str, version: int = 1) -> None:
    """Say that a host serves a version."""
    ledger.observe_on(host, "demo", version, "ready", address=f"tls:{host}:7100", pid=7)


def holder(ledger: Ledger) -> tuple[str, str]:
    """Return which of two hosts takes the version, and the other."""
    asked = {part(ledger, host).desired: host for host in (A, B)}
    return asked["serve"], asked["stop"]


def row_of(ledger: Ledger) -> ServiceRow:
    return ledger.serving("demo")[0]


def test_a_version_is_on_as_many_hosts_as_are_asked_for(ledger):
    all_there(ledger, A, B, C)
    ledger.want("demo", 1, "serve", hosts=2)
    taken = [host for host in (A, B, C) if part(ledger, host).desired == "serve"]
    assert len(taken) == 2
    assert [part(ledger, host).desired for host in taken] == ["serve", "serve"], "who has it keeps it"
    first, second = taken
    serve(ledger, first)
    row = row_of(ledger)
    assert (row.actual, row.address) == ("starting", f"tls:{first}:7100"), "the other is to be ready, too"
    serve(ledger, second)
    row = row_of(ledger)
    assert (row.actual, row.detail, row.pid) == ("ready", "", 7)
    assert row.addresses == [f"tls:{host}:7100" for host in sorted(taken)]


def test_another_host_takes_the_place_of_a_lost_one_and_leaves_it_again(ledger):
    all_there(ledger, A, B)
    ledger.want("demo", 1, "serve")
    has, other = holder(ledger)
    assert {part(ledger, has).desired, part(ledger, other).desired} == {"serve", "stop"}
    serve(ledger, has)
    assert row_of(ledger).address == f"tls:{has}:7100"

    age(ledger, until=2 * LEASE, host=has)
    assert [each.live for each in ledger.hosts() if each.address == has] == [False]
    assert part(ledger, other).desired == "serve"
    assert row_of(ledger).address is None, "callers are no longer sent to the lost one"
    serve(ledger, other)
    assert (row_of(ledger).actual, row_of(ledger).address) == ("ready", f"tls:{other}:7100")

    spare = part(ledger, has), part(ledger, other), part(ledger, has)
    assert sorted(each.desired for each in spare[1:]) == ["serve", "stop"], "one of the two lets go"
    assert len(row_of(ledger).addresses) == 1
    left = next(host for host in (has, other) if part(ledger, host).desired == "stop")
    ledger.observe_on(left, "demo", 1, "absent")
    with ledger.engine.connect() as connection:
        assert [row.host for row in connection.execute(select(serving_instances))] == [({has, other} - {left}).pop()]


def test_with_too_few_hosts_those_there_are_serve_it(ledger):
    all_there(ledger, A)
    ledger.want("demo", 1, "serve", hosts=3)
    assert part(ledger, A).desired == "serve"
    serve(ledger, A)
    assert (row_of(ledger).actual, row_of(ledger).detail) == ("ready", "on 1 of 3 hosts")


def test_a_host_that_cannot_serve_it_leaves_it_to_another(ledger):
    all_there(ledger, A, B)
    ledger.want("demo", 1, "serve")
    has, other = holder(ledger)
    ledger.observe_on(has, "demo", 1, "failed", detail="no memory")
    assert row_of(ledger).actual == "absent", "the other may be able to"
    assert part(ledger, other).desired == "serve"
    ledger.observe_on(other, "demo", 1, "failed", detail="neither")
    row = row_of(ledger)
    assert row.actual == "failed"
    assert f"{has}: no memory" in row.detail
    ledger.want("demo", 1, "serve")
    assert row_of(ledger).actual == "absent", "it is tried afresh when it is asked for again"
    assert "serve" in {part(ledger, A).desired, part(ledger, B).desired}


def test_more_instances_and_hosts_are_to_be_ready_too(ledger):
    all_there(ledger, A, B)
    ledger.want("demo", 1, "serve")
    has, other = holder(ledger)
    serve(ledger, has)
    ledger.want("demo", 1, "serve", hosts=2)
    part(ledger, has)
    assert (row_of(ledger).actual, part(ledger, other).desired) == ("starting", "serve")
    serve(ledger, other)
    assert row_of(ledger).actual == "ready"
    ledger.want("demo", 1, "serve", instances=2)
    assert (part(ledger, has).actual, row_of(ledger).actual) == ("starting", "starting")
    serve(ledger, has)
    serve(ledger, other)
    assert row_of(ledger).actual == "ready"


def test_where_the_database_was_away_for_all_each_waits_for_the_others(ledger):
    all_there(ledger, A, B)
    ledger.want("demo", 1, "serve", hosts=2)
    for host in (A, B):
        part(ledger, host)
        serve(ledger, host)
    age(ledger, until=3 * LEASE)
    part(ledger, A)
    assert len(row_of(ledger).addresses) == 2, "the first to be back does not take the other for lost"
    age(ledger, since=2 * LEASE, host=A)
    part(ledger, A)
    assert row_of(ledger).address == f"tls:{A}:7100", "but it does not wait for ever"


def test_a_host_that_stops_in_order_is_missed_at_once(ledger):
    all_there(ledger, A, B)
    ledger.want("demo", 1, "serve", hosts=2)
    for host in (A, B):
        part(ledger, host)
        serve(ledger, host)
    ledger.leave(B)
    part(ledger, A)
    assert (row_of(ledger).actual, row_of(ledger).address) == ("ready", f"tls:{A}:7100")


def test_what_is_stopped_or_deleted_ends_everywhere(ledger):
    all_there(ledger, A, B)
    ledger.want("demo", 1, "serve", hosts=2)
    for host in (A, B):
        part(ledger, host)
        serve(ledger, host)
    ledger.want("demo", 1, "stop")
    assert [part(ledger, host).desired for host in (A, B)] == ["stop", "stop"]
    assert row_of(ledger).actual == "ready", "it drains"
    for host in (A, B):
        ledger.observe_on(host, "demo", 1, "absent")
    assert row_of(ledger).actual == "absent"
    ledger.want("demo", 1, "serve", hosts=2)
    for host in (A, B):
        part(ledger, host)
    ledger.end_route("demo")
    assert ledger.take_part(A, "a") == []
    with ledger.engine.connect() as connection:
        assert connection.execute(select(serving_instances)).all() == []


@pytest.mark.slow
def test_hosts_and_deployers_at_once_on_postgresql(home: Settings):
    faults: list[Exception] = []

    def at_work(ledger: Ledger, host: str) -> None:
        try:
            for _ in range(30):
                part(ledger, host)
                serve(ledger, host)
                ledger.want("demo", 1, "serve", hosts=2, instances=1)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is told below
            faults.append(error)

    with postgres() as address, Ledger.open(home.model_copy(update={"ledger_url": address})) as ledger:
        ledger.want("demo", 1, "serve", hosts=2)
        threads = [threading.Thread(target=at_work, args=(ledger, host)) for host in (A, B)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
        assert row_of(ledger).addresses == [f"tls:{host}:7100" for host in (A, B)]
        assert [each.live for each in ledger.hosts()] == [True, True]
