"""The gateway's side of services on other hosts: mutual TLS, and hosts that do not respond at all."""

from __future__ import annotations

import asyncio
import socket as sockets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from certificates import Authority

from pipelines.errors import DeployError
from pipelines.gateway import connection
from pipelines.gateway.services import AwayError, Service
from pipelines.gateway.tables import Table
from pipelines.inference.service import server
from pipelines.inference.service.client import ServiceClient, is_ready, usage_of
from pipelines.inference.service.tls import Certificates, split

ADDRESS = "127.0.0.1"


class Echo:
    """Stands in for the predictor: what is asked is answered as it is."""

    def __init__(self) -> None:
        self.connections: set[Any] = set()

    def respond(self, message: Any) -> bytes:
        number, operation, payload = message
        answer = {"ready": True} if operation == "ping" else {"outputs": payload["columns"], "warnings": []}
        return server.frame([number, "ok", answer])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificates(authority: Authority) -> Certificates:
    return authority.issue(ADDRESS)


@asynccontextmanager
async def service_at(certificates: Certificates) -> AsyncIterator[str]:
    """Serve on a free port, as a service of a serving host does."""
    with sockets.create_server((ADDRESS, 0)) as free:
        address = f"tls:{ADDRESS}:{free.getsockname()[1]}"
    opened = await server._listen(Echo(), address, certificates)
    try:
        yield address
    finally:
        opened.close()
        await asyncio.sleep(0.05)


def table() -> Table:
    return Table({"a": [1, "ä"]}, 2)


def test_a_service_on_a_network_is_asked_over_mutual_tls(certificates):
    async def scenario() -> None:
        async with service_at(certificates) as address:
            service = Service(4, address, certificates)
            assert (await service.predict(table())).outputs == {"a": [1, "ä"]}
            assert await asyncio.to_thread(is_ready, address, 2.0, certificates)
            service.close()

    asyncio.run(scenario())


def test_strangers_are_refused_on_both_sides(authority, certificates, tmp_path):
    stranger = Authority(tmp_path / "other").issue(ADDRESS)
    elsewhere = authority.issue("127.0.0.9")
    without_own = Certificates(stranger.certificate, stranger.key, certificates.authority)
    believes_other = Certificates(certificates.certificate, certificates.key, stranger.authority)

    async def scenario() -> None:
        async with service_at(certificates) as address:
            for wrong in (None, without_own, believes_other):
                assert not await asyncio.to_thread(is_ready, address, 2.0, wrong)
                service = Service(4, address, wrong)
                with pytest.raises(AwayError):
                    await service.predict(table())
                service.close()
            assert await asyncio.to_thread(usage_of, address, 2.0, None) is None
            assert await asyncio.to_thread(is_ready, address, 2.0, elsewhere), "any host of the authority may call"
        async with service_at(elsewhere) as address:
            assert not await asyncio.to_thread(is_ready, address, 2.0, certificates), "it is not who it says it is"

    asyncio.run(scenario())


def test_a_host_that_does_not_respond_is_left_alone_until_it_does(certificates, monkeypatch):
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.2)

    async def scenario() -> None:
        with sockets.create_server((ADDRESS, 0)) as silent:  # takes connections, and says nothing
            dead = f"tls:{ADDRESS}:{silent.getsockname()[1]}"
            async with service_at(certificates) as address:
                service = Service(4, f"{dead} {address}", certificates)
                began = time.monotonic()
                found = await asyncio.gather(*(service.predict(table()) for _ in range(100)))
                assert [each.outputs for each in found] == [{"a": [1, "ä"]}] * 100
                assert time.monotonic() - began < 3.0
                began = time.monotonic()
                for _ in range(20):
                    await service.predict(table())
                assert time.monotonic() - began < 2.0, "nobody waits for it again"
                service.close()

    asyncio.run(scenario())


def test_files_that_are_wrong_say_which(certificates, tmp_path):
    with pytest.raises(DeployError, match="cannot be read"):
        Certificates(tmp_path / "none.pem", certificates.key, certificates.authority).server()
    open_key = tmp_path / "open.key"
    open_key.write_bytes(certificates.key.read_bytes())
    open_key.chmod(0o644)
    with pytest.raises(DeployError, match="others can read a private key") as caught:
        Certificates(certificates.certificate, open_key, certificates.authority).client()
    assert str(open_key) in caught.value.where
    with pytest.raises(DeployError, match="no certificate to call it with"):
        ServiceClient("tls:127.0.0.1:1")
    assert split("tls:[::1]:7100") == ("::1", 7100)
