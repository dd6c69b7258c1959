"""Hosts on one machine: network namespaces on a bridge, each with a loopback of its own."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000


def able() -> bool:
    """Tell whether this process may make network namespaces."""
    done = subprocess.run(["ip", "netns", "add", f"aimass-try-{os.getpid()}"], capture_output=True, check=False)
    if done.returncode == 0:
        _ip("netns", "del", f"aimass-try-{os.getpid()}")
    return done.returncode == 0


class Network:
    """A bridge with hosts; the tests' own process is at the first address."""

    def __init__(self, prefix: str, names: list[str]) -> None:
        self.prefix, self.bridge = prefix, f"aim{os.getpid() % 100_000}"
        self.names = names
        self.address = f"{prefix}.1"

    def __enter__(self) -> Network:
        _ip("link", "add", self.bridge, "type", "bridge")
        _ip("address", "add", f"{self.address}/24", "dev", self.bridge)
        _ip("link", "set", self.bridge, "up")
        for number, name in enumerate(self.names, 2):
            space, outside = self._space(name), self._outside(name)
            _ip("netns", "add", space)
            _ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", outside, "master", self.bridge, "up")
            for command in (
                ("address", "add", f"{self.prefix}.{number}/24", "dev", "eth0"),
                ("link", "set", "eth0", "up"),
                ("link", "set", "lo", "up"),
            ):
                _ip("-n", space, *command)
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.names:
            _ip("link", "del", self._outside(name))
            _ip("netns", "del", self._space(name))
        _ip("link", "del", self.bridge)

    def address_of(self, name: str) -> str:
        """Return the address of a host."""
        return f"{self.prefix}.{self.names.index(name) + 2}"

    def cut(self, name: str) -> None:
        """Drop the cable of a host."""
        _ip("link", "set", self._outside(name), "down")

    def mend(self, name: str) -> None:
        """Plug it in again."""
        _ip("link", "set", self._outside(name), "up")

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Be on a host: sockets that this thread opens, and processes that it starts, are there for good."""
        with Path("/proc/thread-self/ns/net").open() as here, Path(f"/run/netns/{self._space(name)}").open() as there:
            _setns(there.fileno())
            try:
                yield
            finally:
                _setns(here.fileno())

    def _space(self, name: str) -> str:
        return f"{self.bridge}-{name}"

    def _outside(self, name: str) -> str:
        return f"{self.bridge}-{name}"


@contextmanager
def relayed(socket: Path, host: str, port: int) -> Iterator[None]:
    """Let a unix socket be reached at an address of a network."""
    loop = asyncio.new_event_loop()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_unix_connection(socket)
        await asyncio.gather(pump(reader, outer), pump(inner, writer))

    async def serve() -> None:
        async with await asyncio.start_server(relay, host, port):
            ready.set()
            await stopped.wait()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    ready, stopped = threading.Event(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(10)
        loop.close()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _setns(descriptor: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
