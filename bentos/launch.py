"""Serves one bento on one unix socket: ``python -P -B bentos/launch.py BENTO_FOLDER SOCKET [--with-parent]``.

With ``--model NAME --version N`` the folder is a model directory, which is served with this checkout's code, and SOCKET
may be ``tls:HOST:PORT``: hosts that share the work have no bentos, see docs/guides/serving-hosts.md.

The code is the bento's own, ``src/pipelines/inference``, and so is the model directory; the socket is readable by its
owner alone. BentoML builds the bento and can serve it elsewhere, see ``service.py``; here its HTTP server is left out,
for callers speak to the gateway. The caller verifies the bento's signature before it starts this file. SIGTERM finishes
the requests in flight.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
import time
from importlib.util import module_from_spec, spec_from_file_location
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


def configure_logs(model: str, version: str) -> None:
    """Write logs as this checkout does, whatever release the bento is of."""
    found = spec_from_file_location("aimass_logs", Path(__file__).resolve().parents[1] / "pipelines" / "logs.py")
    assert found is not None
    assert found.loader is not None
    logs = module_from_spec(found)
    found.loader.exec_module(logs)
    logs.configure_server(part="service", model=model, version=version)


def named(bento: Path) -> tuple[str, str]:
    """Return model and version of a bento: ``MODEL/vVERSION-DIGEST`` is its folder."""
    return bento.parent.name.replace("-", "_"), bento.name.split("-", 1)[0].removeprefix("v")


def main() -> None:
    """Load the bento and serve it until SIGTERM."""
    parser = argparse.ArgumentParser(description="serve one bento on one unix socket")
    parser.add_argument("bento", type=Path)
    parser.add_argument("socket")
    parser.add_argument("--model", help="the folder is a model directory of this model")
    parser.add_argument("--version", default="", help="its version")
    parser.add_argument("--with-parent", action="store_true", help="stop when the parent process is gone")
    arguments = parser.parse_args()
    if arguments.with_parent:
        watch_parent()
    os.umask(0o077)
    configure_logs(*((arguments.model, arguments.version) if arguments.model else named(arguments.bento)))
    source = arguments.bento / "src"
    # A bento that was built before services listened on sockets is served by this checkout's code.
    own = source / SERVER
    code = source if not arguments.model and own.is_file() else Path(__file__).resolve().parents[1]
    sys.path.insert(0, str(code))
    # LightGBM imports scikit-learn where it finds it, for its estimators, which nothing here uses: a second of start
    # and sixty megabytes less.
    sys.modules["sklearn"] = None  # type: ignore[assignment]  # Python's way to say that there is none
    from pipelines.inference.service.server import serve

    given = os.environ.get("AIMASS_PUBLIC_KEY")
    key = bytes.fromhex(given) if given else (source / "public_key").read_bytes()
    if not arguments.model:
        asyncio.run(serve(Path(arguments.socket), source / "model", key))
        return
    if not arguments.socket.startswith("tls:"):
        asyncio.run(serve(Path(arguments.socket), arguments.bento, key))
        return
    from pipelines.inference.service.tls import Certificates

    files = (Path(os.environ[f"AIMASS_SERVE_{name}"]) for name in ("CERTIFICATE", "KEY", "AUTHORITY"))
    asyncio.run(serve(arguments.socket, arguments.bento, key, Certificates(*files)))


if __name__ == "__main__":
    main()
