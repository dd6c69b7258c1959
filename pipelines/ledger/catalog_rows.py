"""What the ledger returns of the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class CatalogRow:
    """What people say of a model; None: nobody said anything.

    Parameters
    ----------
    revision
        Goes up with each change; 0: there was none.
    columns
        That a request of the newest version has.
    """

    model: str
    revision: int = 0
    description: str | None = None
    domain: str | None = None
    owner: str | None = None
    licence: str | None = None
    tags: list[str] | None = None
    use_cases: list[str] | None = None
    related: list[str] | None = None
    columns: list[str] | None = None
    archived_at: datetime | None = None
    archived_by: str | None = None
    archived_why: str | None = None
    updated_at: datetime | None = None
    updated_by: str | None = None

    @property
    def archived(self) -> str:
        """Who archived it, when and why, in words; empty: it is not archived."""
        if self.archived_at is None:
            return ""
        return f"archived {self.archived_at:%Y-%m-%d %H:%M} UTC by {self.archived_by}: {self.archived_why}"


@dataclass(frozen=True)
class NoteRow:
    """A note on a model, or on one of its versions."""

    id: int
    model: str
    version: int | None
    at: datetime
    actor: str
    text: str


@dataclass(frozen=True)
class RatingRow:
    """What a person thinks of a model: 1 to 5 stars, and why."""

    model: str
    actor: str
    stars: int
    text: str
    at: datetime
