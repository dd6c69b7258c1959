"""A share of the callers reaches a candidate, nobody notices one that fails, and both arms are counted."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.gateway.calls import Call
from pipelines.gateway.canary import CANDIDATE, CONTROL, COPIES, SAMPLE, Canaries, Rollout, Sample, sticky_key
from pipelines.gateway.core import Gateway
from pipelines.gateway.errors import RequestError
from pipelines.gateway.routing import Snapshot
from pipelines.gateway.services import AwayError, Predicted
from pipelines.gateway.tables import Table

TABLE = Table({"x": [1.0]}, 1)


class Written:
    """The counts that a ledger would hold."""

    def __init__(self, fails: int = 0) -> None:
        self.counts: dict[tuple[int, int, str], Any] = {}
        self.fails = fails

    def exposed_rollouts(self) -> list[Any]:
        return []

    def count_arm(self, rollout: int, share: int, arm: str, gateway: str, counts: Any) -> None:
        if self.fails:
            self.fails -= 1
            raise OSError("the ledger is away")
        self.counts[rollout, share, arm] = counts


def answer(version: int, label: str = "no", probability: float = 0.25) -> Any:
    async def ask() -> tuple[Predicted, Table]:
        return Predicted(version, {"prediction": [label], "probability": [probability]}, []), TABLE

    return ask


def failing(error: Exception) -> Any:
    async def ask() -> tuple[Predicted, Table]:
        raise error

    return ask


def run(rollout: Rollout, live: Any, candidate: Any, requests: int = 200) -> tuple[list[Any], Written]:
    written = Written()

    async def go() -> list[Any]:
        canaries = Canaries(written)
        found: list[Any] = []
        for index in range(requests):
            try:
                predicted, _ = await canaries.predict(rollout, f"caller-{index}", live, candidate)
                found.append(predicted.version)
            except RequestError as error:
                found.append(error.status)
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        await canaries.flush()
        return found

    return asyncio.run(go()), written


def test_a_caller_sees_one_version_and_keeps_it_as_the_share_grows() -> None:
    keys = [f"caller-{index}" for index in range(4_000)]
    picked = {share: {key for key in keys if Rollout(1, 2, share, False).picks(key)} for share in (0, 5, 25, 50, 100)}
    assert not picked[0]
    assert picked[5] < picked[25] < picked[50] < picked[100] == set(keys)
    for share in (5, 25, 50):
        assert abs(len(picked[share]) / len(keys) - share / 100) < 0.02
    other = {key for key in keys if Rollout(2, 3, 25, False).picks(key)}
    assert other != picked[25], "not always the same callers try a candidate"


def test_both_arms_are_counted() -> None:
    found, written = run(Rollout(7, 2, 50, False), answer(1), answer(2, "yes", 0.75))
    control, candidate = written.counts[7, 50, CONTROL], written.counts[7, 50, CANDIDATE]
    assert set(found) == {1, 2}
    assert (control["requests"], candidate["requests"]) == (found.count(1), found.count(2))
    assert control["labels"] == {"no": found.count(1)}
    assert candidate["labels"] == {"yes": found.count(2)}
    assert set(candidate["values"]) == {0.75}
    assert len(candidate["ms"]) == found.count(2)
    assert candidate["errors"] == 0


@pytest.mark.parametrize(
    "error",
    [
        RequestError(502, "the model failed"),
        RequestError(504, "no response in time"),
        RequestError(400, "1 of 1 rows cannot be read", faults=["row 0 lacks 'age'"]),
        AwayError("version 2 is gone"),
    ],
)
def test_callers_do_not_notice_a_candidate_that_fails(error: Exception) -> None:
    found, written = run(Rollout(7, 2, 25, False), answer(1), failing(error))
    assert set(found) == {1}
    candidate = written.counts[7, 25, CANDIDATE]
    assert candidate["errors"] == candidate["requests"] > 20
    (why,) = candidate["faults"]
    assert "age" in why or "failed" in why or "time" in why or "gone" in why


def test_what_the_live_version_refuses_too_says_nothing_of_the_candidate() -> None:
    refused = failing(RequestError(400, "1 of 1 rows cannot be read"))
    found, written = run(Rollout(7, 2, 50, False), refused, refused)
    assert set(found) == {400}
    assert not written.counts


def test_failures_of_the_live_version_are_counted_as_its_own() -> None:
    found, written = run(Rollout(7, 2, 5, False), failing(RequestError(502, "the model failed")), answer(2))
    control = written.counts[7, 5, CONTROL]
    assert control["errors"] == control["requests"] == found.count(502)


def test_a_shadow_gets_copies_and_callers_the_live_version() -> None:
    found, written = run(Rollout(7, 2, 0, True), answer(1), answer(2, "yes", 0.75))
    assert set(found) == {1}
    candidate = written.counts[7, 0, CANDIDATE]
    assert candidate["requests"] == candidate["compared"] == candidate["flips"] == len(found)


def test_a_shadow_that_hangs_takes_no_more_than_its_share() -> None:
    async def hang() -> tuple[Predicted, Table]:
        await asyncio.sleep(30)
        raise AssertionError

    async def go() -> tuple[int, float]:
        canaries = Canaries(Written())
        started = asyncio.get_running_loop().time()
        for index in range(100):
            await canaries.predict(Rollout(7, 2, 0, True), str(index), answer(1), hang)
        return canaries.copies_left_out, asyncio.get_running_loop().time() - started

    left_out, seconds = asyncio.run(go())
    assert left_out == 100 - COPIES
    assert seconds < 5


def test_counts_outlast_a_ledger_that_is_away() -> None:
    async def go() -> Written:
        written = Written(fails=1)
        canaries = Canaries(written)
        await canaries.predict(Rollout(7, 2, 0, False), "a", answer(1), answer(2))
        await canaries.flush()
        assert not written.counts
        await canaries.flush()
        return written

    assert asyncio.run(go()).counts[7, 0, CONTROL]["requests"] == 1


def test_a_sample_is_even_over_all_numbers() -> None:
    sample = Sample()
    for number in range(20_000):
        sample.add(float(number))
    assert len(sample.kept) == SAMPLE
    assert abs(sum(sample.kept) / SAMPLE - 10_000) < 1_000


def test_the_arm_hangs_on_the_callers_key_then_the_rows_then_chance() -> None:
    keyed = Table({"x": [1.0]}, 1, {"id": [17]})
    assert sticky_key("mine", keyed, "r") == "mine"
    assert sticky_key("", keyed, "r") == sticky_key(None, keyed, "other")
    assert sticky_key("", TABLE, "r") == "r"


def test_a_copy_that_is_late_changes_nothing_of_what_is_logged() -> None:
    """The log has the cells that the live version read beside its prediction, not those of the candidate's copy."""

    class Service:
        def __init__(self, version: int) -> None:
            self.version = version

        async def shape(self) -> int:
            return self.version

        async def predict(self, table: Table, *_: str) -> Predicted:
            await asyncio.sleep(0)
            return Predicted(self.version, {"prediction": ["no"], "probability": [0.5]}, [])

    class Routes:
        snapshot = Snapshot(rollouts={"demo": Rollout(7, 2, 0, True)})

        async def service(self, model: str, version: int | None) -> Service:
            return Service(version or 1)

    async def go() -> tuple[Call, int]:
        written = Written()
        gateway: Any = SimpleNamespace(router=Routes(), canaries=Canaries(written), tracing=None)

        async def service(model: str, version: int | None) -> tuple[Service, int]:
            return Service(1), 1

        gateway.service = service
        call = Call("id", 0.0)
        read: Any = lambda shape: Table({f"of version {shape}": [1.0]}, 1)  # noqa: E731 - what a route passes
        await Gateway.predict(gateway, call, "demo", None, read)
        await asyncio.sleep(0.05)
        await gateway.canaries.flush()
        return call, written.counts[7, 0, CANDIDATE]["requests"]

    call, copies = asyncio.run(go())
    assert copies == 1
    assert call.predicted is not None
    assert call.predicted.version == 1
    assert call.table is not None
    assert list(call.table.columns) == ["of version 1"]
