"""A visit: who asks, for what, and how an answer or an error becomes a page; the headers that every answer carries."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from aimass_airflow.model_center.airflow_side import AirflowSide
from aimass_airflow.model_center.gateway import Gateway
from aimass_airflow.model_center.render import Pages
from aimass_airflow.model_center.rights import Rights, role_of
from pipelines.errors import AimassError, DataError, SpecError
from pipelines.ledger import Ledger
from pipelines.people import roles
from pipelines.people.domains import EVERYWHERE, domains_of
from pipelines.people.requests import TooLateError
from pipelines.settings import Settings

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}
"""Nothing from elsewhere, no script in the markup, framed by Airflow's own pages alone, kept by no cache."""
MAX_BODY = 256 * 1024
log = logging.getLogger(__name__)


@dataclass
class Center:
    """What all visits share."""

    settings: Settings
    ledger: Ledger
    rights: Rights
    airflow: AirflowSide
    gateway: Gateway
    pages: Pages
    compared: dict[tuple[str, int, int], dict[str, Any]] = field(default_factory=dict)
    """Comparisons that were made: versions never change."""
    seen: dict[tuple[str, str], float] = field(default_factory=dict)
    """When it was last noted that a person saw a model, in seconds of the machine's clock."""


@dataclass
class Visit:
    """One request of a user who is known."""

    center: Center
    request: Request
    user: Any
    body: dict[str, Any]
    after: list[Callable[[], None]] = field(default_factory=list)
    """What is done once the answer is sent."""
    _domains: dict[str, str] = field(default_factory=dict)

    @cached_property
    def who(self) -> str:
        """Name of the user."""
        return self.center.rights.name(self.user)

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return self.center.ledger

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self.center.settings

    @property
    def part(self) -> bool:
        """Whether htmx asks for a part of a page."""
        return self.request.headers.get("HX-Request") == "true"

    def path(self, name: str) -> str:
        """Return a part of the address."""
        return str(self.request.path_params[name])

    def number(self, name: str) -> int:
        """Return a number of the address or the query; 404 if it is none."""
        text = str(self.request.path_params.get(name) or self.request.query_params.get(name) or "")
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise HTTPException(404, f"no such {name}")
        return int(text)

    @cached_property
    def model(self) -> Any:
        """The row of the model that the address names; 404 if there is none that the user may see in Airflow."""
        name = self.path("name")
        row = self.ledger.model(name)
        if row is None or not self.center.rights.visible(self.user, [name]):
            raise HTTPException(404, f"no such model: {name[:63]}")
        if (role := self.standing.lacks("see", self.domain(name))) is not None:
            raise HTTPException(403, f"you may not see {name}: {self._refusal(role, name)}")
        return row

    @cached_property
    def standing(self) -> roles.Standing:
        """The user's roles in all domains."""
        return roles.standing(self.ledger, self.who)

    def domain(self, model: str) -> str:
        """Return the domain of a model, which matters where roles are given; alerts of no model are everywhere's."""
        if not model or not self.standing.restricted:
            return EVERYWHERE
        if model not in self._domains:
            self._domains |= domains_of(self.ledger, [model])
        return self._domains[model]

    def visible(self, models: Iterable[str]) -> set[str]:
        """Return which of the models the user may see: by Airflow's rights, then by role."""
        seen = self.center.rights.visible(self.user, models)
        if not self.standing.restricted:
            return seen
        self._domains |= domains_of(self.ledger, seen)
        return {name for name in seen if self.standing.lacks("see", self._domains[name]) is None}

    def may(self, action: str, model: str | None = None) -> bool:
        """Tell whether the user may do something about the model."""
        name = self.model.name if model is None else model
        allowed = self.center.rights.may(self.user, action, name)
        return allowed and self.standing.lacks(action, self.domain(name)) is None

    def need(self, action: str, model: str | None = None) -> None:
        """Refuse with 403 who may not, and say which right or role is missing."""
        name = self.model.name if model is None else model
        verb = action.replace("-", " ")
        if not self.center.rights.may(self.user, action, name):
            raise HTTPException(403, f"you may not {verb}: the right to {role_of(action, name)} is missing")
        if (role := self.standing.lacks(action, self.domain(name))) is not None:
            raise HTTPException(403, f"you may not {verb}: {self._refusal(role, name)}")

    def _refusal(self, role: str, model: str) -> str:
        domain = self.domain(model)
        return roles.refusal(self.standing, role, domain, roles.owners_of(self.ledger, domain))

    def page(
        self, template: str, status: int = 200, headers: Mapping[str, str] | None = None, **facts: Any
    ) -> Response:
        """Return a page."""
        base = self.request.scope.get("root_path", "")
        html = self.center.pages.render(template, base=base, who=self.who, **facts)
        return Response(html, status_code=status, media_type="text/html", headers=dict(headers or {}))

    def redirect(self, path: str) -> Response:
        """Send the browser to another page of the center."""
        return RedirectResponse(f"{self.request.scope.get('root_path', '')}{path}", status_code=303)


Handler = Callable[[Visit], Response]


def route(center: Center, path: str, handler: Handler, method: str = "GET", most: int = MAX_BODY) -> Route:
    """Return the route of a handler that only known users reach.

    What a POST brings is JSON: a form of another site cannot send that.

    Parameters
    ----------
    most
        Bytes of a POST.
    """

    async def answer(request: Request) -> Response:
        response: Response
        try:
            user = await center.rights.user(request)
        except HTTPException as error:
            response = JSONResponse({"detail": error.detail}, status_code=error.status_code, headers=error.headers)
        else:
            try:
                body = await _body(request, most) if method == "POST" else {}
                visit = Visit(center, request, user, body)
                response = await run_in_threadpool(_answer, handler, visit)
                response.background = BackgroundTask(_afterwards, visit.after) if visit.after else None
            except HTTPException as error:
                response = _error(Visit(center, request, user, {}), error.status_code, error.detail, {})
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return Route(path, answer, methods=[method])


def _afterwards(tasks: list[Callable[[], None]]) -> None:
    for task in tasks:
        try:
            task()
        except Exception:
            log.exception("the Model Center failed after an answer")


def _answer(handler: Handler, visit: Visit) -> Response:
    try:
        return handler(visit)
    except AimassError as error:
        late = isinstance(error, TooLateError)
        status = 409 if late else 422 if isinstance(error, SpecError | DataError) else 502
        facts = {name: value for name in ("where", "seen", "expected", "cure") if (value := getattr(error, name, ""))}
        facts |= {"faults": "; ".join(error.faults)} if error.faults else {}
        return _error(visit, status, error.what, facts)
    except HTTPException:
        raise
    except Exception:
        log.exception("the Model Center failed at %s", visit.request.url.path)
        return _error(visit, 500, "this page failed", {"cure": "the log of Airflow's API server tells why"})


def _error(visit: Visit, status: int, what: str, facts: Mapping[str, Any]) -> Response:
    template = "parts/error.html.jinja" if visit.part else "error.html.jinja"
    return visit.page(template, status, what=what, facts=facts, status_code=status)


async def _body(request: Request, most: int) -> dict[str, Any]:
    """Return the JSON object of a POST.

    Raises
    ------
    HTTPException
        415 for another content type, 413 for one that is too large, 400 for what is no JSON object.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "the content type of a POST is application/json")
    read = b""
    async for chunk in request.stream():
        read += chunk
        if len(read) > most:
            raise HTTPException(413, f"at most {most} bytes are taken")
    try:
        found = json.loads(read)
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is no JSON") from None
    if not isinstance(found, dict):
        raise HTTPException(400, "the body is no JSON object")
    return found
