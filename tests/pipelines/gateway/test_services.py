"""The gateway's side of a service, against sockets that answer, hang, close or lie."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.deployment.serve import short_folder
from pipelines.gateway import instance
from pipelines.gateway import services as module
from pipelines.gateway.errors import RequestError
from pipelines.gateway.services import AwayError, Service, held
from pipelines.gateway.tables import Table
from pipelines.inference.service.frames import CLOSING, FrameReader, frame

Answer = Callable[[Any], Awaitable[list[Any] | None]]


@pytest.fixture
def socket() -> Path:
    return short_folder() / "s"


@asynccontextmanager
async def listening(socket: Path, answer: Answer) -> Any:
    """Answer messages by a function; None closes the connection."""
    writers: list[asyncio.StreamWriter] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        frames = FrameReader()
        while data := await reader.read(65536):
            for message in frames.feed(data):
                reply = await answer(message)
                if reply is None:
                    writer.close()
                    return
                writer.write(frame(reply))

    socket.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(talk, socket)
    try:
        yield writers
    finally:
        await asyncio.sleep(0.01)  # asyncio leaves open what it has accepted when the server is closed at that moment
        server.close()
        for writer in writers:
            writer.close()
        await asyncio.sleep(0.01)


async def echo(message: Any) -> list[Any]:
    """Predict each cell of column a as itself."""
    number, operation, payload = message
    if operation != "predict":
        return [number, "ok", {"ready": True}]
    cells = payload["columns"]["a"]
    if "bad" in cells:
        return [number, "failed", {"what": "the model failed"}]
    warnings = [[row, "a", "missing"] for row, cell in enumerate(cells) if cell is None]
    return [number, "ok", {"outputs": {"prediction": cells, "probabilities": {"x": cells}}, "warnings": warnings}]


def table(*cells: Any) -> Table:
    return Table({"a": list(cells)}, len(cells))


def test_concurrent_rows_share_calls_and_each_gets_its_own(socket: Path) -> None:
    calls: list[int] = []

    async def counting(message: Any) -> list[Any]:
        calls.append(message[2]["rows"])
        await asyncio.sleep(0.01)
        return await echo(message)

    async def scenario() -> None:
        async with listening(socket, counting):
            service = Service(3, f"unix:{socket}")
            found = await asyncio.gather(*(service.predict(table(n, None)) for n in range(100)))
            assert [each.outputs["prediction"] for each in found] == [[n, None] for n in range(100)]
            assert all(each.outputs["probabilities"] == {"x": each.outputs["prediction"]} for each in found)
            assert {tuple(map(tuple, each.warnings)) for each in found} == {((1, "a", "missing"),)}
            assert {each.version for each in found} == {3}
            service.close()

    asyncio.run(scenario())
    assert sum(calls) == 200
    assert len(calls) < 12
    assert max(calls) <= module.BATCH_ROWS


def test_one_bad_row_fails_alone(socket: Path) -> None:
    async def scenario() -> None:
        async with listening(socket, echo):
            service = Service(1, f"unix:{socket}")
            cells: list[Any] = [*range(20), "bad", *range(20)]
            found = await asyncio.gather(*(service.predict(table(cell)) for cell in cells), return_exceptions=True)
            failed = [each for each in found if isinstance(each, RequestError)]
            assert [error.status for error in failed] == [502]
            assert [each.outputs["prediction"] for each in found if not isinstance(each, BaseException)] == [
                [cell] for cell in cells if cell != "bad"
            ]

    asyncio.run(scenario())


def test_integers_beyond_64_bits_arrive_as_their_digits(socket: Path) -> None:
    async def scenario() -> None:
        async with listening(socket, echo):
            service = Service(1, f"unix:{socket}")
            assert (await service.predict(table(10**30, 2**64 - 1, -(2**63)))).outputs["prediction"] == [
                "1" + "0" * 30,
                2**64 - 1,
                -(2**63),
            ]

    asyncio.run(scenario())


def test_a_cell_of_one_caller_fails_no_other(socket: Path) -> None:
    async def scenario() -> None:
        async with listening(socket, echo):
            service = Service(1, f"unix:{socket}")
            cells: list[Any] = [1, {"x": [10**30]}, 2]
            found = await asyncio.gather(*(service.predict(table(cell)) for cell in cells))
            assert [each.outputs["prediction"] for each in found] == [[1], [{"x": ["1" + "0" * 30]}], [2]]
            assert (await service.explain({"a": 10**30})) == {"ready": True}

    asyncio.run(scenario())


def test_calls_that_wait_their_turn_are_not_late(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EXPLAINING", 100)

    async def slow(message: Any) -> list[Any]:
        await asyncio.sleep(0.05)
        return await echo(message)

    async def scenario() -> None:
        async with listening(socket, slow):
            service = Service(1, f"unix:{socket}")
            found = await asyncio.gather(*(service.call("explain", {}, 0.2) for _ in range(20)))
            assert len(found) == 20
            assert not service.hangs

    asyncio.run(scenario())


def test_only_a_few_rows_are_explained_at_once(socket: Path) -> None:
    async def scenario() -> None:
        async with listening(socket, echo):
            service = Service(1, f"unix:{socket}")
            found = await asyncio.gather(*(service.explain({}) for _ in range(20)), return_exceptions=True)
            refused = [each for each in found if isinstance(each, RequestError)]
            assert {error.status for error in refused} == {503}
            assert len(refused) == 20 - module.MAX_EXPLAINING

    asyncio.run(scenario())


def test_requests_wait_for_a_service_that_is_started_again(socket: Path) -> None:
    async def scenario() -> None:
        service = Service(1, f"unix:{socket}")
        seen = []

        async def dying(message: Any) -> list[Any] | None:
            seen.append(message)
            return None

        async with listening(socket, dying):
            waiting = [asyncio.create_task(held(partial(service.predict, table(n)))) for n in range(10)]
            while not seen:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        async with listening(socket, echo):
            found = await asyncio.gather(*waiting)
        assert [each.outputs["prediction"] for each in found] == [[n] for n in range(10)]

    asyncio.run(scenario())


def test_one_that_hangs_opens_the_breaker_until_it_answers_again(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CALL_SECONDS", 0.2)
    monkeypatch.setattr(instance, "PING_SECONDS", 0.05)
    hangs = True

    async def hanging(message: Any) -> list[Any]:
        while hangs:
            await asyncio.sleep(0.01)
        return await echo(message)

    async def scenario() -> None:
        nonlocal hangs
        async with listening(socket, hanging):
            service = Service(1, f"unix:{socket}")
            with pytest.raises(RequestError) as late:
                await service.predict(table(1))
            assert (late.value.status, service.hangs) == (504, True)
            started = asyncio.get_running_loop().time()
            with pytest.raises(RequestError) as refused:
                await service.predict(table(2))
            assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "2")
            assert asyncio.get_running_loop().time() - started < 0.1
            hangs = False
            while service.hangs:
                await asyncio.sleep(0.01)
            assert (await service.predict(table(3))).outputs["prediction"] == [3]
            service.close()

    asyncio.run(scenario())


def test_too_many_that_wait_are_refused(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 5)

    async def scenario() -> None:
        service = Service(1, f"unix:{socket}")
        large = Table({"a": [1] * module.BATCH_ROWS}, module.BATCH_ROWS)
        found = await asyncio.gather(*(service.predict(large) for _ in range(12)), return_exceptions=True)
        assert sum(isinstance(each, AwayError) for each in found) == 5 + module.UNDER_WAY, "nobody listens"
        whys = [each.error["seen"] for each in found if isinstance(each, RequestError)]
        assert whys == ["too many requests wait for this model"] * (12 - 5 - module.UNDER_WAY)

    asyncio.run(scenario())


def test_one_that_closes_is_asked_nothing_new(socket: Path) -> None:
    asked: list[Any] = []

    async def scenario() -> None:
        async def answer(message: Any) -> list[Any]:
            asked.append(message)
            return await echo(message)

        async with listening(socket, answer) as writers:
            service = Service(1, f"unix:{socket}")
            await service.predict(table(1))
            writers[0].write(frame([0, CLOSING, None]))
            await asyncio.sleep(0.05)
            assert (await service.predict(table(2))).outputs["prediction"] == [2]
            assert len(writers) == 2, "over a new connection"

    asyncio.run(scenario())
    assert len(asked) == 2


def test_what_is_no_message_ends_the_connection(socket: Path) -> None:
    async def scenario() -> None:
        async def lying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.write(b"\x00\x00\x00\x01\xc1")
            await writer.drain()

        server = await asyncio.start_unix_server(lying, socket)
        service = Service(1, f"unix:{socket}")
        monkey = module.HOLD_SECONDS
        module.HOLD_SECONDS = 0.3
        try:
            with pytest.raises(RequestError) as caught:
                await held(partial(service.predict, table(1)))
        finally:
            module.HOLD_SECONDS = monkey
            server.close()
        assert caught.value.status == 503

    asyncio.run(scenario())


@asynccontextmanager
async def two(socket: Path, first: Answer, second: Answer = echo) -> Any:
    """Serve a version by two instances."""
    other = socket.with_name("s-2")
    async with listening(socket, first), listening(other, second):
        service = Service(1, f"unix:{socket} unix:{other}")
        try:
            yield service
        finally:
            service.close()


def counted(seen: list[int], seconds: float = 0.02) -> Answer:
    """Predict after a while, and count the calls."""

    async def answer(message: Any) -> list[Any]:
        if message[1] == "predict":
            seen.append(message[0])
        await asyncio.sleep(seconds)
        return await echo(message)

    return answer


def test_instances_share_the_calls(socket: Path) -> None:
    first: list[int] = []
    second: list[int] = []

    async def scenario() -> None:
        async with two(socket, counted(first), counted(second)) as service:
            large = [Table({"a": [n] * module.BATCH_ROWS}, module.BATCH_ROWS) for n in range(12)]
            found = await asyncio.gather(*(service.predict(each) for each in large))
            assert [each.outputs["prediction"][0] for each in found] == list(range(12))

    asyncio.run(scenario())
    assert (len(first), len(second)) == (6, 6)


def test_a_call_on_one_that_dies_goes_to_another_at_once(socket: Path) -> None:
    async def dying(_: Any) -> None:
        return None

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with two(socket, dying) as service:
            started = loop.time()
            found = await asyncio.gather(*(service.predict(table(n)) for n in range(50)))
            assert [each.outputs["prediction"] for each in found] == [[n] for n in range(50)]
            assert loop.time() - started < module.AWAY_SECONDS, "nobody was waited for"

    asyncio.run(scenario())


def test_one_that_never_was_there_is_left_out(socket: Path) -> None:
    async def scenario() -> None:
        async with listening(socket, echo):
            service = Service(1, f"unix:{socket.with_name('nobody')} unix:{socket}")
            started = asyncio.get_running_loop().time()
            for n in range(20):
                assert (await service.predict(table(n))).outputs["prediction"] == [n]
            assert asyncio.get_running_loop().time() - started < module.AWAY_SECONDS
            service.close()

    asyncio.run(scenario())


def test_all_gone_is_away(socket: Path) -> None:
    async def scenario() -> None:
        service = Service(1, f"unix:{socket} unix:{socket.with_name('s-2')}")
        with pytest.raises(AwayError):
            await service.predict(table(1))

    asyncio.run(scenario())


def test_a_call_on_one_that_hangs_goes_to_another_once(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CALL_SECONDS", 0.2)
    late: list[int] = []

    async def scenario() -> None:
        async with two(socket, counted(late, 0.8)) as service:
            assert (await service.predict(table(1))).outputs["prediction"] == [1]
            started = asyncio.get_running_loop().time()
            for n in range(20):
                assert (await service.predict(table(n))).outputs["prediction"] == [n]
            assert asyncio.get_running_loop().time() - started < 0.15, "the breaker is open for that one alone"
            assert not service.hangs
        both: list[int] = []
        async with two(socket, counted(both, 0.8), counted(both, 0.8)) as service:
            with pytest.raises(RequestError) as caught:
                await service.predict(table(1))
            assert (caught.value.status, len(both)) == (504, 2)
            assert service.hangs
            with pytest.raises(RequestError) as caught:
                await service.predict(table(1))
            assert (caught.value.status, len(both)) == (503, 2), "refused at once"

    asyncio.run(scenario())


def test_a_bad_row_is_asked_for_once(socket: Path) -> None:
    calls: list[int] = []

    async def scenario() -> None:
        async with two(socket, counted(calls), counted(calls)) as service:
            with pytest.raises(RequestError) as caught:
                await service.predict(table("bad"))
            assert caught.value.status == 502

    asyncio.run(scenario())
    assert len(calls) == 1
