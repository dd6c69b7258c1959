"""When a call is tried again, and what a failure says: against a server that fails as it is told to."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.client import AsyncClient, Client, calls
from pipelines.client.errors import (
    AuthenticationError,
    ClientError,
    DeadlineError,
    LimitError,
    RefusedError,
    UnavailableError,
)

Reply = tuple[int, dict[str, str], bytes]
HANG_UP: Reply = (0, {}, b"")
GARBAGE: Reply = (200, {}, b"<html>a proxy's page</html>")


def told(status: int, what: str = "no", **headers: str) -> Reply:
    error = {
        "what": what,
        "where": "instances[3]",
        "seen": "s",
        "expected": "e",
        "cure": "c",
        "faults": ["row 3 lacks 'a'"],
    }
    return status, {**headers, "x-request-id": "7f"}, json.dumps({"error": error, "request_id": "7f"}).encode()


class Server(ThreadingHTTPServer):
    """Answers with the replies that are queued, and then with predictions."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: list[Reply] = []
        self.seen: list[SimpleNamespace] = []
        self.reply: Callable[[Any], Reply | None] = lambda body: self.replies.pop(0) if self.replies else None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rows = body["instances"]
        self.server.seen.append(
            SimpleNamespace(
                path=self.path,
                token=self.headers["Authorization"],
                sticky_key=self.headers["X-Sticky-Key"],
                at=time.monotonic(),
                rows=rows,
            )
        )
        content = {
            "predictions": [{"prediction": row["n"]} for row in rows],
            "model_version": 1,
            "request_id": str(rows[0]["n"]),
        }
        content["warnings"] = [{"row": len(rows) - 1, "column": "n", "kind": "unseen"}]
        status, headers, data = self.server.reply(rows) or (200, {}, json.dumps(content).encode())
        if not status:
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def both(url: str, **settings: Any) -> Iterator[list[Callable[..., Any]]]:
    """The method predict of both clients, to be called alike."""

    def later(model: str, rows: Any, **asked: Any) -> Any:
        async def run() -> Any:
            async with AsyncClient(url, "aimass_t", **settings) as client:
                return await client.predict(model, rows, **asked)

        return asyncio.run(run())

    with Client(url, "aimass_t", **settings) as client:
        yield [client.predict, later]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "FIRST_WAIT", 0.01)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "replies",
    [[told(503)], [told(429)], [told(502), told(504)], [HANG_UP], [HANG_UP, told(503), HANG_UP, told(429), told(502)]],
)
def test_what_another_attempt_may_cure_is_tried_again(server: Server, replies: list[Reply]) -> None:
    with both(server.url) as clients:
        for predict in clients:
            server.replies, server.seen = list(replies), []
            assert predict("churn", [{"n": 5}]).values == [5]
            assert len(server.seen) == len(replies) + 1
            assert {(each.path, each.token) for each in server.seen} == {
                ("/v1/models/churn:predict", "Bearer aimass_t")
            }


@pytest.mark.usefixtures("quick")
def test_a_sticky_key_goes_with_every_request_and_attempt_of_a_call(server: Server) -> None:
    rows = [{"n": number} for number in range(2_500)]
    with both(server.url) as clients:
        for predict in clients:
            server.replies, server.seen = [told(503)], []
            assert len(predict("churn", rows, sticky_key="customer 17").values) == len(rows)
            assert [each.sticky_key for each in server.seen] == ["customer 17"] * 4
            predict("churn", rows[:1])
            assert server.seen[-1].sticky_key is None


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("reply", "kind", "sent"),
    [
        (told(503, "none ready"), UnavailableError, 4),
        (told(429), LimitError, 4),
        (told(400), RefusedError, 1),
        (told(401), AuthenticationError, 1),
        (told(413), RefusedError, 1),
        (told(500), UnavailableError, 1),
        (GARBAGE, UnavailableError, 1),
    ],
)
def test_a_failure_says_all_that_the_gateway_said(
    server: Server, reply: Reply, kind: type[ClientError], sent: int
) -> None:
    with both(server.url, attempts=4) as clients:
        for predict in clients:
            server.replies, server.seen = [reply] * 9, []
            with pytest.raises(kind) as caught:
                predict("churn", [{"n": 5}])
            assert type(caught.value) is kind
            assert len(server.seen) == sent
            error = caught.value
            assert error.status == reply[0]
            if reply is not GARBAGE:
                assert (error.request_id, error.where, error.seen, error.cure) == ("7f", "instances[3]", "s", "c")
                assert error.faults == ["row 3 lacks 'a'"]
                assert "request id: 7f" in str(error)


