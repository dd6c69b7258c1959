"""The serving table, the routes and their history."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select, update

from pipelines.artifacts import canonical_json
from pipelines.errors import DeployError
from pipelines.ledger.connect import Connected, lock_table, now, upsert
from pipelines.ledger.nights import SupersededError
from pipelines.ledger.rollouts import settle_rollouts
from pipelines.ledger.rows import PublicationRow, ServiceRow, SwitchRow, all_of
from pipelines.ledger.schema import history, publications, routes, serving, serving_hosts, serving_instances

GENESIS = "0" * 64
WARM = timedelta(hours=1)


class ServingPart(Connected):
    """The serving table, the routes and their hash-chained history."""

    def want(
        self,
        model: str,
        version: int,
        desired: str,
        fence: int = 0,
        *,
        instances: int | None = None,
        until: datetime | None = None,
        hosts: int | None = None,
    ) -> None:
        """Ask for a version to be served (``serve``) or not (``stop``); the live one is never stopped.

        Parameters
        ----------
        instances
            Processes that serve it, on each host; default: as many as before, one at first.
        until
            End of its lease, after which the controller stops it; the live one has none. One that is served keeps
            its own lease if that is longer. Default: no lease.
        hosts
            That it is served on, where several serve; default: as many as before, one at first.
        """
        where = and_(serving.c.model == model, serving.c.version == version)
        with self.transaction() as connection:
            lock_table(connection, history)  # no switch between the look at the route and the note
            lock_table(connection, serving_hosts)  # hosts write both tables of services, in another order
            live = connection.execute(select(routes.c.version).where(routes.c.model == model)).scalar_one_or_none()
            if live == version:
                if desired == "stop":
                    return
                until = None
            asked = {"desired": desired, "fence": fence, "instances": instances or 1, "until": until}
            asked["hosts"] = hosts or 1
            new = upsert(connection, serving).values(
                model=model, version=version, actual="absent", detail="", updated_at=now(), **asked
            )
            if connection.execute(new.on_conflict_do_nothing().returning(serving.c.version)).one_or_none() is not None:
                return
            row = connection.execute(select(serving).where(where).with_for_update()).one()
            if fence and row.fence > fence:
                raise SupersededError(
                    "a newer attempt decides about this service",
                    where=f"{model} version {version}",
                    seen=f"fence {fence}",
                    expected=f"fence {row.fence}",
                )
            asked |= {"fence": max(fence, row.fence), "instances": instances or row.instances, "actual": row.actual}
            asked["hosts"] = hosts or row.hosts
            if desired == "serve":
                on_hosts = and_(serving_instances.c.model == model, serving_instances.c.version == version)
                # it is tried afresh when it is asked for again
                connection.execute(delete(serving_instances).where(on_hosts, serving_instances.c.actual == "failed"))
                if row.actual == "failed":
                    asked["actual"] = "absent"
                elif row.actual == "ready" and (asked["instances"] > row.instances or asked["hosts"] > row.hosts):
                    asked["actual"] = "starting"  # the others are to be ready, too
                    if asked["instances"] > row.instances:
                        connection.execute(update(serving_instances).where(on_hosts).values(actual="starting"))
                if row.desired == "serve" and until and row.until:
                    asked["until"] = max(until, row.until)
            connection.execute(update(serving).where(where).values(**asked, updated_at=now()))

    def end_lease(self, model: str, version: int) -> None:
        """Ask for a version to stop whose lease is over; one that went live or was asked for meanwhile goes on."""
        over = and_(serving.c.model == model, serving.c.version == version, serving.c.until <= now())
        with self.transaction() as connection:
            connection.execute(update(serving).where(over).values(desired="stop", updated_at=now()))

    def observe(
        self,
        model: str,
        version: int,
        actual: str,
        address: str | None = None,
        pid: int | None = None,
        detail: str = "",
    ) -> None:
        """Record what the supervisor sees: ``absent``, ``starting``, ``ready`` or ``failed``."""
        with self.transaction() as connection:
            connection.execute(
                update(serving)
                .where(and_(serving.c.model == model, serving.c.version == version))
                .values(actual=actual, address=address, pid=pid, detail=detail, updated_at=now())
            )

    def serving(self, model: str | None = None) -> list[ServiceRow]:
        """Return the serving table, or a model's part of it."""
        query = select(serving).order_by(serving.c.model, serving.c.version)
        if model is not None:
            query = query.where(serving.c.model == model)
        with self.engine.connect() as connection:
            return all_of(ServiceRow, connection.execute(query))

    def switch(
        self,
        model: str,
        version: int,
        fence: int,
        why: str,
        actor: str,
        *,
        rollout: int | None = None,
        warm: timedelta = WARM,
    ) -> None:
        """Make ``version`` the live one: route, states, leases, rollouts and history in one transaction.

        Parameters
        ----------
        rollout
            That the version went through; every other one of the model ends.
        warm
            How long the version that was live before is still served, so that a rollback finds it ready.

        Raises
        ------
        DeployError
            If the version is unknown, or the rollout was ended meanwhile.
        SupersededError
            If a newer attempt holds its publication, or a later night is live: a backfill never moves what is live
            (``fence`` 0 asks as a person and is not fenced).
        """
        of_model = publications.c.model == model
        with self.transaction() as connection:
            lock_table(connection, history)  # one switch at a time: each entry of the chain has one successor
            of_all = select(publications).where(of_model).order_by(publications.c.night).with_for_update()
            rows = all_of(PublicationRow, connection.execute(of_all))
            row = next((each for each in rows if each.version == version), None)
            if row is None:
                raise DeployError(
                    "no such version",
                    where=model,
                    seen=version,
                    expected="a registered version",
                    cure="aimass show NAME",
                )
            if fence and row.fence > fence:
                raise SupersededError(
                    "a newer attempt decides what is live",
                    where=f"{model} version {version}",
                    seen=f"fence {fence}",
                    expected=f"fence {row.fence}",
                )
            is_live = and_(of_model, publications.c.state == "live")
            live = next((each for each in rows if each.state == "live"), None)
            if fence and live is not None and live.as_of and row.as_of and live.as_of > row.as_of:
                raise SupersededError(
                    "a later night went live meanwhile",
                    where=f"{model} version {version}",
                    seen=row.as_of.isoformat(),
                    expected=f"version {live.version} of {live.as_of.isoformat()} to stay live",
                )
            settle_rollouts(connection, model, rollout, version)
            before = connection.execute(select(routes.c.version).where(routes.c.model == model)).scalar_one_or_none()
            if before == version and row.state == "live":
                return
            connection.execute(update(publications).where(is_live).values(state="retired"))
            connection.execute(
                update(publications)
                .where(and_(of_model, publications.c.version == version))
                .values(state="live", live_at=now())
            )
            new = upsert(connection, routes).values(model=model, version=version, updated_at=now())
            moved = {"version": version, "updated_at": new.excluded.updated_at}
            connection.execute(new.on_conflict_do_update(index_elements=[routes.c.model], set_=moved))
            # whoever retires others meanwhile may have asked for this one to stop
            service = and_(serving.c.model == model, serving.c.version == version)
            connection.execute(update(serving).where(service).values(desired="serve", until=None, updated_at=now()))
            if before is not None and before != version:
                former = and_(serving.c.model == model, serving.c.version == before)
                connection.execute(update(serving).where(former).values(until=now() + warm, updated_at=now()))
            _chain(connection, model, before, version, why, actor)

    def routes(self) -> dict[str, int]:
        """Return the live version of each model."""
        with self.engine.connect() as connection:
            return {row.model: row.version for row in connection.execute(select(routes))}

    def route(self, model: str) -> int | None:
        """Return a model's live version."""
        return self.routes().get(model)

    def history(self, model: str | None = None) -> list[SwitchRow]:
        """Return every switch, oldest first."""
        query = select(history).order_by(history.c.id)
        if model is not None:
            query = query.where(history.c.model == model)
        with self.engine.connect() as connection:
            return all_of(SwitchRow, connection.execute(query))

    def verify_history(self) -> bool:
        """Return whether every entry still hashes to what it did when it was written."""
        return self.broken_history() is None

    def broken_history(self) -> SwitchRow | None:
        """Return the first entry that does not hash to what it did when it was written; None if all do."""
        previous = GENESIS
        for row in self.history():
            if row.previous_hash != previous or row.hash != _hash(_entry(asdict(row)), previous):
                return row
            previous = row.hash
        return None


def _entry(fields: Any) -> dict[str, Any]:
    names = ("model", "from_version", "to_version", "why", "actor")
    return {"at": fields["at"].isoformat(), **{name: fields[name] for name in names}}


def _hash(entry: dict[str, Any], previous: str) -> str:
    return hashlib.sha256((previous + canonical_json(entry)).encode()).hexdigest()


def _chain(connection: Connection, model: str, before: int | None, version: int, why: str, actor: str) -> None:
    last = connection.execute(select(history.c.hash).order_by(history.c.id.desc()).limit(1)).scalar_one_or_none()
    previous = last or GENESIS
    fields = {"at": now(), "model": model, "from_version": before, "to_version": version, "why": why, "actor": actor}
    connection.execute(insert(history).values(**fields, previous_hash=previous, hash=_hash(_entry(fields), previous)))
