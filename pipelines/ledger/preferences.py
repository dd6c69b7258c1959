"""What each person likes and has seen, and what models have in common: callers, targets, keys, sources."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import and_, func, or_, select

from pipelines.ledger.connect import Connected, now, upsert
from pipelines.ledger.rows import all_of
from pipelines.ledger.schema import access_requests, models, preferences, publications, stages, usage

SEEN_EVERY = timedelta(hours=1)
"""How exactly it is kept when a person last saw a model."""


@dataclass(frozen=True)
class PreferenceRow:
    """A model that a person likes or has seen."""

    person: str
    model: str
    favourite_at: datetime | None
    seen_at: datetime | None


@dataclass(frozen=True)
class MadeOf:
    """What a model is about: its target, the columns of its key, and the settings of its newest version's ingest."""

    model: str
    target: str | None
    key: list[str] | None
    ingest: dict[str, Any] | None


class PreferencesPart(Connected):
    """Favourites, what was seen, and what is like it."""

    def set_favourite(self, person: str, model: str, favourite: bool) -> None:
        """Make a model a favourite of a person, or no longer."""
        fields = {"favourite_at": now() if favourite else None}
        with self.transaction() as connection:
            new = upsert(connection, preferences).values(person=person, model=model, **fields)
            connection.execute(new.on_conflict_do_update(index_elements=_OF_PERSON, set_=fields))

    def saw(self, person: str, model: str) -> None:
        """Record that a person saw a model, at most once an hour."""
        moment = now()
        before = or_(preferences.c.seen_at.is_(None), preferences.c.seen_at <= moment - SEEN_EVERY)
        with self.transaction() as connection:
            new = upsert(connection, preferences).values(person=person, model=model, seen_at=moment)
            kept = new.on_conflict_do_update(index_elements=_OF_PERSON, set_={"seen_at": moment}, where=before)
            connection.execute(kept)

    def preferences(self, person: str) -> list[PreferenceRow]:
        """Return what a person likes or has seen, by model."""
        query = select(preferences).where(preferences.c.person == person).order_by(preferences.c.model)
        with self.engine.connect() as connection:
            return all_of(PreferenceRow, connection.execute(query))

    def calls_by_token(self, since: date) -> list[tuple[str, str | None, str, int]]:
        """Return who called what since a day: token, the person who drew it if one did, model, requests."""
        requests = func.sum(usage.c.requests).label("requests")
        recent = select(usage.c.token, usage.c.model, requests).where(usage.c.day >= since)
        calls = recent.group_by(usage.c.token, usage.c.model).subquery()
        columns = (calls.c.token, access_requests.c.person, calls.c.model, calls.c.requests)
        query = select(*columns).select_from(calls.outerjoin(access_requests, access_requests.c.token == calls.c.token))
        with self.engine.connect() as connection:
            return [(row[0], row[1], row[2], int(row[3])) for row in connection.execute(query)]

    def made_of(self) -> list[MadeOf]:
        """Return what each model is about, by name."""
        other = publications.alias()
        last = select(func.max(other.c.version)).where(other.c.model == models.c.name).scalar_subquery()
        newest = and_(publications.c.model == models.c.name, publications.c.version == last)
        ingest = and_(
            stages.c.model == models.c.name, stages.c.night == publications.c.night, stages.c.stage == "ingest"
        )
        query = select(
            models.c.name.label("model"),
            models.c.spec["target"].as_string().label("target"),
            models.c.spec["key"].label("key"),
            stages.c.spec.label("ingest"),
        ).select_from(models.outerjoin(publications, newest).outerjoin(stages, ingest))
        with self.engine.connect() as connection:
            return all_of(MadeOf, connection.execute(query.order_by(models.c.name)))


_OF_PERSON = [preferences.c.person, preferences.c.model]
