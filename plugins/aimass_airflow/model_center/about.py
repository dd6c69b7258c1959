"""What people say of a model: the tab About, and the changes that they make there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from aimass_airflow.model_center.model_page import Event, frame
from aimass_airflow.model_center.visits import Visit
from pipelines.catalog import verbs
from pipelines.catalog.deleting import delete_versions
from pipelines.catalog.fields import LONGEST, STARS
from pipelines.errors import SpecError
from pipelines.ledger.actions import DONE, ActionRow
from pipelines.ledger.archive import InUseError
from pipelines.people import roles
from pipelines.people.domains import domains_of

NOTES = 50
"""Newest notes that are shown."""
RIGHT = {"remove-note": "note", "withdraw": "rate", "unarchive": "archive"}
"""Actions that need the right of another one."""


def show(visit: Visit) -> Response:
    """``GET /models/NAME/about``."""
    ledger, name = visit.ledger, visit.model.name
    row = ledger.catalog_row(name)
    ratings = ledger.ratings(name)
    return visit.page(
        "about.html.jinja",
        **frame(visit, "about"),
        entry=verbs.show(ledger, name),
        row=row,
        notes=ledger.notes(name, NOTES),
        ratings=ratings,
        mine=next((each for each in ratings if each.actor == visit.who[:120]), None),
        shared=verbs.share(visit.settings, ledger, name),
        changes=events(ledger.catalog_changes(name)),
        longest=LONGEST,
        versions=[each.version for each in ledger.score_line(name)][::-1],
        among=sorted(visit.visible(ledger.model_names())),
    )


def act(visit: Visit) -> Response:
    """``POST /models/NAME/catalog/ACTION``: change the entry, annotate, rate, archive, delete.

    403 without the right, 404 for what is not there, 409 with what changed or what stands against it, 422 for a fault.
    """
    action = visit.path("action")
    if action not in HANDLERS:
        raise HTTPException(404, "no such action")
    visit.need(RIGHT.get(action, action))
    try:
        what, why = HANDLERS[action](visit, visit.who[:120])
    except verbs.StaleError as error:
        changed = events(error.changes)
        return visit.page("parts/stale.html.jinja", 409, model=visit.model, changed=changed, action=action)
    except (InUseError, verbs.MissingError, verbs.NotYoursError) as error:
        kinds = {verbs.MissingError: 404, verbs.NotYoursError: 403}
        told = "; ".join(each for each in (error.what, error.seen, error.cure) if each)
        raise HTTPException(kinds.get(type(error), 409), told) from None
    return visit.page("parts/done.html.jinja", headers={"HX-Trigger": "acted"}, what=what, why=why)


def would_delete(visit: Visit) -> Response:
    """``GET /models/NAME/parts/delete?version=N``: what deleting a version would take with it, and the form for it."""
    visit.need("delete")
    version, name = visit.number("version"), visit.model.name
    gone: list[dict[str, Any]] = []
    against = ""
    try:
        gone = delete_versions(visit.settings, visit.ledger, name, [version], "a look", visit.who[:120], dry_run=True)
    except verbs.MissingError:
        raise HTTPException(404, "no such version") from None
    except InUseError as error:
        against = error.seen
    return visit.page("parts/delete.html.jinja", model=visit.model, version=version, gone=gone, against=against)


def events(rows: list[ActionRow]) -> list[Event]:
    """Return changes of an entry as the page lists them."""
    found = []
    for row in rows:
        fields = ", ".join(name.replace("_", " ") for name in row.about.get("changed", {}))
        found.append(Event(row.at, f"{row.kind} {fields}".strip(), row.actor, row.why, DONE))
    return found


def _describe(visit: Visit, who: str) -> tuple[str, str]:
    body, said = visit.body, {}
    for name in LONGEST:
        if name in body:
            said[name] = body[name]
    for name, split in (("tags", _words), ("related", _words), ("use_cases", _lines)):
        if name in body:
            said[name] = split(body[name])
    _may_move(visit, said)
    row = verbs.describe(visit.ledger, visit.model.name, said, who, _revision(visit))
    return "the entry is as you wrote it", f"revision {row.revision}"


def _may_move(visit: Visit, said: dict[str, Any]) -> None:
    """Refuse another domain to who does not own both: who may act on the model is decided there."""
    name, ledger = visit.model.name, visit.ledger
    new = str(said.get("domain") or "").strip()
    if "domain" not in said or new == (ledger.catalog_row(name).domain or ""):
        return
    visit.need("move")
    domain = domains_of(ledger, [name], {name: new} if new else {})[name]
    if (role := visit.standing.lacks("move", domain)) is not None:
        why = roles.refusal(visit.standing, role, domain, roles.owners_of(ledger, domain))
        raise HTTPException(403, f"you may not move {name} there: {why}")


def _note(visit: Visit, who: str) -> tuple[str, str]:
    text = str(visit.body.get("version") or "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise SpecError("this is no version", where="version", seen=text[:60], expected="a number, or nothing")
    row = verbs.annotate(visit.ledger, visit.model.name, visit.body.get("text"), who, int(text) if text else None)
    return f"note {row.id} is kept", ""


def _remove_note(visit: Visit, who: str) -> tuple[str, str]:
    number = _number(visit.body.get("note"), "note")
    verbs.remove_note(visit.ledger, visit.model.name, number, who, any_of=visit.may("archive"))
    return f"note {number} is removed", ""


def _rate(visit: Visit, who: str) -> tuple[str, str]:
    given = visit.body.get("stars")
    stars = int(given) if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 3 else given
    row = verbs.rate(visit.ledger, visit.model.name, stars, visit.body.get("text", ""), who)
    return f"you rate it {row.stars} of {STARS[1]}", row.text


def _withdraw(visit: Visit, who: str) -> tuple[str, str]:
    verbs.withdraw(visit.ledger, visit.model.name, who)
    return "your rating is taken back", ""


def _archive(visit: Visit, who: str) -> tuple[str, str]:
    if pause := visit.body.get("pause") in (True, "true", "on"):
        visit.need("pause")
    why = visit.body.get("why")
    verbs.archive(visit.ledger, visit.model.name, why, who, pause=pause, seen=_revision(visit))
    return "the model is archived", str(why)


def _unarchive(visit: Visit, who: str) -> tuple[str, str]:
    verbs.unarchive(visit.ledger, visit.model.name, visit.body.get("why"), who, _revision(visit))
    return "the model is listed again", str(visit.body.get("why"))


def _delete(visit: Visit, who: str) -> tuple[str, str]:
    version = _number(visit.body.get("version"), "version")
    why = visit.body.get("why")
    delete_versions(visit.settings, visit.ledger, visit.model.name, [version], why, who, dry_run=False)
    return f"version {version} is deleted", str(why)


HANDLERS: dict[str, Callable[[Visit, str], tuple[str, str]]] = {
    "describe": _describe,
    "note": _note,
    "remove-note": _remove_note,
    "rate": _rate,
    "withdraw": _withdraw,
    "archive": _archive,
    "unarchive": _unarchive,
    "delete": _delete,
}


def _revision(visit: Visit) -> int:
    """Return the revision of the entry that the page showed."""
    text = str(visit.body.get("revision", ""))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise HTTPException(422, "the revision of the page is missing: load it again")
    return int(text)


def _number(value: Any, where: str) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise SpecError("this is no number", where=where, seen=text[:60], expected="a number")
    return int(text)


def _words(value: Any) -> Any:
    """Return the words of a field of a form; what is no text is left to the check."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _lines(value: Any) -> Any:
    return [line for line in value.splitlines() if line.strip()] if isinstance(value, str) else value
