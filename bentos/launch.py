"""Serves one bento on one loopback port: ``python -P -B bentos/launch.py BENTO_FOLDER HOST PORT [--with-parent]``.

The same BentoML application that ``bentoml serve`` runs, in one process and with one listening socket. ``bentoml
serve`` adds a supervisor whose control port is open to every user of the machine and starts any command it is
told to; here the platform supervises. The caller verifies the bento's signature before it starts this file.
SIGTERM finishes the requests in flight.
"""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

DRAIN_SECONDS = 20


def watch_parent(period: float = 0.5) -> None:
    """Stop this process as SIGTERM would, once the process that started it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(period)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="watch-parent").start()


def without_rows(record: logging.LogRecord) -> bool:
    """Keep refused requests out of the log, for their tracebacks quote callers' rows; everything else stays."""
    error = record.exc_info[1] if record.exc_info else None
    return type(error).__name__ != "ValidationError"


def main() -> None:
    """Load the bento and serve it until SIGTERM."""
    parser = argparse.ArgumentParser(description="serve one bento on one loopback port")
    parser.add_argument("bento", type=Path)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--with-parent", action="store_true", help="stop when the parent process is gone")
    arguments = parser.parse_args()
    if not ipaddress.ip_address(arguments.host).is_loopback:
        parser.error(f"{arguments.host} is not a loopback address")
    if arguments.with_parent:
        watch_parent()
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("bentoml").setLevel(logging.WARNING)
    logging.getLogger("bentoml._internal.server.http_app").addFilter(without_rows)

    import bentoml
    import uvicorn

    service = bentoml.load(str(arguments.bento), standalone_load=True)
    config = uvicorn.Config(
        service.to_asgi(is_main=True),
        host=arguments.host,
        port=arguments.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    # uvicorn raises the signal again once it has drained: an orderly stop is exit code 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
