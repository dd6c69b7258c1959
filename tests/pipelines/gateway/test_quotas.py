from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.errors import SpecError
from pipelines.gateway import quotas as module
from pipelines.gateway.errors import RequestError
from pipelines.gateway.quotas import Quotas, Usage, parse_limit, parse_quota


class Store:
    """Counts in memory; can be away."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str, date], list[int]] = {}
        self.away = False

    def count_usage(self, counts: dict[tuple[str, str, date], tuple[int, int, int]]) -> None:
        if self.away:
            raise OSError("gone")
        for key, values in counts.items():
            self.counts[key] = [a + b for a, b in zip(self.counts.get(key, [0, 0, 0]), values, strict=True)]

    def usage(self, start: date, end: date, token: str | None = None) -> list[Any]:
        return [
            SimpleNamespace(requests=values[0], errors=values[1])
            for (name, _, day), values in self.counts.items()
            if name == token and start <= day <= end
        ]


def token(name: str = "a", rate: str | None = None, quota: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(name=name, rate=rate, quota=quota)


def ask(quotas: Quotas, caller: SimpleNamespace, times: int) -> Counter[int]:
    """Ask one after the other; count what came: 200 or the status of the refusal."""

    async def scenario() -> Counter[int]:
        found: Counter[int] = Counter()
        for _ in range(times):
            try:
                await quotas.enter(caller)
            except RequestError as error:
                found[error.status if int(error.headers["Retry-After"]) >= 1 else 0] += 1
            else:
                quotas.leave(caller)
                found[200] += 1
        return found

    return asyncio.run(scenario())


@pytest.mark.parametrize(("rate", "passing"), [("100/minute", 100), ("100/min", 100), ("20000/hour", 1000)])
def test_a_burst_passes_up_to_the_rate_and_another_token_is_untouched(rate: str, passing: int) -> None:
    quotas = Quotas(Usage(Store()))
    assert ask(quotas, token(rate=rate), 1000) == Counter(
        {200: passing, 429: 1000 - passing} if passing < 1000 else {200: 1000}
    )
    assert ask(quotas, token("b", rate=rate), 50) == {200: 50}
    assert ask(quotas, token("c"), 50) == {200: 50}


def test_a_quota_counts_what_the_ledger_and_this_process_know() -> None:
    store = Store()
    today = datetime.now(UTC).date()
    store.counts = {("a", "demo", today): [7, 0, 7], ("a", "demo", date(2020, 1, 1)): [99, 0, 99]}
    usage = Usage(store)
    quotas = Quotas(usage)
    caller = token(quota="10/month")
    for passed in range(5):
        found = ask(quotas, caller, 1)
        assert found == ({200: 1} if passed < 3 else {429: 1})
        if found[200]:
            usage.count("a", "demo", 200, 1)
    asyncio.run(usage.flush())
    assert store.counts["a", "demo", today][0] == 10
    assert ask(quotas, caller, 1) == {429: 1}


def test_usage_is_kept_while_the_ledger_is_away() -> None:
    store = Store()
    usage = Usage(store)
    store.away = True
    usage.count("a", "demo", 200, 3)
    asyncio.run(usage.flush())
    usage.count("a", "demo", 500, 3)
    store.away = False
    asyncio.run(usage.flush())
    (values,) = store.counts.values()
    assert values == [2, 1, 3]


def test_requests_of_one_token_at_once_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PER_TOKEN", 2)
    quotas = Quotas(Usage(Store()))

    async def scenario() -> None:
        await quotas.enter(token())
        await quotas.enter(token())
        with pytest.raises(RequestError) as caught:
            await quotas.enter(token())
        assert caught.value.status == 429
        await quotas.enter(token("b"))
        quotas.leave(token())
        await quotas.enter(token())

    asyncio.run(scenario())


@pytest.mark.parametrize("text", ["", "100", "x/minute", "0/minute", "1.5/minute", "9/fortnight", "nan/day", "-1/day"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="no limit"):
        parse_limit(text)


def test_a_quota_is_for_a_unit_of_the_calendar() -> None:
    assert parse_quota("1e6/month") == (1_000_000, "month")
    with pytest.raises(SpecError, match="day, a month or a year"):
        parse_quota("5/minute")


def test_a_quota_that_cannot_be_read_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    usage = Usage(store)
    quotas = Quotas(usage)

    def away(*_: object) -> list[Any]:
        raise OSError("away")

    monkeypatch.setattr(store, "usage", away)
    assert ask(quotas, token(quota="3/day"), 3) == {200: 3}
    for _ in range(3):
        usage.count("a", "demo", 200, 1)
    assert ask(quotas, token(quota="3/day"), 1) == {429: 1}, "but what this process counted holds"
