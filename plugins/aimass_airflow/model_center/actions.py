"""What people do about a model: with a reason, by right, recorded before it is made, refused on a stale page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from aimass_airflow.model_center.airflow_side import ENDED, Field
from aimass_airflow.model_center.model_page import Event, told
from aimass_airflow.model_center.rights import DAG_OF
from aimass_airflow.model_center.visits import Visit
from pipelines.cli.alerts import span_of
from pipelines.deployment.pause.spec import PauseSpec
from pipelines.errors import AimassError, SpecError
from pipelines.ledger.actions import ASKED, DONE, ActionRow, Mark

LONGEST = 500
PARAM = "param:"
SINGLE = 100
"""Characters of an error on the page; the log has all."""


def act(visit: Visit) -> Response:
    """``POST /models/NAME/actions/ACTION`` with ``{"why", "mark", …}``.

    403 without the right, 409 with what changed if somebody acted since the page was loaded, 422 without a reason.
    """
    action = visit.path("action")
    if action not in HANDLERS:
        raise HTTPException(404, "no such action")
    visit.need(action)
    why = _why(visit)
    mark = Mark.read(str(visit.body.get("mark", "")))
    if mark is None:
        raise HTTPException(422, "the mark of the page is missing: load it again")
    about = _about(visit, action)
    name = visit.model.name
    row = visit.ledger.act(name, action, actor=visit.who[:120], why=why, about=about, seen=mark)
    if row is None:
        return visit.page("parts/stale.html.jinja", 409, model=visit.model, changed=_since(visit, mark), action=action)
    return _made(visit, action, row)


def alert_action(visit: Visit) -> Response:
    """``POST /alerts/ID/acknowledge`` or ``silence``, also for alerts that belong to no model."""
    action = visit.path("action")
    if action not in ("acknowledge", "silence"):
        raise HTTPException(404, "no such action")
    number = visit.number("id")
    alert = visit.ledger.alert_numbered(number)
    if alert is None or (alert.model and not visit.visible([alert.model])):
        raise HTTPException(404, "no such alert")
    visit.need(action, alert.model or "")
    why = _why(visit)
    model = alert.model or ""
    if alert.resolved_at is not None:
        raise HTTPException(409, f"this alert was resolved at {alert.resolved_at:%Y-%m-%d %H:%M} UTC")
    earlier = [row for row in visit.ledger.actions(model, most=200) if row.about.get("alert") == number]
    if action == "acknowledge" and (first := next((row for row in earlier if row.kind == action), None)):
        raise HTTPException(
            409, f"acknowledged already, at {first.at:%Y-%m-%d %H:%M} UTC by {first.actor}: {first.why}"
        )
    about: dict[str, Any] = {"alert": number, "kind": alert.kind}
    if action == "silence":
        until = datetime.now(UTC) + span_of(str(visit.body.get("span", "")))
        about["until"] = f"{until:%Y-%m-%d %H:%M}"
    row = visit.ledger.act(model, action, actor=visit.who[:120], why=why, about=about)
    assert row is not None  # nothing was compared
    if action == "silence":
        made = visit.ledger.silence(None, None, alert.fingerprint, until=until, why=why, actor=visit.who[:120])
        about["silence"] = made.id
    visit.ledger.acted(row.id, DONE, about)
    return visit.page("parts/done.html.jinja", headers={"HX-Trigger": "acted"}, what=told(action, about), why=why)


def follow(visit: Visit) -> Response:
    """``GET /models/NAME/actions/ID``: how an action that is a run of a DAG goes, until it has ended."""
    number = visit.number("id")
    row = next((each for each in visit.ledger.actions(visit.model.name, most=200) if each.id == number), None)
    if row is None or "run" not in row.about:
        raise HTTPException(404, "no such action")
    dag_id, run_id = str(row.about["dag"]), str(row.about["run"])
    state = visit.center.airflow.state(dag_id, run_id)
    error = ""
    if state in ENDED and row.outcome == ASKED:
        if state == "failed":
            fired = [each for each in visit.ledger.alerts() if each.model is None and each.kind == dag_id]
            error = fired[-1].message if fired else "see the log of its run"
        visit.ledger.acted(row.id, DONE if state == "success" else error or "failed")
    return visit.page(
        "parts/run.html.jinja",
        model=visit.model,
        row=row,
        state=state or "unknown",
        ended=state in ENDED or state is None,
        error=error,
        what=told(row.kind, {name: value for name, value in row.about.items() if name != "run"}),
    )


def night_form(visit: Visit) -> Response:
    """``GET /models/NAME/parts/night``: the DAG's own trigger form."""
    visit.need("start-night")
    name = visit.model.name
    found = visit.center.airflow.form(f"{DAG_OF}{name}")
    mark = str(visit.ledger.mark(name))
    return visit.page("parts/night.html.jinja", model=visit.model, fields=found, mark=mark, prefix=PARAM)


def _why(visit: Visit) -> str:
    why = str(visit.body.get("why", "")).strip()
    if not why or len(why) > LONGEST:
        raise SpecError(
            "an action needs a reason",
            where="why",
            seen=f"{len(why)} characters" if why else "nothing",
            expected=f"1 to {LONGEST} characters, which the ledger keeps",
        )
    return why


