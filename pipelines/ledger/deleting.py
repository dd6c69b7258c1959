"""What is deleted for good: the ledger keeps that it was there, who deleted it, when and why."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, delete, select, update

from pipelines.errors import SpecError
from pipelines.ledger.connect import Connected, lock_table, now
from pipelines.ledger.rows import PublicationRow, all_of
from pipelines.ledger.schema import (
    catalog,
    catalog_notes,
    catalog_ratings,
    history,
    nights,
    publications,
    routes,
    serving,
    serving_hosts,
    serving_instances,
    stages,
)
from pipelines.ledger.versions import DELETED

SERVED_BY = "its service is wanted"


class DeletingPart(Connected):
    """Versions and nights that were deleted."""

    def mark_version_deleted(self, model: str, version: int, actor: str, why: str) -> None:
        """Record that a version is deleted; nothing refers to its files from then on. Its number stays taken.

        Raises
        ------
        SpecError
            It is live, or its service is wanted: both may have changed since somebody looked.
        """
        which = and_(publications.c.model == model, publications.c.version == version)
        of_service = and_(serving.c.model == model, serving.c.version == version)
        with self.transaction() as connection:
            lock_table(connection, history)  # no switch meanwhile
            live = connection.execute(select(routes.c.version).where(routes.c.model == model)).scalar_one_or_none()
            wanted = connection.execute(select(serving.c.desired).where(of_service)).scalar_one_or_none()
            if live == version or wanted == "serve":
                raise SpecError(
                    "the version cannot be deleted",
                    where=f"{model} version {version}",
                    seen="it is live" if live == version else SERVED_BY,
                    cure=f"aimass versions {model} tells which are live or served",
                )
            verdict = connection.execute(select(publications.c.verdict).where(which)).scalar_one_or_none()
            gone = dict.fromkeys(("model_uri", "bento_uri", "mlflow_run"))
            kept = {**(verdict or {}), DELETED: _record(actor, why)}
            connection.execute(update(publications).where(which).values(state=DELETED, verdict=kept, **gone))
            connection.execute(delete(serving).where(of_service))

    def mark_night_deleted(self, model: str, night: str, actor: str, why: str) -> None:
        """Record that a night is deleted; its stages are forgotten, so that nothing of it is re-used."""
        which = and_(nights.c.model == model, nights.c.night == night)
        with self.transaction() as connection:
            verdict = connection.execute(select(nights.c.verdict).where(which)).scalar_one_or_none()
            kept = {**(verdict or {}), DELETED: _record(actor, why)}
            connection.execute(update(nights).where(which).values(state=DELETED, verdict=kept))
            connection.execute(delete(stages).where(and_(stages.c.model == model, stages.c.night == night)))

    def end_route(self, model: str) -> None:
        """Forget what is live of a model, its services and its entry: the model as a whole is deleted."""
        with self.transaction() as connection:
            lock_table(connection, history)
            lock_table(connection, serving_hosts)
            live = and_(publications.c.model == model, publications.c.state == "live")
            connection.execute(update(publications).where(live).values(state="retired"))
            for table in (routes, serving, serving_instances, catalog, catalog_notes, catalog_ratings):
                connection.execute(delete(table).where(table.c.model == model))

    def is_model_deleted(self, model: str) -> bool:
        """Tell whether the model as a whole was deleted: nothing is live, and no night of it is left."""
        of_model = select(nights.c.state).where(nights.c.model == model).distinct()
        live = select(routes.c.version).where(routes.c.model == model)
        with self.engine.connect() as connection:
            states = set(connection.execute(of_model).scalars())
            return states == {DELETED} and connection.execute(live).scalar_one_or_none() is None

    def deleted_versions(self, model: str | None = None) -> list[PublicationRow]:
        """Return the versions that were deleted, of one model or all, oldest first; who and why is in their verdict."""
        found = select(publications).where(publications.c.state == DELETED).order_by(publications.c.version)
        if model is not None:
            found = found.where(publications.c.model == model)
        with self.engine.connect() as connection:
            return all_of(PublicationRow, connection.execute(found))

    def version_addresses(self) -> set[str]:
        """Return every address that a version names: model directories, tags of bentos, runs of MLflow."""
        columns = (publications.c.model_uri, publications.c.bento_uri, publications.c.mlflow_run)
        with self.engine.connect() as connection:
            return {str(value) for row in connection.execute(select(*columns)) for value in row if value}


def _record(actor: str, why: str) -> dict[str, Any]:
    return {"at": now().isoformat(timespec="seconds"), "by": actor, "why": why}
