"""``python -m pipelines.gateway``: serve the gateway on its loopback port until SIGTERM, which drains it."""

from __future__ import annotations

import gc
import os
import signal
import sys
from functools import partial

import uvicorn

from pipelines.errors import AimassError
from pipelines.gateway.app import create_app
from pipelines.gateway.http_protocol import StrictHttpProtocol
from pipelines.ledger import Ledger
from pipelines.logs import configure_server
from pipelines.settings import Settings, load

DRAIN_SECONDS = 20
KEEP_ALIVE_SECONDS = 75
"""How long an idle connection of a caller stays open: longer than client libraries keep theirs by default."""
SWITCH_SECONDS = 0.0005
"""How long the thread that writes the logs may hold back the responses, ten times less than Python's default."""


def figures(settings: Settings, ledger: Ledger) -> bytes:
    """Return the figures of the platform; what reads them is imported once they are asked for."""
    from pipelines.platform_metrics import exposition

    return exposition(settings, ledger)


def main() -> int:
    """Serve; exit code 0 after an orderly stop."""
    configure_server(part="gateway")
    os.umask(0o077)
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        settings = load().ensure()
        ledger = Ledger.open(settings)
        app = create_app(settings, ledger, grpc_port=settings.grpc_port, figures=partial(figures, settings, ledger))
    except AimassError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.gateway_port,
        http=StrictHttpProtocol,
        loop="uvloop",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    server = uvicorn.Server(config)
    # uvicorn raises the signal again once it has drained: an orderly stop is exit code 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    gc.freeze()  # what was imported stays: a full collection that visits it takes 50 ms from every request at hand
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