def _about(visit: Visit, action: str) -> dict[str, Any]:
    """Return what an action is about; whatever is wrong with it is told before anything is recorded."""
    if action in ("rollback", "promote", "resume", "start-night") and (said := visit.ledger.archived(visit.model.name)):
        raise HTTPException(409, f"the model is {said}; take it out of the archive first, on the tab About")
    if action in ("rollback", "promote"):
        text = str(visit.body.get("version", ""))
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise SpecError(
                "which version is to go live?", where="version", seen=text or "nothing", expected="a number"
            )
        if visit.ledger.version(visit.model.name, int(text)) is None:
            raise SpecError("no such version", where=visit.model.name, seen=text, cure="see the tab Versions")
        if visit.ledger.route(visit.model.name) == int(text):
            raise SpecError("this version is live already", where=visit.model.name, seen=text)
        return {"version": int(text), "dag": action}
    _not_yet(visit, action)
    if action == "start-night":
        fields = visit.center.airflow.form(f"{DAG_OF}{visit.model.name}")
        return {"dag": f"{DAG_OF}{visit.model.name}", "params": conf_of(fields, visit.body)}
    return {}


def _not_yet(visit: Visit, action: str) -> None:
    """Refuse with 409 what is so already: somebody did it elsewhere, such as in a terminal or in Airflow."""
    name = visit.model.name
    said = visit.ledger.paused().get(name)
    nights = visit.center.airflow.nights_paused(f"{DAG_OF}{name}") if action.endswith("-nights") else None
    already = {
        "pause": said and f"the model is paused already: {said}",
        "resume": not said and "the model is not paused (any more)",
        "pause-nights": nights is True and "the nights are paused already",
        "resume-nights": nights is False and "the nights are not paused (any more)",
    }.get(action)
    if already:
        raise HTTPException(409, already)


def conf_of(fields: list[Field], body: dict[str, Any]) -> dict[str, Any]:
    """Return the Params of a run from a form; an empty field is left to the DAG file.

    Raises
    ------
    SpecError
        A text is no number.
    """
    found: dict[str, Any] = {}
    for field in fields:
        given = body.get(PARAM + field.name)
        if given in (None, "", []):
            continue
        try:
            if field.kind == "array":
                found[field.name] = [str(each) for each in (given if isinstance(given, list) else [given])]
            elif field.kind == "boolean":
                found[field.name] = str(given) in ("true", "on", "True")
            elif field.kind in ("integer", "number"):
                found[field.name] = int(str(given)) if field.kind == "integer" else float(str(given))
            else:
                found[field.name] = str(given)
        except ValueError:
            raise SpecError(
                "this is no number", where=field.title, seen=str(given)[:SINGLE], expected=field.kind
            ) from None
    return found


def _made(visit: Visit, action: str, row: ActionRow) -> Response:
    try:
        about = HANDLERS[action](visit, row)
    except AimassError as error:
        visit.ledger.acted(row.id, f"failed: {error.what}")
        raise
    except Exception as error:
        visit.ledger.acted(row.id, f"failed: {type(error).__name__}")
        raise
    if about is not None:  # a run, which is followed
        visit.ledger.acted(row.id, DONE if action == "start-night" else ASKED, about)
        return visit.page(
            "parts/run.html.jinja",
            model=visit.model,
            row=row,
            state="queued",
            ended=False,
            error="",
            what=told(action, {name: value for name, value in about.items() if name != "run"}),
        )
    visit.ledger.acted(row.id, DONE)
    return visit.page(
        "parts/done.html.jinja", headers={"HX-Trigger": "acted"}, what=told(action, row.about), why=row.why
    )


def _switch(visit: Visit, row: ActionRow) -> dict[str, Any]:
    conf = {"model": visit.model.name, "to": row.about["version"], "why": row.why}
    return {**row.about, "run": visit.center.airflow.start(row.kind, conf, visit.who)}


def _night(visit: Visit, row: ActionRow) -> dict[str, Any]:
    run = visit.center.airflow.start(str(row.about["dag"]), row.about["params"], visit.who)
    return {**row.about, "run": run}


def _pause(visit: Visit, row: ActionRow) -> None:
    from pipelines.deployment.pause.stage import run

    action = "pause" if row.kind == "pause" else "resume"
    actor = f"{action}:{visit.who}"[:120]
    run(PauseSpec(model=visit.model.name, action=action, why=row.why, actor=actor), settings=visit.settings)


def _nights(visit: Visit, row: ActionRow) -> None:
    visit.center.airflow.pause_nights(f"{DAG_OF}{visit.model.name}", row.kind == "pause-nights")


HANDLERS: dict[str, Any] = {
    "rollback": _switch,
    "promote": _switch,
    "pause": _pause,
    "resume": _pause,
    "pause-nights": _nights,
    "resume-nights": _nights,
    "start-night": _night,
}


def _since(visit: Visit, mark: Mark) -> list[Event]:
    """Return what happened since a page was loaded, newest first."""
    name = visit.model.name
    switches = [
        Event(row.at, f"version {row.to_version} live (was {row.from_version or 'none'})", row.actor, row.why, DONE)
        for row in visit.ledger.switches(name, after=mark.switch)
    ]
    acts = [
        Event(row.at, told(row.kind, row.about), row.actor, row.why, row.outcome)
        for row in visit.ledger.actions(name, after=mark.action)
    ]
    return sorted([*switches, *acts], key=lambda event: event.at, reverse=True)
