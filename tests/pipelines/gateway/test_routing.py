from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from pipelines.gateway.canary import Rollout
from pipelines.gateway.errors import RequestError
from pipelines.gateway.routing import Router, ServiceTarget, take_snapshot


def row(version, actual="ready", desired="serve", model="demo"):
    return SimpleNamespace(model=model, version=version, actual=actual, address=f"unix:/{version}", desired=desired)


def target(version, ready=True):
    return ServiceTarget(version, f"unix:/{version}", ready)


class Table:
    """A serving table that can break."""

    def __init__(self, live, *rows):
        self.live, self.rows, self.reads, self.rollouts, self.held = live, rows, 0, [], {}

    def routes(self):
        self.reads += 1
        if isinstance(self.live, Exception):
            raise self.live
        return self.live

    def serving(self, model=None):
        return self.rows

    def exposed_rollouts(self):
        return self.rollouts

    def paused(self):
        return self.held


def test_the_live_version_comes_first_then_the_newest():
    taken = take_snapshot(Table({"demo": 2}, row(1), row(2), row(3)))
    assert taken.targets["demo"] == (target(2), target(3), target(1))
    assert taken.ready("demo") == [2, 3, 1]


def test_a_release_in_progress_is_known_while_its_candidate_is_served():
    table = Table({"demo": 2}, row(2), row(3))
    for version, known in ((3, True), (4, False), (2, False)):
        table.rollouts = [SimpleNamespace(id=7, model="demo", version=version, share=5, shadow=False)]
        taken = take_snapshot(table)
        assert taken.rollouts == ({"demo": Rollout(7, 3, 5, False)} if known else {}), version


def chosen(table, version=None):
    async def choose():
        return (await Router(table).service("demo", version)).version

    return asyncio.run(choose())


def test_the_live_version_is_waited_for_while_it_is_started_again():
    table = Table({"demo": 2}, row(1), row(2, actual="starting"))
    assert take_snapshot(table).targets["demo"] == (target(2, ready=False), target(1))
    assert chosen(table) == 2


def test_another_ready_version_answers_while_the_live_one_cannot_be_served():
    assert chosen(Table({"demo": 2}, row(1), row(2, actual="failed"))) == 1


def test_nobody_gets_a_version_that_is_still_being_proved():
    for table in (Table({"demo": 2}, row(3), row(2, actual="failed")), Table({}, row(1))):
        with pytest.raises(RequestError) as caught:
            chosen(table)
        assert caught.value.status == 503
    assert chosen(Table({"demo": 2}, row(3), row(2, actual="failed")), 3) == 3, "but by its number"


def test_a_version_is_asked_for_by_number_or_label():
    table = Table({"demo": 2}, row(1), row(2), row(3))
    assert [chosen(table, version) for version in (1, 2, 3)] == [1, 2, 3]
    with pytest.raises(RequestError, match="not served") as caught:
        chosen(table, 4)
    assert caught.value.status == 404
    labels = {label: asyncio.run(Router(table).labelled("demo", label)) for label in ("live", "champion", "newest")}
    assert labels == {"live": 2, "champion": 2, "newest": 3}
    with pytest.raises(RequestError, match="label"):
        asyncio.run(Router(table).labelled("demo", "oldest"))


def test_nothing_ready_is_503_and_an_unknown_model_404():
    with pytest.raises(RequestError) as caught:
        chosen(Table({"demo": 1}, row(1, actual="failed")))
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (503, "2")
    with pytest.raises(RequestError) as caught:
        chosen(Table({}))
    assert caught.value.status == 404


def test_what_is_to_stop_is_no_target_unless_it_is_live():
    table = Table({"demo": 2}, row(1, desired="stop"), row(2, desired="stop"))
    assert take_snapshot(table).targets["demo"] == (target(2),)


def test_a_model_without_a_ready_service_is_known():
    taken = take_snapshot(Table({"demo": 1}, row(1, actual="failed")))
    assert taken.models() == ["demo"]
    assert taken.targets["demo"] == ()


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
    assert router.snapshot.targets["demo"] == (target(1),)
    assert router.fresh()


def test_many_who_ask_at_once_share_one_refresh():
    table = Table({"demo": 1}, row(1))
    router = Router(table)

    async def scenario():
        since = router.snapshot.taken
        await asyncio.gather(*(router.refresh(since=since) for _ in range(20)))

    asyncio.run(scenario())
    assert table.reads == 1


def test_a_paused_model_answers_nobody_and_says_why():
    table = Table({"demo": 2}, row(1), row(2))
    table.held = {"demo": "paused by ann: odd scores"}
    for version in (None, 1):
        with pytest.raises(RequestError, match="paused") as caught:
            chosen(table, version)
        assert (caught.value.status, caught.value.headers["Retry-After"]) == (503, "60")
        assert caught.value.error["seen"] == "paused by ann: odd scores"
    table.held = {"other": "paused by ann: odd scores"}
    assert chosen(table) == 2
