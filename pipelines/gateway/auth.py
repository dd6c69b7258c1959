"""Who may call: bearer tokens, checked in the ledger and remembered for a few seconds by their sha256."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Any, Protocol

from pipelines.gateway.errors import RequestError

REMEMBER_SECONDS = 3.0
REMEMBERED = 10_000


class TokenStore(Protocol):
    """The part of the ledger that knows tokens."""

    def check_token(self, text: str, scope: str) -> Any | None:
        """Return the token's row if it is valid for the scope."""


class TokenCheck:
    """Checks tokens; neither their text nor a part of it is kept or logged.

    A revoked token is refused after at most ``REMEMBER_SECONDS``.
    """

    def __init__(self, store: TokenStore) -> None:
        self.store = store
        self._known: dict[tuple[bytes, str], tuple[float, str]] = {}

    async def require(self, header: str | None, model: str) -> str:
        """Return the name of the token in an Authorization header that may call ``model``.

        Raises
        ------
        RequestError
            401 without a valid one.
        """
        scheme, _, text = (header or "").partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or not text:
            raise _unauthorized("no token", 'Bearer realm="aimass"')
        key = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), model)
        until, name = self._known.get(key, (0.0, ""))
        if time.monotonic() < until:
            return name
        row = await asyncio.to_thread(self.store.check_token, text, f"predict:{model}")
        if row is None:
            raise _unauthorized(
                "the token is unknown, expired, revoked or not for this model",
                'Bearer realm="aimass", error="invalid_token"',
            )
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[key] = (time.monotonic() + REMEMBER_SECONDS, row.name)
        return str(row.name)


def _unauthorized(what: str, challenge: str) -> RequestError:
    return RequestError(
        401,
        what,
        where="Authorization header",
        expected="Bearer and a valid token",
        cure="ask for one: aimass token NAME",
        headers={"WWW-Authenticate": challenge},
    )
