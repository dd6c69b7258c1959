"""MLflow's server as a part of the platform: ``python -m pipelines.local.mlflow_server`` becomes it.

The address of its database goes into its environment, for a command line shows to every user of the machine.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import NoReturn
from urllib.parse import urlsplit

from pipelines.errors import AimassError
from pipelines.settings import Settings, load, make_private


def command(settings: Settings) -> list[str]:
    """Return the command line of the server."""
    hosts = [f"{host}:{settings.mlflow_port}" for host in (settings.host, "localhost")]
    if settings.mlflow_address is not None:
        hosts.append(urlsplit(settings.mlflow_address).netloc)
    found = [sys.executable, "-P", "-m", "mlflow", "server", "--app-name", "aimass", "--workers", "1"]
    found += ["--host", settings.host, "--port", str(settings.mlflow_port), "--allowed-hosts", ",".join(hosts)]
    bucket = settings.storage_bucket
    place = str(settings.mlflow_dir / "artifacts") if bucket is None else f"{bucket}/mlflow"
    found += ["--serve-artifacts", "--artifacts-destination", place]
    if settings.tls_cert is not None and settings.tls_key is not None:
        options = ["--ssl-certfile", str(settings.tls_cert), "--ssl-keyfile", str(settings.tls_key)]
        found += ["--uvicorn-opts", shlex.join(options)]
    return found


def main() -> NoReturn:
    """Become the server, or end with the code of what is wrong with the settings."""
    try:
        settings = load().ensure()
        make_private(settings.mlflow_dir / "artifacts")
    except AimassError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    environment = {**os.environ, "MLFLOW_BACKEND_STORE_URI": settings.mlflow_store}
    if settings.s3_endpoint is not None:
        environment["MLFLOW_S3_ENDPOINT_URL"] = settings.s3_endpoint
    os.execve(sys.executable, command(settings), environment)  # noqa: S606 - this process is to be the server


if __name__ == "__main__":
    main()
