"""What is sent between processes, and tells how often."""

from __future__ import annotations

import os
from typing import Any


class Shipped:
    """Writes a line whenever a process makes bytes of it to send it away."""

    def __init__(self, log: str) -> None:
        self.log = log

    def __reduce__(self) -> tuple[Any, ...]:
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        os.close(descriptor)
        return Shipped, (self.log,)
