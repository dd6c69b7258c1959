"""Hosts that share the serving table: each holds a lease, takes its part of the versions, and says what it has of them.

The row of a version in the serving table is gathered from what its hosts say, so whoever reads it sees the addresses
of all instances. All moments here are of the database's clock: those of hosts may differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, update

from pipelines.ledger.connect import Connected, lock_table, now, upsert
from pipelines.ledger.host_rows import HostRow, InstancesRow
from pipelines.ledger.rows import ServiceRow, all_of
from pipelines.ledger.schema import serving, serving_hosts, serving_instances

LEASE = timedelta(seconds=10)
"""How long a host that says nothing is believed to serve."""


class HostsPart(Connected):
    """The hosts that serve, and what each has of a version."""

    def hosts(self) -> list[HostRow]:
        """Return every host that ever served, by address."""
        with self.engine.connect() as connection:
            return _hosts(connection, _moment(connection))

    def renew(self, host: str, name: str) -> None:
        """Renew the lease of a host."""
        with self.transaction() as connection:
            lock_table(connection, serving_hosts)
            _renew(connection, host, name, _moment(connection))

    def take_part(self, host: str, name: str) -> list[ServiceRow]:
        """Renew the lease of a host, let it take or leave versions, and return the serving table as it is for it.

        A version is on as many live hosts as are asked for, or on all there are: those that have it keep it, and the
        next ones in an order of its own take what lacks. What is not for this host is to be stopped there.

        Parameters
        ----------
        host
            Its address.
        """
        with self.transaction() as connection:
            lock_table(connection, serving_hosts)  # one host decides at a time
            moment = _moment(connection)
            hosts = _renew(connection, host, name, moment)
            rows = all_of(ServiceRow, connection.execute(select(serving).order_by(serving.c.model, serving.c.version)))
            known = _instances(connection)
            of_host = serving_instances.c.host == host
            for key in {(each.model, each.version) for each in known if each.host == host}:
                if key not in {(row.model, row.version) for row in rows}:  # the version was deleted
                    connection.execute(delete(serving_instances).where(of_host, _of(*key)))
            return [_part(connection, row, host, hosts, known, moment) for row in rows]

    def leave(self, host: str) -> None:
        """End the lease of a host that stops in order: others take its place at once."""
        with self.transaction() as connection:
            lock_table(connection, serving_hosts)
            moment = _moment(connection)
            connection.execute(update(serving_hosts).where(serving_hosts.c.address == host).values(until=moment))

    def observe_on(
        self,
        host: str,
        model: str,
        version: int,
        actual: str,
        address: str | None = None,
        pid: int | None = None,
        detail: str = "",
    ) -> None:
        """Record what a host has of a version, as ``observe`` does on one machine."""
        which = and_(_of(model, version), serving_instances.c.host == host)
        with self.transaction() as connection:
            lock_table(connection, serving_hosts)
            moment = _moment(connection)
            seen = {"actual": actual, "address": address, "pid": pid, "detail": detail, "updated_at": moment}
            connection.execute(update(serving_instances).where(which).values(**seen))
            if actual == "absent":
                connection.execute(delete(serving_instances).where(which, serving_instances.c.desired == "stop"))
            row = connection.execute(select(serving).where(_service(model, version))).one_or_none()
            if row is not None:
                _gather(connection, ServiceRow(**row._mapping), _seen_by(connection, host, moment), moment)


def _part(
    connection: Connection,
    row: ServiceRow,
    host: str,
    hosts: Sequence[HostRow],
    known: Sequence[InstancesRow],
    moment: datetime,
) -> ServiceRow:
    """Let a host take a version or leave it; return the version's row as it is for that host."""
    of_version = [each for each in known if (each.model, each.version) == (row.model, row.version)]
    mine = next((each for each in of_version if each.host == host), None)
    desired = "serve" if row.desired == "serve" and _is_for(row, host, hosts, of_version) else "stop"
    if mine is None and desired == "serve":
        mine = InstancesRow(row.model, row.version, host, "serve", "absent", None, None, "", moment)
        connection.execute(serving_instances.insert().values(**asdict(mine)))
    elif mine is not None and mine.desired != desired:
        mine = replace(mine, desired=desired, updated_at=moment)
        which = and_(_of(row.model, row.version), serving_instances.c.host == host)
        connection.execute(update(serving_instances).where(which).values(desired=desired, updated_at=moment))
        if desired == "stop" and mine.actual == "absent":  # what never began has nothing to stop
            connection.execute(delete(serving_instances).where(which))
    _gather(connection, row, hosts, moment)
    if mine is None:
        return replace(row, desired="stop", actual="absent", address=None, pid=None, detail="")
    since = now() - (moment - mine.updated_at)  # by the clock of who asks
    state: dict[str, Any] = {"actual": mine.actual, "address": mine.address, "pid": mine.pid, "detail": mine.detail}
    return replace(row, desired=mine.desired, updated_at=since, **state)


