"""How much a token may ask for, and what it did ask for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol

from limits import RateLimitItem, parse
from limits.aio.storage import Storage
from limits.aio.strategies import MovingWindowRateLimiter, SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string

from pipelines.errors import SpecError
from pipelines.gateway.errors import RequestError

PER_TOKEN = 256
"""Requests of one token that are under way at once, those that wait for a service and slow bodies among them."""
FLUSH_SECONDS = 5.0
EXACT = 10_000
"""Up to this many requests in a window each is remembered; beyond it the window's count is interpolated."""
SHARED = {"implementation": "redispy", "socket_timeout": 1.0, "socket_connect_timeout": 1.0}
"""How a store of several gateways is asked; one that does not respond must not hold requests."""
AWAY_SECONDS = 2.0
"""How long a store that could not be asked is left alone."""
QUOTA_UNITS = ("day", "month", "year")
UNITS = {"s": "second", "min": "minute", "h": "hour", "d": "day"}

log = logging.getLogger(__name__)


def parse_limit(text: str) -> RateLimitItem:
    """Read a limit such as ``100/min``, ``5/second`` or ``1e6/month``.

    Raises
    ------
    SpecError
        If it is none.
    """
    count, _, unit = text.strip().partition("/")
    unit = unit.strip().lower()
    try:
        number = float(count)
        if not 1 <= number <= 1e15 or number != int(number):
            raise ValueError(count)
        return parse(f"{int(number)}/{UNITS.get(unit, unit)}")
    except (ValueError, OverflowError):
        raise SpecError(
            "this is no limit",
            seen=text,
            expected="a whole number of requests and a time: second, minute, hour, day, month or year",
            cure="such as 100/minute or 1e6/month",
        ) from None


@lru_cache(maxsize=1024)
def parse_quota(text: str) -> tuple[int, str]:
    """Read a quota such as ``1e6/month``: requests, and the calendar's unit that they are for, UTC.

    Raises
    ------
    SpecError
        If it is none.
    """
    item = parse_limit(text)
    unit = text.partition("/")[2].strip().lower()
    if unit not in QUOTA_UNITS:
        raise SpecError("a quota is for a day, a month or a year", seen=text, cure="such as 1e6/month")
    return item.amount, unit


class UsageStore(Protocol):
    """The part of the ledger that counts."""

    def usage(self, start: date, end: date, token: str | None = None) -> Sequence[Any]:
        """Return what was asked for."""

    def count_usage(self, counts: dict[tuple[str, str, date], tuple[int, int, int]]) -> None:
        """Add counts."""


class Quotas:
    """Refuses what is beyond a token's limits.

    Parameters
    ----------
    usage
        What tokens asked for so far.
    address
        Where requests are counted for rates: ``memory://`` of this process, or ``redis://HOST:PORT`` for several
        gateways. Quotas are counted in the ledger.
    """

    def __init__(self, usage: Usage, address: str = "memory://") -> None:
        self._shared = not address.startswith("memory:")
        storage = _store(address, SHARED if self._shared else {})
        self._usage = usage
        self._exact = MovingWindowRateLimiter(storage)
        self._counted = SlidingWindowCounterRateLimiter(storage)
        self._away_until = float("-inf")
        self._items: dict[str, RateLimitItem] = {}
        self._under_way: Counter[str] = Counter()

    async def enter(self, token: Any) -> None:
        """Count a request of a token in; :meth:`leave` must follow unless it is refused.

        Raises
        ------
        RequestError
            429 with ``Retry-After`` if a limit is reached.
        """
        if self._under_way[token.name] >= PER_TOKEN:
            raise _too_many(f"{PER_TOKEN} requests of this token are under way", "fewer at once", 1)
        self._under_way[token.name] += 1
        try:
            if token.quota is not None:
                amount, unit = parse_quota(token.quota)
                if await self._usage.spent(token.name, unit) >= amount:
                    seconds = round((_next(unit) - datetime.now(UTC)).total_seconds())
                    raise _too_many("the quota of this token is used up", f"at most {token.quota}", seconds)
            if token.rate is not None:
                item = self._item(token.rate)
                if (wait := await self._wait(item, token.name)) is not None:
                    raise _too_many("the rate of this token is reached", f"at most {token.rate}", wait)
        except BaseException:
            self.leave(token)
            raise

    async def _wait(self, item: RateLimitItem, name: str) -> int | None:
        """Return the seconds to wait; None: the request passes."""
        if time.monotonic() < self._away_until:
            return None
        # moments of a shared store are its own: those of the gateways may differ
        exact = item.amount <= EXACT and not self._shared
        windows = self._exact if exact else self._counted
        try:
            if await windows.hit(item, name):
                return None
            reset = (await windows.get_window_stats(item, name)).reset_time
            return max(1, round(reset - datetime.now(UTC).timestamp()))
        except Exception as error:  # noqa: BLE001  # a store of rates that is away must not stop predictions
            log.warning("the rate of a token cannot be counted: %s", error)
            self._away_until = time.monotonic() + AWAY_SECONDS
            return None

    def leave(self, token: Any) -> None:
        """Count a request of a token out."""
        self._under_way[token.name] -= 1
        if not self._under_way[token.name]:
            del self._under_way[token.name]

    def _item(self, text: str) -> RateLimitItem:
        if text not in self._items:
            self._items[text] = parse_limit(text)
        return self._items[text]


