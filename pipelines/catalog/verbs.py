"""What people do in the catalog, for terminal, API and page alike: each is checked, made and recorded in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.catalog import fields as given
from pipelines.catalog.entries import Entry, entry
from pipelines.errors import SpecError
from pipelines.ledger import Ledger
from pipelines.ledger.actions import ActionRow
from pipelines.ledger.archive import InUseError
from pipelines.ledger.catalog_rows import CatalogRow, NoteRow, RatingRow
from pipelines.settings import Settings
from pipelines.spec import NAME, did_you_mean

ATTEMPTS = 5
"""How often a change of tags is made anew when somebody else changes the entry meanwhile."""
CALLED_DAYS = 7


class StaleError(SpecError):
    """Somebody changed the entry since it was read; ``changes`` are theirs, the newest first."""

    def __init__(self, ledger: Ledger, model: str, seen: int) -> None:
        self.changes = ledger.catalog_changes(model, seen)
        super().__init__(
            "nothing was changed: somebody changed this entry since it was read",
            where=model,
            seen=f"revision {seen}",
            expected=f"revision {ledger.catalog_row(model).revision}",
            cure="read it again, and decide anew",
            faults=[told(row) for row in self.changes],
        )


class MissingError(SpecError):
    """There is no such model, version or note."""


class NotYoursError(SpecError):
    """What somebody else wrote is not theirs to remove."""


def told(row: ActionRow) -> str:
    """Return a change of an entry in words."""
    what = ", ".join(row.about.get("changed", {}))
    why = f": {row.why}" if row.why else ""
    return f"{row.at:%Y-%m-%d %H:%M} UTC {row.actor}: {row.kind}{f' {what}' if what else ''}{why}"


def show(ledger: Ledger, model: str) -> Entry:
    """Return the entry of a model.

    Raises
    ------
    MissingError
        There is no such model.
    """
    spec = _spec(ledger, model)
    ratings = ledger.ratings(model)
    mean = (sum(row.stars for row in ratings) / len(ratings), len(ratings)) if ratings else None
    return entry(model, spec, ledger.catalog_row(model), mean)


def describe(ledger: Ledger, model: str, fields: Mapping[str, Any], who: str, seen: int | None = None) -> CatalogRow:
    """Change fields of an entry; None takes back what was said.

    Parameters
    ----------
    seen
        Revision that the person saw; None: whichever it is.

    Raises
    ------
    SpecError
        A field is wrong.
    StaleError
        Somebody changed it since.
    """
    _spec(ledger, model)
    names = ledger.model_names() if fields.get("related") else ()
    row = ledger.describe_model(model, given.checked(fields, model, names), actor=who, seen=seen)
    return _fresh(ledger, model, row, seen)


def tag(ledger: Ledger, model: str, add: Sequence[str], remove: Sequence[str], who: str) -> CatalogRow:
    """Add tags to a model, and remove some."""
    _spec(ledger, model)
    gone = {each.casefold() for each in remove}
    for _ in range(ATTEMPTS):
        row = ledger.catalog_row(model)
        if missing := sorted(gone - {each.casefold() for each in row.tags or ()}):
            raise SpecError(
                "there is no such tag", where=model, seen=", ".join(missing), expected=", ".join(row.tags or ())
            )
        kept = [each for each in row.tags or () if each.casefold() not in gone]
        new = [each for each in add if each.casefold() not in {one.casefold() for one in kept}]
        changed = given.checked({"tags": [*kept, *new]}, model, ())
        found = ledger.describe_model(model, changed, actor=who, seen=row.revision)
        if found is not None:
            return found
    raise StaleError(ledger, model, row.revision)


def annotate(ledger: Ledger, model: str, text: Any, who: str, version: int | None = None) -> NoteRow:
    """Keep a note on a model or a version."""
    _spec(ledger, model)
    if version is not None and ledger.version(model, version) is None:
        raise MissingError("no such version", where=model, seen=str(version)[:20], cure=f"aimass versions {model}")
    kept = given.plain_text(text, given.LONGEST_NOTE, "this note", model)
    return ledger.add_note(model, kept, actor=who, version=version)


def remove_note(ledger: Ledger, model: str, number: int, who: str, any_of: bool = False) -> None:
    """Remove a note of one's own; with ``any_of`` anybody's."""
    _spec(ledger, model)
    row = ledger.note(number)
    if row is None or row.model != model:
        raise MissingError("no such note", where=model, seen=number, cure=f"aimass catalog show {model} lists them")
    if row.actor != who and not any_of:
        raise NotYoursError(
            "this note is somebody else's", where=model, seen=f"note {number} by {row.actor}", expected=f"one by {who}"
        )
    ledger.remove_note(number, who)


def rate(ledger: Ledger, model: str, stars: Any, text: Any, who: str) -> RatingRow:
    """Keep what a person thinks of a model; a later rating of the same person replaces it."""
    _spec(ledger, model)
    kept = given.plain_text(text, given.LONGEST_REVIEW, "this text", model, least=0)
    return ledger.rate_model(model, given.stars_of(stars, model), kept, actor=who)


def withdraw(ledger: Ledger, model: str, who: str) -> None:
    """Take back one's rating."""
    _spec(ledger, model)
    if not ledger.withdraw_rating(model, who):
        raise MissingError(
            "there is no rating of yours", where=model, seen=who, cure=f"aimass catalog rate {model} STARS"
        )


