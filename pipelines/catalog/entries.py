"""Entries: what people say of a model, over what its DAG file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.ledger import Ledger
from pipelines.ledger.catalog_rows import CatalogRow, NoteRow, RatingRow


@dataclass(frozen=True)
class Entry:
    """A model as the catalog shows it.

    Parameters
    ----------
    owner
        Whom people named, else whom the DAG file names.
    stars, raters
        Mean of the ratings, and how many there are.
    said
        Fields that people filled.
    """

    model: str
    task: str
    target: str
    description: str
    domain: str
    owner: str
    licence: str
    tags: tuple[str, ...]
    use_cases: tuple[str, ...]
    related: tuple[str, ...]
    columns: tuple[str, ...]
    archived: str
    stars: float | None
    raters: int
    revision: int
    said: tuple[str, ...]

    @property
    def etag(self) -> str:
        """What a change must name to be refused once somebody else has made one."""
        return f'"{self.revision}"'

    def as_json(self) -> dict[str, Any]:
        """Return what API and terminal show."""
        names = ("model", "task", "target", "description", "domain", "owner", "licence")
        lists = {name: list(getattr(self, name)) for name in ("tags", "use_cases", "related", "columns", "said")}
        rating = {"stars": None if self.stars is None else round(self.stars, 2), "people": self.raters}
        facts = {name: getattr(self, name) for name in names}
        return {**facts, **lists, "archived": self.archived, "rating": rating, "revision": self.revision}


def entry(model: str, spec: Mapping[str, Any], row: CatalogRow, rating: tuple[float, int] | None = None) -> Entry:
    """Return the entry of a model.

    Parameters
    ----------
    spec
        The model's newest spec.
    rating
        Mean and number of its ratings.
    """
    stars, raters = rating or (None, 0)
    fields = ("description", "domain", "owner", "licence", "tags", "use_cases", "related")
    return Entry(
        model=model,
        task=str(spec.get("task", "")),
        target=str(spec.get("target") or ""),
        description=row.description or "",
        domain=row.domain or "",
        owner=row.owner or str(spec.get("owner") or ""),
        licence=row.licence or "",
        tags=tuple(row.tags or ()),
        use_cases=tuple(row.use_cases or ()),
        related=tuple(row.related or ()),
        columns=tuple(row.columns or ()),
        archived=row.archived,
        stars=stars,
        raters=raters,
        revision=row.revision,
        said=tuple(name for name in fields if getattr(row, name)),
    )


def entries(ledger: Ledger, texts: bool = True) -> list[Entry]:
    """Return the entries of all models by name, in four statements; ``texts`` as :meth:`Ledger.catalog_rows` has it."""
    rows, ratings = ledger.catalog_rows(texts), ledger.mean_ratings()
    return [
        entry(name, spec, rows.get(name) or CatalogRow(name), ratings.get(name))
        for name, spec in ledger.model_specs().items()
    ]


def note_json(row: NoteRow) -> dict[str, Any]:
    """Return a note as API and terminal show it."""
    at = row.at.isoformat(timespec="seconds")
    return {"note": row.id, "version": row.version, "at": at, "by": row.actor, "text": row.text}


def rating_json(row: RatingRow) -> dict[str, Any]:
    """Return a rating as API and terminal show it."""
    return {"stars": row.stars, "text": row.text, "by": row.actor, "at": row.at.isoformat(timespec="seconds")}
