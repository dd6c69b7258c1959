"""Serves one bento on one unix socket: ``python -P -B bentos/launch.py BENTO_FOLDER SOCKET [--with-parent]``.

The code is the bento's own, ``src/pipelines/inference``, and so is the model directory; the socket is readable by its
owner alone. BentoML builds the bento and can serve it elsewhere, see ``service.py``; here its HTTP server is left out,
for callers speak to the gateway. The caller verifies the bento's signature before it starts this file. SIGTERM finishes
the requests in flight.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

SERVER = Path("pipelines", "inference", "service", "server.py")


def watch_parent(period: float = 0.5) -> None:
    """Stop this process as SIGTERM would, once the process that started it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(period)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="watch-parent").start()


def main() -> None:
    """Load the bento and serve it until SIGTERM."""
    parser = argparse.ArgumentParser(description="serve one bento on one unix socket")
    parser.add_argument("bento", type=Path)
    parser.add_argument("socket", type=Path)
    parser.add_argument("--with-parent", action="store_true", help="stop when the parent process is gone")
    arguments = parser.parse_args()
    if arguments.with_parent:
        watch_parent()
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    source = arguments.bento / "src"
    # A bento that was built before services listened on sockets is served by this checkout's code.
    code = source if (source / SERVER).is_file() else Path(__file__).resolve().parents[1]
    sys.path.insert(0, str(code))
    # LightGBM imports scikit-learn where it finds it, for its estimators, which nothing here uses: a second of start
    # and sixty megabytes less.
    sys.modules["sklearn"] = None  # type: ignore[assignment]  # Python's way to say that there is none
    from pipelines.inference.service.server import serve

    given = os.environ.get("AIMASS_PUBLIC_KEY")
    key = bytes.fromhex(given) if given else (source / "public_key").read_bytes()
    asyncio.run(serve(arguments.socket, source / "model", key))


if __name__ == "__main__":
    main()