def archive(
    ledger: Ledger, model: str, why: Any, who: str, *, pause: bool = False, seen: int | None = None
) -> CatalogRow:
    """Archive a model: it is listed no more unless asked for, and its nights are skipped until it is taken back.

    Parameters
    ----------
    pause
        Also pause it for its callers, where a version is live; without it such a model is refused.

    Raises
    ------
    InUseError
        Callers may ask it, a night of it is running, or it is archived.
    """
    _spec(ledger, model)
    reason = given.plain_text(why, given.LONGEST_REASON, "to archive a model needs a reason, and this", model)
    if said := ledger.archived(model):
        raise InUseError("this model is archived already", where=model, seen=said, cure="nothing needs to be done")
    live = ledger.route(model)
    answers = live is not None and model not in ledger.paused()
    if answers and not pause:
        raise InUseError(
            "callers may ask this model",
            where=model,
            seen=f"version {live} is live, {_called(ledger, model)}",
            expected="a model that answers nobody",
            cure=f"pause it first, or with this: aimass catalog archive {model} --pause --why TEXT",
        )
    row = _fresh(ledger, model, ledger.archive_model(model, True, actor=who, why=reason, seen=seen), seen)
    if answers:
        ledger.pause(model, f"archive:{who}"[:120], reason)
    return row


def unarchive(ledger: Ledger, model: str, why: Any, who: str, seen: int | None = None) -> CatalogRow:
    """Take a model out of the archive: its nights run again; a paused one stays paused."""
    _spec(ledger, model)
    reason = given.plain_text(why, given.LONGEST_REASON, "to unarchive a model needs a reason, and this", model)
    if not ledger.archived(model):
        raise InUseError("this model is not archived", where=model, cure="nothing needs to be done")
    return _fresh(ledger, model, ledger.archive_model(model, False, actor=who, why=reason, seen=seen), seen)


def share(settings: Settings, ledger: Ledger, model: str) -> dict[str, Any]:
    """Return the addresses of a model, for people and for programs, and whose tokens may call it."""
    _spec(ledger, model)
    now = datetime.now(UTC)
    valid = [row for row in ledger.tokens() if row.revoked_at is None and row.expires_at > now]
    wanted = {"predict", f"predict:{model}", "admin"}
    live = ledger.route(model)
    return {
        "model": model,
        "page": f"{settings.airflow_url}/model-center/models/{model}",
        "predict": f"{settings.gateway_url}/v1/models/{model}:predict",
        "entry": f"{settings.gateway_url}/v1/catalog/models/{model}",
        "live_version": live,
        "paused": ledger.paused().get(model, ""),
        "callers": [row.name for row in valid if wanted & set(row.scopes)],
        "invite": f"aimass token create NAME --scope predict:{model} --expires 30d",
    }


def _called(ledger: Ledger, model: str) -> str:
    since = (datetime.now(UTC) - timedelta(days=CALLED_DAYS)).date()
    rows = ledger.usage_of(model, since)
    requests = sum(row[1] for row in rows)
    return f"{len(rows)} callers asked it {requests} times in {CALLED_DAYS} days" if rows else "nobody asked it lately"


def _spec(ledger: Ledger, model: str) -> Mapping[str, Any]:
    row = ledger.model(model) if NAME.fullmatch(model) else None
    if row is None:
        names = ledger.model_names()
        raise MissingError(
            "no such model",
            seen=f"{model[:63]}{did_you_mean(model[:63], names)}",
            expected=", ".join(names[:5]) or "a model that has had a night",
            cure="aimass catalog search lists them",
        )
    return row.spec


def _fresh(ledger: Ledger, model: str, row: CatalogRow | None, seen: int | None) -> CatalogRow:
    if row is None:
        assert seen is not None  # only then is there something to compare
        raise StaleError(ledger, model, seen)
    return row
