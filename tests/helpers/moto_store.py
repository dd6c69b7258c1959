"""An S3 server of moto's on 127.0.0.1, in a process of its own, and a proxy before it that fails on demand."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from ports import free_ports

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "of-tests", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def moto_server() -> Iterator[str]:
    """Run the server; yield its address."""
    (port,) = free_ports(1)
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "AWS_"))}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/moto-api/")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.1)
        else:
            return
        finally:
            connection.close()
    raise AssertionError("moto's server did not start")


def client(endpoint: str) -> Any:
    """Return boto3's client of a server."""
    import boto3

    keys = {"aws_access_key_id": "tester", "aws_secret_access_key": "of-tests", "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=endpoint, **keys)


def keys_of(endpoint: str, bucket: str, prefix: str = "") -> list[str]:
    """Return the keys of all objects."""
    pages = client(endpoint).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [each["Key"] for page in pages for each in page.get("Contents", ())]


def grant(patch: pytest.MonkeyPatch) -> None:
    """Put credentials into the environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    for name, value in CREDENTIALS.items():
        patch.setenv(name, value)


@dataclass
class Proxy:
    """What is between a client and the server."""

    url: str
    refuse: Callable[[str, str], tuple[int, str] | None] = lambda _method, _path: None
    """(method, path) → status and code of an error to answer with, None to pass the request on."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of each request."""
    hold: Callable[[str, str], float] = lambda _method, _path: 0.0
    """Seconds to wait before a request is passed on."""
    after: Callable[[str, str], bool] = lambda _method, _path: False
    """Whether to cut the connection once the request was passed on: its answer is lost."""


@contextmanager
def proxy(endpoint: str) -> Iterator[Proxy]:
    """Run a proxy before a server."""
    upstream = urlsplit(endpoint)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = (self.command, self.path)
            state.asked.append(asked)
            if (fault := state.refuse(*asked)) is not None:
                status, code = fault
                text = f"<Error><Code>{code}</Code><Message>as the test wants it</Message></Error>".encode()
                self._answer(status, [("Content-Type", "application/xml")], text)
                return
            time.sleep(state.hold(*asked))
            inner = http.client.HTTPConnection(str(upstream.hostname), upstream.port, timeout=60)
            try:
                inner.request(self.command, self.path, body, dict(self.headers))
                response = inner.getresponse()
                content, headers = response.read(), response.getheaders()
            finally:
                inner.close()
            if state.after(*asked):
                self.close_connection = True
                return
            self._answer(response.status, headers, content)

        def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self._pass
            raise AttributeError(name)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Proxy(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Address of one server for all tests."""
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a new bucket; the environment has credentials for it, and the server's address."""
    grant(monkeypatch)
    monkeypatch.setenv("AIMASS_S3_ENDPOINT", s3_endpoint)
    name = f"b-{uuid.uuid4().hex[:12]}"
    client(s3_endpoint).create_bucket(Bucket=name)
    return name
