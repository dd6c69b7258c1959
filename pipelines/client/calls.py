"""One request and its response, without the network: what is sent, when it is sent again, what comes of it.

:func:`exchange` is a generator that asks its caller to send or to wait, so that the blocking and the asynchronous
client share every decision.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeAlias, TypeVar

import httpx

from pipelines.client.errors import ClientError, DeadlineError, UnavailableError, class_of

T = TypeVar("T")
AGAIN = frozenset({429, 502, 503, 504})
"""What another attempt may cure; a prediction changes nothing, so it may be asked for again."""
FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0
ROW = re.compile(r"^(row |instances\[)([0-9]+)")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request, and how its response is read.

    Parameters
    ----------
    method, path
        With the query.
    read
        Makes the result of a response.
    content
        JSON; empty for none.
    where
        Which rows of the input it holds, where these are not all.
    first_row
        Number of its first row in the whole input.
    accepts
        Statuses that ``read`` takes.
    once
        Not to be tried again.
    sticky_key
        What is the same for all requests that the same version is to predict; empty: nothing.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    content: bytes = b""
    where: str = ""
    first_row: int = 0
    accepts: tuple[int, ...] = (200,)
    once: bool = False
    sticky_key: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What is sent besides the client's own headers."""
        found = {"Content-Type": "application/json"} if self.content else {}
        return {**found, "X-Sticky-Key": self.sticky_key} if self.sticky_key else found


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how often a call is tried.

    Parameters
    ----------
    attempts
        Of one request.
    timeout
        Seconds that one attempt waits for the network.
    until
        Moment, in seconds of the monotonic clock, at which the whole call ends.
    """

    attempts: int
    timeout: float
    until: float


@dataclass(frozen=True, slots=True)
class Send:
    """Asks to send the call's request and to hand back the response, or the exception instead of one."""

    timeout: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Asks to wait."""

    seconds: float


Outcome: TypeAlias = httpx.Response | httpx.TransportError | None
Exchange: TypeAlias = Generator[Send | Wait, Outcome, T]


def exchange(call: Call[T], limits: Limits) -> Exchange[T]:
    """Send a request until it succeeds, cannot, or its time is over.

    Waits double from attempt to attempt and are spread at random; ``Retry-After`` is kept to.

    Raises
    ------
    ClientError
        Of the class that tells what is wrong.
    """
    failure: ClientError | None = None
    for attempt in range(1, limits.attempts + 1):
        left = limits.until - time.monotonic()
        if left <= 0:
            raise _late(failure) from failure
        outcome = yield Send(min(limits.timeout, left))
        if isinstance(outcome, httpx.Response) and outcome.status_code in call.accepts:
            return _read(call, outcome)
        failure = error_of(call, outcome) if isinstance(outcome, httpx.Response) else _lost(call, outcome)
        if call.once or attempt == limits.attempts or not (failure.status is None or failure.status in AGAIN):
            break
        seconds = wait_before(attempt + 1, failure.retry_after)
        if time.monotonic() + seconds >= limits.until:
            raise _late(failure) if failure.retry_after is None else failure
        yield Wait(seconds)
    assert failure is not None
    raise failure


def wait_before(attempt: int, retry_after: float | None = None) -> float:
    """Return the seconds to wait before an attempt, the first of which is 1.

    >>> 0.1 <= wait_before(2) <= 0.2 and 5 <= wait_before(20) <= 10 and 30 <= wait_before(2, 30) <= 30.2
    True
    """
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempt - 2))
    if retry_after is not None:
        return retry_after + random.uniform(0, FIRST_WAIT)  # noqa: S311 - spreads the load, keeps no secret
    return random.uniform(longest / 2, longest)  # noqa: S311 - likewise


def error_of(call: Call[Any], response: httpx.Response) -> ClientError:
    """Return the error that a response tells of, in the gateway's words; rows are numbered as in the whole input."""
    try:
        content = response.json()
    except ValueError:
        content = None
    told = content.get("error") if isinstance(content, dict) else None
    status = response.status_code
    facts: dict[str, Any] = {"what": f"the request failed with status {status}", "seen": response.text[:200]}
    if isinstance(told, dict) and isinstance(told.get("what"), str):
        facts = {name: told[name] for name in ("what", "where", "seen", "expected", "cure", "faults") if name in told}
    facts["where"] = _joined(call.where, shifted(str(facts.get("where", "")), call.first_row))
    facts["faults"] = [shifted(str(fault), call.first_row) for fault in facts.get("faults", ())]
    return class_of(status)(
        **facts,
        status=status,
        request_id=response.headers.get("x-request-id", ""),
        retry_after=_seconds(response.headers.get("retry-after")),
    )


def shifted(text: str, first_row: int) -> str:
    """Return a fault of one request with the number that its row has in the whole input.

    >>> shifted("row 3 lacks 'age'", 2000), shifted("inputs lacks 'age'", 2000)
    ("row 2003 lacks 'age'", "inputs lacks 'age'")
    """
    return ROW.sub(lambda found: f"{found[1]}{int(found[2]) + first_row}", text)


def _joined(*parts: str) -> str:
    return ": ".join(part for part in parts if part)


def _seconds(header: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which may be a date."""
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _read(call: Call[T], response: httpx.Response) -> T:
    try:
        return call.read(response)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnavailableError(
            "the response is not one of the prediction service",
            where=call.path,
            seen=f"{type(error).__name__}: {error}; {response.text[:120]}",
            expected="the gateway's JSON",
            cure="check the address: it must be the gateway's",
            status=response.status_code,
            request_id=response.headers.get("x-request-id", ""),
        ) from None


def _lost(call: Call[Any], outcome: Outcome) -> UnavailableError:
    return UnavailableError(
        "the prediction service does not respond",
        where=_joined(call.where, call.path),
        seen=f"{type(outcome).__name__}: {outcome}",
        expected="a running gateway at this address",
        cure="check the address; on its machine `aimass status` tells whether it runs",
    )


def _late(failure: ClientError | None) -> DeadlineError:
    return DeadlineError(
        "the deadline of the call has come",
        seen="no response yet" if failure is None else f"last failure: {failure.what}",
        cure="give the client a longer deadline, or send fewer rows at once",
        status=None if failure is None else failure.status,
        request_id="" if failure is None else failure.request_id,
    )
