"""Errors that a caller sees: a status and one JSON body of always the same shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SEEN_LIMIT = 200


class RequestError(Exception):
    """A request that is answered with an error.

    Parameters
    ----------
    status
        HTTP status.
    what, where, seen, expected, cure
        As in every error of the project; ``seen`` is cut short.
    faults
        All faults of the request, one line each.
    headers
        Sent along, such as ``Retry-After``.
    """

    def __init__(
        self,
        status: int,
        what: str,
        *,
        where: str = "",
        seen: object = "",
        expected: object = "",
        cure: str = "",
        faults: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(what)
        self.status = status
        self.headers = dict(headers or {})
        self.error: dict[str, Any] = {
            "what": what,
            "where": where,
            "seen": str(seen)[:SEEN_LIMIT],
            "expected": str(expected),
            "cure": cure,
        }
        if faults:
            self.error["faults"] = list(faults)

    def line(self) -> str:
        """Return the error as one line of text."""
        named = [f"{name}: {self.error[name]}" for name in ("where", "seen", "expected", "cure") if self.error[name]]
        return "; ".join([self.error["what"], *self.error.get("faults", ()), *named])


def paused(model: str, said: str) -> RequestError:
    """Return the error of a model that somebody paused.

    Parameters
    ----------
    said
        Who did, and why.
    """
    return RequestError(
        503,
        "this model is paused",
        where=model[:80],
        seen=said,
        expected="predictions once it is resumed",
        cure=f"ask whoever paused it; aimass resume {model[:80]} --why TEXT",
        headers={"Retry-After": "60"},
    )


def unavailable(why: str) -> RequestError:
    """Return the error of a model that cannot be asked now."""
    return RequestError(
        503,
        "no service of this model is ready",
        seen=why,
        cure="try again shortly; `aimass status` tells what is wrong",
        headers={"Retry-After": "2"},
    )
