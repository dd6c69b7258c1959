"""A form made from a model's schema: it asks the service through the gateway and shows why the prediction is so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from aimass_airflow.model_center import access, samples
from aimass_airflow.model_center.model_page import frame
from aimass_airflow.model_center.visits import Visit
from pipelines.errors import AimassError

SELECT_LEVELS = 12
"""Categories up to which a field is a list to choose from."""
MOST_COLUMNS = 60
"""Columns for which is asked what the prediction were without them."""
BARS = 12


@dataclass(frozen=True)
class Bar:
    """A bar of a picture: from ``x`` on, ``width`` wide, both of 100."""

    label: str
    value: float
    x: float
    width: float
    note: str = ""


def form(visit: Visit) -> Response:
    """``GET /models/NAME/ask``: the page; its form is loaded by itself, since the service is asked for it."""
    return visit.page("ask.html.jinja", **frame(visit, "ask"))


def fields(visit: Visit) -> Response:
    """``GET /models/NAME/parts/form``: the fields, filled with the version's example."""
    visit.need("ask")
    facts = visit.center.gateway.metadata(visit.who, visit.model.name)
    return visit.page(
        "parts/form.html.jinja",
        model=visit.model,
        columns=[{**column, "shown": text_of(facts["example"].get(column["name"]))} for column in facts["columns"]],
        facts=facts,
        few=SELECT_LEVELS,
    )


def ask(visit: Visit) -> Response:
    """``POST /models/NAME/ask`` with ``{"column:NAME": text}``: the prediction and what it comes from."""
    visit.need("ask")
    name, gateway = visit.model.name, visit.center.gateway
    facts = gateway.metadata(visit.who, name)
    row = row_of(facts, visit.body)
    columns = [column["name"] for column in facts["columns"] if row.get(column["name"]) is not None][:MOST_COLUMNS]
    without = [{**row, column: None} for column in columns]
    found = gateway.predict(visit.who, name, [row, *without])
    first, *others = found["predictions"]
    classes = _classes(facts, first)
    positive = (facts["positive"] or first.get("prediction")) if classes else None
    steps: dict[str, Any] | None = None
    told = ""
    try:
        steps = gateway.explain(visit.who, name, row)["explanation"]
    except AimassError as error:  # the prediction stands without its steps
        told = str(error)
    return visit.page(
        "parts/prediction.html.jinja",
        model=visit.model,
        facts=facts,
        prediction=first,
        version=found["model_version"],
        classes=bars_of(classes, 0.0, 1.0),
        of=f"the probability of {positive}" if positive is not None else "the prediction",
        moved=moved(facts, first, dict(zip(columns, others, strict=True))),
        members=bars_of(_members(facts, steps)) if steps else [],
        steps=steps,
        told=told,
        warnings=[each for each in found.get("warnings", ()) if each["row"] == 0],
    )


def call(visit: Visit) -> Response:
    """``GET /models/NAME/call``: how a program calls the model, in the words of four protocols."""
    return visit.page("call.html.jinja", **frame(visit, "call"), **access.facts(visit))


def calls(visit: Visit) -> Response:
    """``GET /models/NAME/parts/calls``: the samples, with the version's example."""
    visit.need("ask")
    facts = visit.center.gateway.metadata(visit.who, visit.model.name)
    url = visit.settings.gateway_url
    return visit.page("parts/calls.html.jinja", samples=samples.all_of(url, visit.model.name, facts), facts=facts)


def text_of(value: Any) -> str:
    """Return a cell as a field shows it."""
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) else str(value)


def row_of(facts: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a form: texts as they stand, null for an empty field, the example's own values where unchanged.

    Raises
    ------
    HTTPException
        422 where the form is of other columns: a version went live that needs others.
    """
    given = {key.removeprefix("column:"): value for key, value in body.items() if key.startswith("column:")}
    known = {column["name"]: column for column in facts["columns"]}
    missing = [name for name, column in known.items() if name not in given and not column["optional"]]
    if missing:
        raise HTTPException(422, f"the form lacks {', '.join(missing[:5])}: the model changed; load it again")
    row: dict[str, Any] = {}
    for name, column in known.items():
        text = str(given.get(name, ""))
        example = facts["example"].get(name)
        if text == "":
            if not column["optional"]:
                row[name] = None
        elif text == text_of(example):
            row[name] = example
        else:
            row[name] = _nested(text) if column["nested"] else text
    return row


def _nested(text: str) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, dict | list) else text


def moved(facts: Mapping[str, Any], first: Mapping[str, Any], without: Mapping[str, Mapping[str, Any]]) -> list[Bar]:
    """Return by how much each cell moves the prediction: the prediction less that without the cell; the most first."""
    number = _number(facts, first)
    if number is None:
        return []
    found = {
        name: number - other for name, each in without.items() if (other := _number(facts, each, of=first)) is not None
    }
    ordered = dict(sorted(found.items(), key=lambda pair: -abs(pair[1]))[:BARS])
    return bars_of(ordered)


def bars_of(values: Mapping[str, float], low: float | None = None, high: float | None = None) -> list[Bar]:
    """Lay values out between the smallest and the largest, 0 always inside."""
    if not values:
        return []
    least = min(0.0, *values.values()) if low is None else low
    most = max(0.0, *values.values()) if high is None else high
    span = (most - least) or 1.0
    zero = -least / span * 100
    bars = []
    for name, value in values.items():
        at = (value - least) / span * 100
        bars.append(Bar(name, value, round(min(zero, at), 2), round(max(abs(at - zero), 0.4), 2)))
    return bars


def _classes(facts: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, float]:
    by_class = found.get("probabilities")
    if by_class is None and found.get("probability") is not None and len(facts["classes"]) == 2:
        p = float(found["probability"])
        by_class = {str(each): p if each == facts["positive"] else 1 - p for each in facts["classes"]}
    return dict(sorted((by_class or {}).items(), key=lambda pair: -pair[1])[:BARS])


def _number(facts: Mapping[str, Any], found: Mapping[str, Any], of: Mapping[str, Any] | None = None) -> float | None:
    """Return the number behind a prediction: the probability of the positive or the predicted class, or the value."""
    if found.get("probability") is not None:
        return float(found["probability"])
    if found.get("probabilities"):
        return float(found["probabilities"].get(str((of or found).get("prediction")), 0.0))
    value = found.get("prediction")
    numeric = isinstance(value, int | float) and not isinstance(value, bool) and facts["task"] != "clustering"
    return float(value) if numeric and value is not None else None


def _members(facts: Mapping[str, Any], steps: Mapping[str, Any]) -> dict[str, float]:
    positive = facts["positive"] or steps["answer"].get("prediction")
    found: dict[str, float] = {}
    for member in steps["members"]:
        answer = member["answer"]
        value = answer.get(str(positive)) if isinstance(answer, dict) else answer
        if isinstance(value, int | float):
            found[f"{member['place']}: {member['family']}"] = float(value)
    combined = (steps["calibration"] or steps["combination"])["answer"]
    value = combined.get(str(positive)) if isinstance(combined, dict) else combined
    if isinstance(value, int | float):
        found["combined, calibrated" if steps["calibration"] else "combined"] = float(value)
    return found