class Usage:
    """Counts what tokens ask for, and writes it into the ledger every few seconds."""

    def __init__(self, store: UsageStore) -> None:
        self._store = store
        self._counts: dict[tuple[str, str, date], tuple[int, int, int]] = {}
        self._writing: dict[tuple[str, str, date], tuple[int, int, int]] = {}
        self._spent: dict[tuple[str, str], tuple[float, int]] = {}

    async def spent(self, token: str, unit: str) -> int:
        """Return the requests of a token that succeeded in this day, month or year; elsewhere up to seconds ago."""
        start = _start(unit)
        until, total = self._spent.get((token, unit), (0.0, 0))
        if time.monotonic() >= until:
            try:
                rows = await asyncio.to_thread(self._store.usage, start, datetime.now(UTC).date(), token)
                total = sum(row.requests - row.errors for row in rows)
            except Exception as error:  # noqa: BLE001  # a ledger that is away must not stop predictions
                log.warning("the quota of a token cannot be read, the last count stays: %s", error)
            self._spent[token, unit] = (time.monotonic() + FLUSH_SECONDS, total)
        unwritten = [*self._counts.items(), *self._writing.items()]
        return total + sum(
            requests - errors for (name, _, day), (requests, errors, _) in unwritten if name == token and day >= start
        )

    def count(self, token: str, model: str, status: int, rows: int) -> None:
        """Count one request; rows count where it succeeds."""
        key = (token, model, datetime.now(UTC).date())
        requests, errors, total = self._counts.get(key, (0, 0, 0))
        failed = status >= 400
        self._counts[key] = (requests + 1, errors + failed, total + (0 if failed else rows))

    async def flush(self) -> None:
        """Write what was counted; what cannot be written is kept for the next time."""
        self._writing, self._counts = self._counts, {}
        if not self._writing:
            return
        try:
            await asyncio.to_thread(self._store.count_usage, self._writing)
            self._spent.clear()
        except Exception as error:  # noqa: BLE001  # whatever the database raises, the gateway goes on serving
            log.warning("usage cannot be written: %s", error)
            for key, (requests, errors, rows) in self._writing.items():
                now = self._counts.get(key, (0, 0, 0))
                self._counts[key] = (now[0] + requests, now[1] + errors, now[2] + rows)
        self._writing = {}

    async def keep_written(self) -> None:
        """Write for ever."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()


def _store(address: str, options: dict[str, Any]) -> Storage:
    """Return the store of an address.

    Raises
    ------
    SpecError
        There is no such kind of store.
    """
    try:
        storage = storage_from_string(f"async+{address}", **options)
    except Exception as error:  # noqa: BLE001  # the library's own kinds, and those of the client that it uses
        raise SpecError(
            "the store of rates cannot be used",
            where="AIMASS_LIMITS_URL",
            seen=f"{address.partition(':')[0]}: {type(error).__name__}",  # its text holds the password
            expected="memory://, redis://HOST:PORT or rediss://HOST:PORT",
            cure="docs/settings.md",
        ) from None
    assert isinstance(storage, Storage)
    return storage


def _start(unit: str) -> date:
    today = datetime.now(UTC).date()
    return today.replace(day=1 if unit != "day" else today.day, month=1 if unit == "year" else today.month)


def _next(unit: str) -> datetime:
    start = _start(unit)
    if unit == "day":
        return datetime.combine(start + timedelta(days=1), datetime.min.time(), UTC)
    year, month = (start.year + 1, 1) if unit == "year" or start.month == 12 else (start.year, start.month + 1)
    return datetime(year, month, 1, tzinfo=UTC)


def _too_many(what: str, expected: str, seconds: int) -> RequestError:
    return RequestError(
        429,
        what,
        expected=expected,
        cure=f"try again in {seconds} s, or ask for a token with higher limits",
        headers={"Retry-After": str(seconds)},
    )
