"""What gateway and service say to each other: length-prefixed MessagePack on a stream.

A request is ``[id, operation, payload]``, its response ``[id, status, payload]`` with the status ``ok``, ``refused``
for what the caller sent, or ``failed``. Many requests may be under way at once. A message with id 0 asks for no
response.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

LENGTH = struct.Struct(">I")
MAX_BYTES = 64 << 20
"""A longer message ends the connection."""
CLOSING = "closing"
"""What a service says, with id 0, before it stops: nothing new is to be asked of it."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


class FrameError(ValueError):
    """The stream holds what is no message."""


def frame(message: Any) -> bytes:
    """Return a message as bytes, its length in front."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


class FrameReader:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """Take what has arrived; return the messages that are complete now.

        Raises
        ------
        FrameError
            If a message is longer than ``MAX_BYTES`` or no MessagePack.
        """
        held = self._held
        held += data
        found = []
        start = 0
        while len(held) - start >= LENGTH.size:
            (size,) = LENGTH.unpack_from(held, start)
            if size > MAX_BYTES:
                raise FrameError(f"a message of {size} bytes")
            end = start + LENGTH.size + size
            if len(held) < end:
                break
            try:
                found.append(_decoder.decode(memoryview(held)[start + LENGTH.size : end]))
            except msgspec.DecodeError as error:
                raise FrameError(str(error)) from None
            start = end
        if start:
            del held[:start]
        return found
