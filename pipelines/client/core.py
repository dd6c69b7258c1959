"""What both clients share: settings, the requests they make, and how responses are read."""

from __future__ import annotations

import os
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from pipelines.client.calls import Call, Limits
from pipelines.client.errors import InputError
from pipelines.client.results import CellWarning, Column, Explanation, Metadata, Model, Part, Predictions
from pipelines.client.tables import MAX_ROWS, Body, Rows, bodies

TOKEN = "AIMASS_TOKEN"  # noqa: S105 - the name of a variable

MAX_KEY = 1_000
"""Characters of a sticky key, which travels in a header."""

PartPredictions = tuple[list[dict[str, Any]], Part, list[CellWarning]]


class BaseClient(ABC):
    """Settings of a client, and its requests.

    Parameters
    ----------
    url
        Address of the gateway.
    token
        Of the scope ``predict`` (for ``explain`` of that scope); by default the variable ``AIMASS_TOKEN``.
    concurrency
        Requests under way at once, where rows are too many for one.
    attempts
        How often a request is tried: again on 429, 502, 503, 504 and lost connections.
    timeout
        Seconds that one attempt waits for the network.
    deadline
        Seconds after which a call of a method fails, with all its requests, attempts and waits.
    verify
        Of ``https``: a context that knows the certificates to trust; False: trust any.

    Raises
    ------
    InputError
        If the address is none, or there is no token.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        concurrency: int = 4,
        attempts: int = 6,
        timeout: float = 30.0,
        deadline: float = 300.0,
        verify: bool | ssl.SSLContext = True,
    ) -> None:
        self._url = _checked_url(url)
        self._token = _checked_token(token if token is not None else os.environ.get(TOKEN, ""))
        if concurrency < 1 or attempts < 1 or timeout <= 0 or deadline <= 0:
            seen = f"concurrency {concurrency}, attempts {attempts}, timeout {timeout}, deadline {deadline}"
            raise InputError("a limit of the client is not positive", seen=seen, expected="numbers above 0")
        self._concurrency, self._attempts, self._timeout, self._deadline = concurrency, attempts, timeout, deadline
        self._verify = verify
        self._open()

    @abstractmethod
    def _open(self) -> None:
        """Make the connections' pool; nothing is sent."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._url)!r})"

    def _options(self) -> dict[str, Any]:
        """Return the arguments of httpx's client."""
        return {
            "base_url": self._url,
            "headers": {"Authorization": f"Bearer {self._token}", "User-Agent": "aimass-client"},
            "verify": self._verify,
            "limits": httpx.Limits(max_connections=self._concurrency, max_keepalive_connections=self._concurrency),
            "trust_env": not _is_loopback(self._url.host),  # no proxy leads to this machine
        }

    def _limits(self) -> Limits:
        return Limits(self._attempts, self._timeout, time.monotonic() + self._deadline)

    def _predictions(
        self, model: str, rows: Rows, version: int | None, label: str | None, sticky_key: str | None
    ) -> Iterator[Call[PartPredictions]]:
        path = f"{_path(model, version, label)}:predict"
        key = "" if sticky_key is None else _checked_key(sticky_key)
        for body in bodies(rows):
            where = _where(body)
            yield Call("POST", path, _reader(body), body.content, where, body.first_row, sticky_key=key)

    def _explanation(self, model: str, row: Mapping[str, Any], version: int | None) -> Call[Explanation]:
        (body,) = bodies([row])

        def read(response: httpx.Response) -> Explanation:
            content = response.json()
            return Explanation(content["explanation"], content["model_version"], content["request_id"])

        return Call("POST", f"{_path(model, version)}:explain", read, body.content)

    def _models(self, search: str | None, ready: bool | None) -> Call[list[Model]]:
        asked = {"search": search, "ready": None if ready is None else str(ready).lower()}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        return Call("GET", f"/v1/models?{query}" if query else "/v1/models", _read_models)

    def _metadata(self, model: str, version: int | None) -> Call[Metadata]:
        return Call("GET", f"{_path(model, version)}/metadata", _read_metadata)

    def _ready(self, model: str | None) -> Call[bool]:
        path = "/readyz" if model is None else f"/readyz/{_quoted(model, 'model')}"
        return Call("GET", path, lambda response: bool(response.json()["ready"]), accepts=(200, 503), once=True)


