from __future__ import annotations

import asyncio
from types import SimpleNamespace

from pipelines.gateway.routing import Router, ServiceTarget, take_snapshot


def row(version, actual="ready", port=9000, desired="serve", model="demo"):
    return SimpleNamespace(model=model, version=version, actual=actual, port=port + version, desired=desired)


class Table:
    """A serving table that can break."""

    def __init__(self, live, *rows):
        self.live, self.rows, self.reads = live, rows, 0

    def routes(self):
        self.reads += 1
        if isinstance(self.live, Exception):
            raise self.live
        return self.live

    def serving(self, model=None):
        return self.rows


def test_the_live_version_comes_first_then_the_newest():
    taken = take_snapshot(Table({"demo": 2}, row(1), row(2), row(3)))
    assert taken.targets("demo") == (ServiceTarget(2, 9002), ServiceTarget(3, 9003), ServiceTarget(1, 9001))


def test_another_ready_version_answers_while_the_live_one_is_not_ready():
    taken = take_snapshot(Table({"demo": 2}, row(1), row(2, actual="starting")))
    assert taken.targets("demo") == (ServiceTarget(1, 9001),)


def test_what_is_to_stop_is_no_target_unless_it_is_live():
    table = Table({"demo": 2}, row(1, desired="stop"), row(2, desired="stop"))
    assert take_snapshot(table).targets("demo") == (ServiceTarget(2, 9002),)


def test_a_model_without_a_ready_service_is_known():
    taken = take_snapshot(Table({"demo": 1}, row(1, actual="failed")))
    assert taken.models() == ["demo"]
    assert taken.targets("demo") == ()


def test_while_the_ledger_is_away_the_last_snapshot_stays():
    table = Table({"demo": 1}, row(1))
    router = Router(table)

    async def scenario():
        await router.refresh()
        table.live = OSError("gone")
        keeper = asyncio.create_task(router.keep_fresh())
        await asyncio.sleep(0.1)
        assert not keeper.done()
        keeper.cancel()

    asyncio.run(scenario())
    assert router.snapshot.targets("demo") == (ServiceTarget(1, 9001),)
    assert router.fresh()


def test_many_who_ask_at_once_share_one_refresh():
    table = Table({"demo": 1}, row(1))
    router = Router(table)

    async def scenario():
        since = router.snapshot.taken
        await asyncio.gather(*(router.refresh(since=since) for _ in range(20)))

    asyncio.run(scenario())
    assert table.reads == 1
