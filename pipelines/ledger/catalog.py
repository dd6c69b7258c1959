"""What people say of models: descriptions, notes, ratings, and which are archived; each change with who made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, and_, delete, exists, func, insert, select, update

from pipelines.ledger.actions import DONE, ActionRow
from pipelines.ledger.archive import InUseError, row_of
from pipelines.ledger.catalog_rows import CatalogRow, NoteRow, RatingRow
from pipelines.ledger.connect import Connected, lock_table, now, upsert
from pipelines.ledger.rows import all_of, one_of
from pipelines.ledger.schema import actions, catalog, catalog_notes, catalog_ratings, models, nights
from pipelines.ledger.versions import DELETED

A_NIGHT_AT_MOST = timedelta(days=1)
"""A night that is said to run and was begun before that was killed."""


class CatalogPart(Connected):
    """The catalog."""

    def catalog_row(self, model: str) -> CatalogRow:
        """Return what is said of a model; an empty row if that is nothing."""
        with self.engine.connect() as connection:
            return row_of(connection, model)

    def catalog_rows(self, texts: bool = True) -> dict[str, CatalogRow]:
        """Return what is said of each model, by name; without ``texts`` the descriptions and columns are left out."""
        long = () if texts else ("description", "columns", "use_cases")
        with self.engine.connect() as connection:
            found = connection.execute(select(*(each for each in catalog.c if each.name not in long)))
            return {row.model: row for row in all_of(CatalogRow, found)}

    def catalog_domains(self) -> dict[str, str]:
        """Return the domain of each model that has one."""
        with self.engine.connect() as connection:
            found = connection.execute(select(catalog.c.model, catalog.c.domain).where(catalog.c.domain.is_not(None)))
            return {row.model: row.domain for row in found}

    def model_specs(self) -> dict[str, dict[str, Any]]:
        """Return the newest spec of each model, by name; a model that was deleted as a whole is left out."""
        query = select(models.c.name, models.c.spec).where(~_DELETED).order_by(models.c.name)
        with self.engine.connect() as connection:
            return {name: dict(spec) for name, spec in connection.execute(query)}

    def model_names(self) -> list[str]:
        """Return the names of all models, without those that were deleted as a whole."""
        with self.engine.connect() as connection:
            return list(connection.scalars(select(models.c.name).where(~_DELETED).order_by(models.c.name)))

    def describe_model(
        self, model: str, fields: Mapping[str, Any], *, actor: str, seen: int | None = None
    ) -> CatalogRow | None:
        """Change what is said of a model; None: since ``seen`` somebody changed it, so nothing is done.

        Parameters
        ----------
        fields
            Columns of the table and their values; those that are the same already are no change.
        seen
            Revision that the person saw; None: whichever it is.
        """
        with self.transaction() as connection:
            row = _held(connection, model)
            if seen is not None and seen != row.revision:
                return None
            before = asdict(row)
            changed = {name: value for name, value in fields.items() if before[name] != value}
            if not changed:
                return row
            about = {"changed": {name: [before[name], value] for name, value in changed.items()}}
            return _changed(connection, row, changed, "describe", actor, "", about)

    def archive_model(
        self, model: str, archived: bool, *, actor: str, why: str, seen: int | None = None
    ) -> CatalogRow | None:
        """Archive a model, or take it back; None: since ``seen`` somebody changed it.

        Raises
        ------
        InUseError
            A night of it is running: nothing else can begin one before this transaction ends.
        """
        with self.transaction() as connection:
            lock_table(connection, nights)
            row = _held(connection, model)
            if seen is not None and seen != row.revision:
                return None
            if archived:
                _no_night_runs(connection, model)
            fields = {"at": now(), "by": actor, "why": why} if archived else dict.fromkeys(("at", "by", "why"))
            change = {f"archived_{name}": value for name, value in fields.items()}
            return _changed(connection, row, change, "archive" if archived else "unarchive", actor, why, {})

    def archived(self, model: str) -> str:
        """Return who archived a model, when and why; empty: it is not archived."""
        return self.catalog_row(model).archived

    def catalog_changes(self, model: str, after: int = 0, most: int = 20) -> list[ActionRow]:
        """Return what changed in the entry of a model after a revision, newest first."""
        kinds = and_(actions.c.model == model, actions.c.kind.in_(("describe", "archive", "unarchive")))
        query = select(actions).where(kinds).order_by(actions.c.id.desc()).limit(most)
        with self.engine.connect() as connection:
            found = all_of(ActionRow, connection.execute(query))
        return [row for row in found if int(row.about.get("revision", 0)) > after]

    def keep_columns(self, model: str, columns: Sequence[str]) -> None:
        """Record which columns a request of the newest version has, for the search; no revision of an entry."""
        with self.transaction() as connection:
            _held(connection, model)
            where = catalog.c.model == model
            connection.execute(update(catalog).where(where).values(columns=list(columns)))

    def add_note(self, model: str, text: str, *, actor: str, version: int | None = None) -> NoteRow:
        """Keep a note on a model, or on one of its versions."""
        fields = {"model": model, "version": version, "at": now(), "actor": actor, "text": text}
        with self.transaction() as connection:
            made = connection.execute(insert(catalog_notes).values(**fields).returning(*catalog_notes.c)).one()
            return NoteRow(**made._mapping)

    def remove_note(self, number: int, actor: str) -> None:
        """Remove a note; the ledger keeps that it was there, and what it said."""
        with self.transaction() as connection:
            gone = delete(catalog_notes).where(catalog_notes.c.id == number).returning(*catalog_notes.c)
            row = one_of(NoteRow, connection.execute(gone).one_or_none())
            if row is not None:
                about = {"removed": number, "text": row.text, "by": row.actor, "version": row.version}
                _record(connection, row.model, "note", actor, "", about)

    def note(self, number: int) -> NoteRow | None:
        """Return one note."""
        with self.engine.connect() as connection:
            found = connection.execute(select(catalog_notes).where(catalog_notes.c.id == number))
            return one_of(NoteRow, found.one_or_none())

    def notes(self, model: str, most: int = 200) -> list[NoteRow]:
        """Return the newest notes on a model and its versions, newest first."""
        query = select(catalog_notes).where(catalog_notes.c.model == model).order_by(catalog_notes.c.id.desc())
        with self.engine.connect() as connection:
            return all_of(NoteRow, connection.execute(query.limit(most)))

    def note_texts(self) -> dict[str, str]:
        """Return by model the texts of its notes, for the search."""
        found: dict[str, str] = {}
        with self.engine.connect() as connection:
            for model, text in connection.execute(select(catalog_notes.c.model, catalog_notes.c.text)):
                found[model] = f"{found.get(model, '')}\n{text}"
        return found

    def rate_model(self, model: str, stars: int, text: str, *, actor: str) -> RatingRow:
        """Keep what a person thinks of a model; what the same person said before is replaced."""
        fields = {"stars": stars, "text": text, "at": now()}
        with self.transaction() as connection:
            new = upsert(connection, catalog_ratings).values(model=model, actor=actor, **fields)
            keys = [catalog_ratings.c.model, catalog_ratings.c.actor]
            made = new.on_conflict_do_update(index_elements=keys, set_=fields).returning(*catalog_ratings.c)
            return RatingRow(**connection.execute(made).one()._mapping)

    def withdraw_rating(self, model: str, actor: str) -> bool:
        """Forget what a person thinks of a model; tell whether there was something."""
        mine = and_(catalog_ratings.c.model == model, catalog_ratings.c.actor == actor)
        with self.transaction() as connection:
            return bool(connection.execute(delete(catalog_ratings).where(mine)).rowcount)

    def ratings(self, model: str) -> list[RatingRow]:
        """Return the ratings of a model, newest first."""
        query = select(catalog_ratings).where(catalog_ratings.c.model == model)
        with self.engine.connect() as connection:
            return all_of(RatingRow, connection.execute(query.order_by(catalog_ratings.c.at.desc())))

    def mean_ratings(self) -> dict[str, tuple[float, int]]:
        """Return by model the mean of its stars, and how many people rated it."""
        mean, count = func.avg(catalog_ratings.c.stars), func.count()
        query = select(catalog_ratings.c.model, mean, count).group_by(catalog_ratings.c.model)
        with self.engine.connect() as connection:
            return {model: (float(stars), int(people)) for model, stars, people in connection.execute(query)}


def _held(connection: Connection, model: str) -> CatalogRow:
    """Lock the row of a model, which is made if there is none, and return it."""
    new = upsert(connection, catalog).values(model=model, revision=0)
    connection.execute(new.on_conflict_do_nothing())
    found = connection.execute(select(catalog).where(catalog.c.model == model).with_for_update())
    return CatalogRow(**found.one()._mapping)


def _changed(
    connection: Connection,
    row: CatalogRow,
    fields: Mapping[str, Any],
    kind: str,
    actor: str,
    why: str,
    about: Mapping[str, Any],
) -> CatalogRow:
    """Write a change of an entry and the record of it."""
    revision = row.revision + 1
    values = {**fields, "revision": revision, "updated_at": now(), "updated_by": actor}
    made = update(catalog).where(catalog.c.model == row.model).values(**values).returning(*catalog.c)
    _record(connection, row.model, kind, actor, why, {**about, "revision": revision})
    return CatalogRow(**connection.execute(made).one()._mapping)


def _record(connection: Connection, model: str, kind: str, actor: str, why: str, about: Mapping[str, Any]) -> None:
    fields = {"at": now(), "model": model, "kind": kind, "actor": actor, "why": why, "about": dict(about)}
    connection.execute(insert(actions).values(**fields, outcome=DONE))


def _no_night_runs(connection: Connection, model: str) -> None:
    running = and_(nights.c.model == model, nights.c.state == "running", nights.c.started_at > now() - A_NIGHT_AT_MOST)
    night = connection.execute(select(nights.c.night).where(running).limit(1)).scalar_one_or_none()
    if night is not None:
        raise InUseError(
            "a night of this model is running",
            where=model,
            seen=night,
            expected="no running night",
            cure="wait for its end, or stop it in Airflow; then archive the model",
        )


_OF_MODEL = nights.c.model == models.c.name
_DELETED = and_(exists().where(_OF_MODEL), ~exists().where(and_(_OF_MODEL, nights.c.state != DELETED)))
"""Of a model: it has nights, and all are of deleted versions."""
