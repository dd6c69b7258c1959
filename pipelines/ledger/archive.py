"""What an archived model does no longer: begin a night, answer callers again, go live."""

from __future__ import annotations

from sqlalchemy import Connection, select

from pipelines.errors import SpecError
from pipelines.ledger.catalog_rows import CatalogRow
from pipelines.ledger.rows import one_of
from pipelines.ledger.schema import catalog


class InUseError(SpecError):
    """The model is in a state in which this cannot be done."""


def refuse_archived(row: CatalogRow) -> None:
    """Refuse what an archived model does no longer.

    Raises
    ------
    InUseError
        It is archived.
    """
    if row.archived:
        raise InUseError(
            "this model is archived",
            where=row.model,
            seen=row.archived,
            expected="a model that is not archived",
            cure=f"aimass catalog unarchive {row.model} --why TEXT",
        )


def refuse_if_archived(connection: Connection, model: str) -> None:
    """Refuse to begin a night of an archived model, in the transaction that begins it."""
    refuse_archived(row_of(connection, model))


def row_of(connection: Connection, model: str) -> CatalogRow:
    """Return what is said of a model; an empty row if that is nothing."""
    found = connection.execute(select(catalog).where(catalog.c.model == model)).one_or_none()
    return one_of(CatalogRow, found) or CatalogRow(model)
