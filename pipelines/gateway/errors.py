"""Errors that a caller sees: a status and one JSON body of always the same shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse

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

    def response(self, request_id: str) -> JSONResponse:
        """Return the answer."""
        headers = {**self.headers, "x-request-id": request_id}
        return JSONResponse({"error": self.error, "request_id": request_id}, status_code=self.status, headers=headers)
