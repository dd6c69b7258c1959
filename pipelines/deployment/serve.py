"""The one way a bento is started: the platform's supervisor and a private proof use the same command."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

import pipelines
from pipelines.errors import DeployError
from pipelines.inference.manifest import verify_manifest
from pipelines.settings import Settings, make_private, public_key
from pipelines.storage.file_io import tail
from pipelines.waiting import wait_until

STOP_SECONDS = 25
POLL_SECONDS = 0.05


def bento_command(settings: Settings, model: str, version: int, port: int) -> tuple[list[str], dict[str, str]]:
    """Return argument list and whole environment of the process that serves a version on loopback.

    The bento's signature, and every file of it, are verified first: nothing of a changed bento is ever executed.
    The process listens on ``port`` alone, drains on SIGTERM, and writes nothing into the bento.

    Raises
    ------
    DeployError
        The version has no bento, or it is not what was signed.
    """
    folder = find_bento(settings, model, version)
    key = public_key(settings)
    verify_manifest(folder, key)
    launcher = Path(pipelines.__file__).parents[1] / "bentos" / "launch.py"
    argv = [sys.executable, "-P", "-B", str(launcher), str(folder), settings.host, str(port)]
    return argv, serve_environment(settings, key)


def find_bento(settings: Settings, model: str, version: int) -> Path:
    """Return the folder of a version's bento."""
    store = settings.bentoml_home / "bentos" / model.replace("_", "-")
    found = sorted(path for path in store.glob(f"v{version}-*") if path.is_dir())
    if len(found) != 1:
        raise DeployError(
            f"version {version} of {model} has no bento" if not found else f"version {version} has several bentos",
            where=str(store),
            seen=[path.name for path in found],
            expected=f"one folder v{version}-<digest>",
            cure="run the night's stage package again",
        )
    return found[0]


def serve_environment(settings: Settings, key: bytes) -> dict[str, str]:
    """Return the environment of a serving process: no secret, no telemetry, one thread per request."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ") if name in os.environ}
    return {
        **kept,
        "BENTOML_HOME": str(settings.bentoml_home),
        "BENTOML_DO_NOT_TRACK": "True",
        "OTEL_SDK_DISABLED": "true",
        "OMP_NUM_THREADS": "1",
        "AIMASS_PUBLIC_KEY": key.hex(),
    }


def free_port(settings: Settings) -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((settings.host, 0))
        return int(probe.getsockname()[1])


@contextmanager
def private_service(settings: Settings, model: str, version: int, ready_timeout: float) -> Iterator[str]:
    """Serve a version in a child process, yield its address once it is ready, and stop it in all cases.

    The child also stops by itself should this process die.
    """
    port = free_port(settings)
    argv, environment = bento_command(settings, model, version, port)
    log = make_private(settings.logs) / f"bento-{model}-v{version}-proof.log"
    with log.open("wb") as stream:
        child = subprocess.Popen(
            [*argv, "--with-parent"], env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )
        try:
            url = f"http://{settings.host}:{port}"
            wait_ready(url, child, ready_timeout, log)
            yield url
        finally:
            stop_process(child)


def wait_ready(url: str, child: subprocess.Popen[bytes], seconds: float, log: Path) -> None:
    """Wait until ``/readyz`` responds with status 200.

    Raises
    ------
    DeployError
        The process ended or is not ready in time; quotes the end of its log.
    """
    with httpx.Client(timeout=2, trust_env=False) as client:

        def ready() -> bool | None:
            if child.poll() is not None:
                return False
            try:
                return client.get(f"{url}/readyz").status_code == 200 or None
            except httpx.TransportError:  # not listening yet
                return None

        if wait_until(ready, seconds=seconds, every=POLL_SECONDS):
            return
    raise DeployError(
        "the new service did not become ready",
        where=url,
        seen="it ended: " + tail(log) if child.poll() is not None else f"not ready after {seconds:.0f} s",
        expected="status 200 of /readyz",
        cure=f"read {log}; the old version stays live",
    )


def stop_process(child: subprocess.Popen[bytes]) -> None:
    """Stop a child: SIGTERM, a time to drain, then SIGKILL."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()
