"""Who may call: bearer tokens, checked in the ledger and remembered for a few seconds by their sha256."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from typing import Any, Protocol

from pipelines.gateway.errors import RequestError

REMEMBER_SECONDS = 3.0
REMEMBERED = 10_000
ASK_SECONDS = 1.0
"""How long the ledger may take before what was known of a token a while ago counts."""
STALE_SECONDS = 300.0
"""How long a token that was valid passes while the ledger cannot be read."""
ALL = "admin"
INCLUDED = {"catalog": ("catalog-write",)}
"""Scopes that hold another one."""


class TokenStore(Protocol):
    """The part of the ledger that knows tokens."""

    def check_token(self, text: str) -> Any | None:
        """Return the token's row if it is valid."""


def allows(scopes: Sequence[str], scope: str, model: str | None) -> bool:
    """Return whether a token of these scopes is for a scope and a model; for None, whether it is for any model.

    >>> allows(["predict:adult"], "predict", "adult"), allows(["predict:adult"], "predict", "loans")
    (True, False)
    >>> allows(["predict:adult"], "predict", None), allows(["explain:adult"], "predict", None)
    (True, False)
    >>> allows(["catalog-write:adult"], "catalog", "adult"), allows(["catalog:adult"], "catalog-write", "adult")
    (True, False)
    """
    wanted = (scope, *INCLUDED.get(scope, ()))
    if not scope or ALL in scopes or any(each in scopes for each in wanted):
        return True
    if model is None:
        return any(each.startswith(tuple(f"{name}:" for name in wanted)) for each in scopes)
    return any(f"{name}:{model}" in scopes for name in wanted)


class TokenCheck:
    """Checks tokens; neither their text nor a part of it is kept or logged.

    A revoked token is refused after at most ``REMEMBER_SECONDS``.
    """

    def __init__(self, store: TokenStore) -> None:
        self.store = store
        self._known: dict[bytes, tuple[float, float, Any]] = {}
        """By digest: until when it is not asked for again, when it was last found valid, and its row."""

    async def require(self, header: str | None, scope: str, model: str | None = "") -> Any:
        """Return the row of the token in an Authorization header.

        Parameters
        ----------
        scope
            What it must be for; a token of ``scope:model`` is for that model alone. Empty: any valid token will do.
        model
            That is asked for; None where it is enough that the token is for some model.

        Raises
        ------
        RequestError
            401 without a valid token, 403 if it is not for this.
        """
        scheme, _, text = (header or "").partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or not text:
            raise _unauthorized("no token", 'Bearer realm="aimass"')
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        until, valid, row = self._known.get(key, (0.0, 0.0, None))
        if time.monotonic() >= until:
            valid, row = await self._asked(text, valid, row)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = (time.monotonic() + REMEMBER_SECONDS, valid, row)
        if not allows(row.scopes, scope, model):
            raise RequestError(
                403,
                "the token is not for this",
                where="Authorization header",
                expected=f"a token with the scope {scope}" + (f" or {scope}:{model[:63]}" if model else ""),
                cure="ask for one: aimass token create NAME --scope …",
                headers={"WWW-Authenticate": 'Bearer realm="aimass", error="insufficient_scope"'},
            )
        return row

    async def _asked(self, text: str, valid: float, row: Any) -> tuple[float, Any]:
        """Return when a token was found valid, and its row; while the ledger is away, that of a while ago will do."""
        try:
            async with asyncio.timeout(ASK_SECONDS):  # a ledger that was cut off does not even refuse
                row = await asyncio.to_thread(self.store.check_token, text)
        except Exception as error:
            if row is None or time.monotonic() > valid + STALE_SECONDS:
                raise RequestError(
                    503,
                    "tokens cannot be checked now",
                    seen=type(error).__name__,
                    cure="try again shortly; `aimass status` tells what is wrong",
                    headers={"Retry-After": "2"},
                ) from error
            return valid, row
        if row is None:
            raise _unauthorized(
                "the token is unknown, expired or revoked", 'Bearer realm="aimass", error="invalid_token"'
            )
        return time.monotonic(), row


def _unauthorized(what: str, challenge: str) -> RequestError:
    return RequestError(
        401,
        what,
        where="Authorization header",
        expected="Bearer and a valid token",
        cure="ask for one: aimass token create NAME",
        headers={"WWW-Authenticate": challenge},
    )
