"""Rates that several gateways count in one store."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ports import free_ports

from pipelines.errors import SpecError
from pipelines.gateway.errors import RequestError
from pipelines.gateway.quotas import Quotas, Usage
from pipelines.waiting import wait_until

TOKEN = SimpleNamespace(name="caller", rate="20/minute", quota=None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    if not shutil.which("redis-server"):
        pytest.skip("no redis-server is installed")
    port = free_ports(1)[0]
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert wait_until(lambda: b"Ready to accept" in child.stdout.readline() or None, seconds=10, every=0.0)
        yield f"redis://127.0.0.1:{port}", child
        child.kill()


def gateway(address: str) -> Quotas:
    return Quotas(Usage(SimpleNamespace()), address)


async def passes(quotas: Quotas) -> bool:
    try:
        await quotas.enter(TOKEN)
    except RequestError as error:
        return not (error.status == 429 and 1 <= int(error.headers["Retry-After"]) <= 60)
    quotas.leave(TOKEN)
    return True


def test_two_gateways_count_as_one_and_go_on_without_the_store(store):
    address, server = store

    async def scenario() -> None:
        gateways = gateway(address), gateway(address)
        passed = await asyncio.gather(*(passes(each) for _ in range(50) for each in gateways))
        assert sum(passed) == 20
        server.kill()
        server.wait()
        began = time.monotonic()
        assert all([await passes(gateways[0]) for _ in range(50)]), "predictions do not stop"
        assert time.monotonic() - began < 1.5, "nobody waits for it time and again"

    asyncio.run(scenario())


def test_a_store_that_there_is_not_is_refused_without_its_password():
    with pytest.raises(SpecError, match="store of rates") as caught:
        gateway("carrier-pigeon://:hidden@roof")
    assert "hidden" not in str(caught.value)
    assert "redis://" in caught.value.expected