def _is_for(row: ServiceRow, host: str, hosts: Sequence[HostRow], known: Iterable[InstancesRow]) -> bool:
    """Tell whether a host is to serve a version."""
    live = {each.address for each in hosts if each.live}
    here = {each.host: each for each in known if each.host in live}
    held = [each for each in here.values() if each.held]

    def order(address: str) -> bytes:
        return blake2b(f"{row.model} {address}".encode()).digest()

    if host not in {each.host for each in held}:
        if host in here and here[host].actual == "failed":
            return True  # what failed here is not tried again, and its error stays
        free = sorted((address for address in live - here.keys() | _stopped(here)), key=order)
        return host in free[: max(0, row.hosts - len(held))]
    first = sorted(held, key=lambda each: (each.actual != "ready", order(each.host)))[: row.hosts]
    # one too many goes once the others are ready, or if it is not
    spare = host not in {each.host for each in first}
    return not (spare and (here[host].actual != "ready" or all(each.actual == "ready" for each in first)))


def _stopped(here: dict[str, InstancesRow]) -> set[str]:
    return {address for address, each in here.items() if each.desired == "stop" and each.actual != "failed"}


def _gather(connection: Connection, row: ServiceRow, hosts: Sequence[HostRow], moment: datetime) -> None:
    """Write what the live hosts have of a version into its row."""
    live = {each.address for each in hosts if each.live}
    of_version = select(serving_instances).where(_of(row.model, row.version)).order_by(serving_instances.c.host)
    parts = [each for each in all_of(InstancesRow, connection.execute(of_version)) if each.host in live]
    held = [each for each in parts if each.held]
    ready = [each for each in held if each.actual == "ready"]
    failed = [each for each in parts if each.actual == "failed"]
    if row.desired == "stop":
        actual = row.actual if parts else "absent"
    elif ready and (len(ready) >= min(row.hosts, len(live) - len(failed)) or row.actual == "ready"):
        actual = "ready"
    elif failed and not held and len(failed) == len(live):
        actual = "failed"
    else:
        actual = "starting" if held else "absent"
    answering = ready or held
    lacking = f"on {len(ready)} of {row.hosts} hosts" if actual == "ready" and len(ready) < row.hosts else ""
    details = [*(f"{each.host}: {each.detail}" for each in parts if each.detail), lacking]
    seen = {
        "actual": actual,
        "address": " ".join(each.address for each in answering if each.address) or None,
        "pid": answering[0].pid if answering else None,
        "detail": "; ".join(filter(None, details)),
    }
    if seen != {"actual": row.actual, "address": row.address, "pid": row.pid, "detail": row.detail}:
        connection.execute(update(serving).where(_service(row.model, row.version)).values(**seen, updated_at=moment))


def _renew(connection: Connection, host: str, name: str, moment: datetime) -> list[HostRow]:
    """Renew the lease of a host; return all hosts as they are for it."""
    own = connection.execute(select(serving_hosts).where(serving_hosts.c.address == host)).one_or_none()
    since = moment if own is None or own.until < moment else own.since
    lease = {"name": name, "since": since, "beat_at": moment, "until": moment + LEASE}
    new = upsert(connection, serving_hosts).values(address=host, **lease)
    connection.execute(new.on_conflict_do_update(index_elements=[serving_hosts.c.address], set_=lease))
    return _seen_by(connection, host, moment)


def _seen_by(connection: Connection, host: str, moment: datetime) -> list[HostRow]:
    """Return all hosts as they are for one of them.

    Another one is lost to it only if its own lease was renewed without a gap for as long: where the database was away
    for all of them, each waits for the others.
    """
    hosts = _hosts(connection, moment)
    own = next((each for each in hosts if each.address == host), None)
    if own is None or moment - own.since >= LEASE:
        return hosts
    return [replace(each, live=each.live or each.until > own.since - 6 * LEASE) for each in hosts]


def _of(model: str, version: int) -> ColumnElement[bool]:
    return and_(serving_instances.c.model == model, serving_instances.c.version == version)


def _service(model: str, version: int) -> ColumnElement[bool]:
    return and_(serving.c.model == model, serving.c.version == version)


def _hosts(connection: Connection, moment: datetime) -> list[HostRow]:
    rows = connection.execute(select(serving_hosts).order_by(serving_hosts.c.address))
    return [HostRow(**row._mapping, live=row.until > moment) for row in rows]


def _instances(connection: Connection) -> list[InstancesRow]:
    return all_of(InstancesRow, connection.execute(select(serving_instances)))


def _moment(connection: Connection) -> datetime:
    """Return the time by the database's clock; a SQLite file has none of its own."""
    if connection.dialect.name != "postgresql":
        return now()
    found: datetime = connection.execute(select(func.timezone("utc", func.clock_timestamp()))).scalar_one()
    return found.replace(tzinfo=UTC)