def test_retry_after_is_kept_to_in_seconds_and_as_a_date(server: Server) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    with Client(server.url, "aimass_t") as client:
        for header, least in (("1", 1.0), (moment, 0.9)):
            server.replies, server.seen = [told(503, **{"Retry-After": header})], []
            assert client.predict("churn", [{"n": 1}]).values == [1]
            first, second = server.seen
            assert least <= second.at - first.at < 4


def test_waits_grow_are_spread_and_capped() -> None:
    waits = [[calls.wait_before(attempt) for _ in range(200)] for attempt in (2, 3, 4, 12)]
    for drawn, longest in zip(waits, (0.2, 0.4, 0.8, 10), strict=True):
        assert longest / 2 <= min(drawn) < max(drawn) <= longest
        assert len(set(drawn)) > 100


def test_the_deadline_ends_a_call_and_tells_the_last_failure(server: Server) -> None:
    with both(server.url, deadline=1.0, attempts=50) as clients:
        for predict in clients:
            server.replies = [told(503, "none ready")] * 99
            began = time.monotonic()
            with pytest.raises(DeadlineError, match="deadline") as caught:
                predict("churn", [{"n": 5}])
            assert time.monotonic() - began < 1.8
            assert "none ready" in caught.value.seen
            server.replies = [told(429, "quota", **{"Retry-After": "86400"})]
            began = time.monotonic()
            with pytest.raises(LimitError, match="quota") as limit:
                predict("churn", [{"n": 5}])
            assert time.monotonic() - began < 0.8, "waiting for longer than there is time is no use"
            assert limit.value.retry_after == 86400


def test_a_response_that_does_not_come_is_given_up(server: Server) -> None:
    server.reply = lambda rows: time.sleep(1.5)
    with both(server.url, deadline=0.2, attempts=2) as clients:
        for predict in clients:
            began = time.monotonic()
            with pytest.raises(DeadlineError):
                predict("churn", [{"n": 5}])
            assert time.monotonic() - began < 1.2


@pytest.mark.usefixtures("quick")
def test_many_rows_come_back_in_order_with_the_numbers_of_the_whole_input(server: Server) -> None:
    failed: set[int] = set()

    def some_fail(rows: Any) -> Reply | None:
        first = rows[0]["n"]
        time.sleep(0.02 * (first % 3))
        if first in (2000, 5000) and first not in failed:
            failed.add(first)
            return told(503)
        return None

    server.reply = some_fail
    with both(server.url, concurrency=3) as clients:
        for predict in clients:
            failed.clear()
            found = predict("churn", ({"n": n} for n in range(7500)))
            assert found.values == list(range(7500))
            assert [part.first_row for part in found.parts] == list(range(0, 7500, 1000))
            assert found.request_ids == tuple(str(n) for n in range(0, 7500, 1000))
            assert [warning.row for warning in found.warnings] == [*range(999, 7000, 1000), 7499]
            assert found.model_version == 1
            assert len(found) == 7500


@pytest.mark.usefixtures("quick")
def test_one_refused_part_ends_the_call_and_its_rows_are_numbered_as_in_the_input(server: Server) -> None:
    server.reply = lambda rows: (
        told(400) if rows[0]["n"] == 3000 else told(503, **{"Retry-After": "30"}) if rows[0]["n"] else None
    )
    with both(server.url, concurrency=4) as clients:
        for predict in clients:
            server.seen = []
            began = time.monotonic()
            with pytest.raises(RefusedError) as caught:
                predict("churn", ({"n": n if n >= 2000 else 0} for n in range(1000, 100_000)))
            assert time.monotonic() - began < 5
            assert caught.value.where == "rows 2000 to 2999: instances[2003]"
            assert caught.value.faults == ["row 2003 lacks 'a'"]
            assert len(server.seen) < 12, "what comes behind a failure is not sent"


def test_no_connection_is_told_with_the_address() -> None:
    with both("http://127.0.0.1:9", attempts=2) as clients:
        for predict in clients:
            with pytest.raises(UnavailableError, match="does not respond") as caught:
                predict("churn", [{"n": 1}])
            assert caught.value.status is None
            assert "aimass_t" not in str(caught.value)