def merged(parts: Iterable[PartPredictions]) -> Predictions:
    """Return the predictions of all parts as those of one table."""
    predictions: list[dict[str, Any]] = []
    known: list[Part] = []
    warnings: list[CellWarning] = []
    for found, part, warned in parts:
        predictions += found
        known.append(part)
        warnings += warned
    return Predictions(predictions, tuple(known), tuple(warnings))


def _where(body: Body) -> str:
    last = body.first_row + body.rows - 1
    return f"rows {body.first_row} to {last}" if body.first_row or body.rows == MAX_ROWS else ""


def _reader(body: Body) -> Any:
    def read(response: httpx.Response) -> PartPredictions:
        content = response.json()
        predictions = content["predictions"]
        if len(predictions) != body.rows:
            raise ValueError(f"{len(predictions)} predictions for {body.rows} rows")
        warned = [
            CellWarning(each["row"] + body.first_row, each["column"], each["kind"])
            for each in content.get("warnings", ())
        ]
        return predictions, Part(body.first_row, body.rows, content["model_version"], content["request_id"]), warned

    return read


def _read_models(response: httpx.Response) -> list[Model]:
    return [
        Model(each["name"], each["live_version"], tuple(each["served_versions"]), each["ready"])
        for each in response.json()["models"]
    ]


def _read_metadata(response: httpx.Response) -> Metadata:
    facts = response.json()
    columns = tuple(
        Column(
            each["name"],
            each["kind"],
            each["optional"],
            each["low"],
            each["high"],
            None if each["levels"] is None else tuple(each["levels"]),
        )
        for each in facts["columns"]
    )
    return Metadata(
        facts["model"], facts["version"], facts["task"], tuple(facts["classes"]), facts["positive"], columns,
        facts["example"], facts,
    )  # fmt: skip


def _path(model: str, version: int | None = None, label: str | None = None) -> str:
    """Return the address of a model, of a version of it, or of the version with a label.

    >>> _path("churn"), _path("churn", 3), _path("churn", label="newest")
    ('/v1/models/churn', '/v1/models/churn/versions/3', '/v1/models/churn/labels/newest')
    """
    path = f"/v1/models/{_quoted(model, 'model')}"
    if version is not None and label is not None:
        raise InputError("two versions are asked for", seen=f"version {version} and label {label!r}", expected="one")
    if version is not None:
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise InputError("this is no version", where="version", seen=repr(version), expected="a number from 1")
        return f"{path}/versions/{version}"
    return path if label is None else f"{path}/labels/{_quoted(label, 'label')}"


def _quoted(name: Any, where: str) -> str:
    if not isinstance(name, str) or not name.strip("."):
        raise InputError("this is no name", where=where, seen=repr(name), expected="the name of one, such as churn")
    return quote(name, safe="")


def _checked_url(url: str) -> httpx.URL:
    try:
        found = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        found = httpx.URL("")
    if found.scheme not in ("http", "https") or not found.host or found.userinfo or found.query:
        raise InputError(
            "this is no address of a gateway",
            where="url",
            seen=f"{found.scheme or 'no scheme'}, {found.host or 'no host'}"
            + (", with a login" if found.userinfo else ""),  # which is not repeated
            expected="http:// or https:// and a host",
            cure="such as http://127.0.0.1:8000; the token is an argument of its own",
        )
    return found


def _checked_token(token: str) -> str:
    if not token or not _is_plain(token) or " " in token:
        raise InputError(
            "there is no token" if not token else "the token is no token",
            where=f"token, or the variable {TOKEN}",
            seen="nothing" if not token else "blanks, or signs that no token has",
            expected="the text that `aimass token` printed",
            cure="create one: aimass token NAME",
        )
    return token


def _checked_key(key: Any) -> str:
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY or key != key.strip() or not _is_plain(key):
        raise InputError(
            "this is no sticky key",
            where="sticky_key",
            seen=repr(key)[:80],
            expected=f"1 to {MAX_KEY} printable ASCII characters without blanks at the ends",
            cure="the id of a customer or a session, as a text",
        )
    return key


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
