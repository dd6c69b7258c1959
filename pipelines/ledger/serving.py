"""The serving table, the routes and their history."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, and_, insert, select, update

from pipelines.artifacts import canonical_json
from pipelines.errors import DeployError
from pipelines.ledger.connect import Connected, lock_table, now, upsert
from pipelines.ledger.nights import SupersededError
from pipelines.ledger.rollouts import settle_rollouts
from pipelines.ledger.rows import PublicationRow, ServiceRow, SwitchRow, all_of
from pipelines.ledger.schema import history, publications, routes, serving

GENESIS = "0" * 64


class ServingPart(Connected):
    """The serving table, the routes and their hash-chained history."""

    def want(self, model: str, version: int, desired: str, fence: int = 0) -> None:
        """Ask for a version to be served (``serve``) or not (``stop``); the live one is never stopped."""
        where = and_(serving.c.model == model, serving.c.version == version)
        with self.transaction() as connection:
            if desired == "stop":
                lock_table(connection, history)  # no switch between the look at the route and the note
                live = connection.execute(select(routes.c.version).where(routes.c.model == model)).scalar_one_or_none()
                if live == version:
                    return
            new = upsert(connection, serving).values(
                model=model, version=version, desired=desired, actual="absent", detail="", fence=fence, updated_at=now()
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
            # A service that failed before is tried afresh when it is asked for again.
            actual = "absent" if row.actual == "failed" and desired == "serve" else row.actual
            connection.execute(
                update(serving)
                .where(where)
                .values(desired=desired, actual=actual, fence=max(fence, row.fence), updated_at=now())
            )

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

    def switch(self, model: str, version: int, fence: int, why: str, actor: str, rollout: int | None = None) -> None:
        """Make ``version`` the live one: route, states, rollouts and history in one transaction.

        Parameters
        ----------
        rollout
            That the version went through; every other one of the model ends.

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
            asked = and_(serving.c.model == model, serving.c.version == version, serving.c.desired == "stop")
            connection.execute(update(serving).where(asked).values(desired="serve", updated_at=now()))
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
