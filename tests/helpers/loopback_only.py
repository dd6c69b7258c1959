"""A network without an outside: of the calling thread, and of what it starts from then on."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

NEW_NETWORK = 0x40000000
SET_TUN, SET_FLAGS, SET_ADDRESS, ADD_ROUTE = 0x400454CA, 0x8914, 0x8916, 0x890B
TUN, NO_HEADER, IS_UP, GATEWAY = 0x0001, 0x1000, 0x1, 0x2
NAME = b"outside"
OWN = "192.0.2.1"
"""Of the addresses that documentation uses: the machine as the outside would see it."""


@dataclass
class Outside:
    """The end of the only way out: nobody forwards or responds, all packets are kept.

    Parameters
    ----------
    why_not
        Why there is no such network here; empty where there is.
    """

    why_not: str
    device: int = -1

    def packets(self) -> list[str]:
        """Return "protocol to address" of each IPv4 packet that something sent out since the last call."""
        found = []
        with suppress(BlockingIOError):
            while True:
                packet = os.read(self.device, 65_536)
                if packet[0] >> 4 == 4:
                    length = 4 * (packet[0] & 15)
                    port = struct.unpack("!H", packet[length + 2 : length + 4])[0]
                    found.append(f"protocol {packet[9]} to {socket.inet_ntoa(packet[16:20])}:{port}")
        return found


@contextmanager
def loopback_only() -> Iterator[Outside]:
    """Leave the network for a new one: loopback, and a way out that leads nowhere."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    outside = Outside("/dev/net/tun is not here")
    entered = Path("/dev/net/tun").exists() and libc.unshare(NEW_NETWORK) == 0
    try:
        if entered:
            outside = Outside("", _way_out())
        elif ctypes.get_errno():
            outside = Outside(f"a network of one's own: {os.strerror(ctypes.get_errno())}")
        yield outside
    finally:
        if outside.device >= 0:
            os.close(outside.device)
        if entered and libc.setns(before, NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "the network cannot be entered again")
        os.close(before)


def _way_out() -> int:
    """Make loopback and the device that all else leads to; return the other end of it."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(device, SET_TUN, struct.pack("16sH22x", NAME, TUN | NO_HEADER))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SET_ADDRESS, struct.pack("16s16s8x", NAME, _address(OWN)))
        for name in (b"lo", NAME):
            fcntl.ioctl(control, SET_FLAGS, struct.pack("16sH22x", name, IS_UP))
        anywhere = _address("0.0.0.0")
        name = ctypes.create_string_buffer(NAME)
        route = struct.pack(
            "@L16s16s16sHhLPhPLLH6x", 0, anywhere, _address(OWN), anywhere, IS_UP | GATEWAY, 0, 0, 0, 0,
            ctypes.addressof(name), 0, 0, 0,
        )  # fmt: skip
        fcntl.ioctl(control, ADD_ROUTE, route)
    return device


def _address(text: str) -> bytes:
    return struct.pack("=H", socket.AF_INET) + bytes(2) + socket.inet_aton(text) + bytes(8)
