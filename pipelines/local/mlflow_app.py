"""MLflow's server behind a login: ``mlflow server --app-name aimass``.

Programs of this home send its own token, people the user and password that they have for Airflow. Whoever has neither,
such as another user of this machine, gets 401: no page, no call and no artifact.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from pipelines.local.airflow_config import USER, further_users, password_file
from pipelines.registry.tracking import login
from pipelines.settings import Settings, load

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

OPEN = "/health"
"""The one address that needs no login: it tells that the server works."""


class LoginRequired:
    """Lets a request pass that carries a login of this home, by HTTP Basic or as a bearer token.

    Parameters
    ----------
    app
        What it stands in front of, by ASGI.
    settings
        Of the home whose logins count.
    """

    def __init__(self, app: App, settings: Settings) -> None:
        self.app, self.settings = app, settings
        password_file(settings)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan" or scope.get("path") == OPEN or self.admits(dict(scope.get("headers", ()))):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._refuse(send)

    def admits(self, headers: dict[bytes, bytes]) -> bool:
        """Tell whether the headers carry a login; a browser's does not count for a page of another origin."""
        origin, host = headers.get(b"origin"), headers.get(b"host", b"")
        if origin is not None and origin not in (b"http://" + host, b"https://" + host):
            return False
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        user, token = login(self.settings)
        if kind.lower() == b"bearer":
            return hmac.compare_digest(given.strip(), token.encode())
        if kind.lower() != b"basic":
            return False
        try:
            name, _, password = base64.b64decode(given.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        admins = {
            USER,
            *(each for each, role in further_users(self.settings) if role == "admin"),
        }  # MLflow has no roles
        passwords = json.loads(password_file(self.settings).read_text())
        known = {**{each: passwords[each] for each in admins if each in passwords}, user: token}
        return name in known and hmac.compare_digest(password.encode(), str(known[name]).encode())

    async def _refuse(self, send: Send) -> None:
        text = (
            f"this MLflow server is that of the home {self.settings.home} and needs its login: in a browser the user "
            "and password of Airflow, in a program what `aimass mlflow` prints"
        )
        body = json.dumps({"error_code": "UNAUTHENTICATED", "message": text}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"www-authenticate", b'Basic realm="AI Mass: as for Airflow", charset="UTF-8"'),
        ]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def create_app() -> LoginRequired:
    """Return MLflow's application behind the login of this home; the entry point ``mlflow.app`` names it."""
    from mlflow.server.fastapi_app import app

    return LoginRequired(app, load())
