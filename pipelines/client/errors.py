"""The typed errors of a call: the gateway's own words, its status and the id of the request."""

from __future__ import annotations

from typing import Any

from pipelines.errors import AimassError


class ClientError(AimassError):
    """Base of all errors of the client; carries ``what``, ``where``, ``seen``, ``expected``, ``cure`` and ``faults``.

    Parameters
    ----------
    status
        HTTP status; None where there was no response.
    request_id
        Id of the request in the gateway's logs; empty where there is none.
    retry_after
        Seconds after which the gateway wants to be asked again; None where it does not say.
    facts
        As of every error of the project.

    Examples
    --------
    >>> error = NotFoundError("no such model", where="chrun", cure="ask models()", status=404, request_id="7f")
    >>> error.status, error.request_id, error.where
    (404, '7f', 'chrun')
    >>> print(error)
    no such model
      where: chrun
      cure: ask models()
      status: 404
      request id: 7f
    """

    kind = "ClientError"

    def __init__(
        self,
        what: str,
        *,
        status: int | None = None,
        request_id: str = "",
        retry_after: float | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(what, **facts)
        self.status, self.request_id, self.retry_after = status, request_id, retry_after

    def __str__(self) -> str:
        lines = [super().__str__()]
        if self.status is not None:
            lines.append(f"  status: {self.status}")
        if self.request_id:
            lines.append(f"  request id: {self.request_id}")
        return "\n".join(lines)


class InputError(ClientError):
    """What was given cannot be sent: no request was made for it."""


class RefusedError(ClientError):
    """The gateway does not accept the request (400, 413, 415, 422 …)."""


class AuthenticationError(ClientError):
    """The token is unknown, expired or revoked (401)."""


class ScopeError(ClientError):
    """The token is not for this (403)."""


class NotFoundError(ClientError):
    """There is no such model, version or label (404)."""


class LimitError(ClientError):
    """The rate or the quota of the token is used up (429)."""


class UnavailableError(ClientError):
    """The gateway or the model cannot respond (5xx), or there is no connection."""


class DeadlineError(UnavailableError):
    """The call's deadline has come before there was a response; the last failure is its ``__cause__``."""


BY_STATUS: dict[int, type[ClientError]] = {
    401: AuthenticationError,
    403: ScopeError,
    404: NotFoundError,
    429: LimitError,
}


def class_of(status: int) -> type[ClientError]:
    """Return the class of the error of an HTTP status.

    >>> [class_of(status).__name__ for status in (400, 401, 429, 503)]
    ['RefusedError', 'AuthenticationError', 'LimitError', 'UnavailableError']
    """
    return BY_STATUS.get(status, UnavailableError if status >= 500 else RefusedError)
