"""The one way a bento is started: the platform's controller and a private proof use the same command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pipelines
from pipelines import logs, tracing
from pipelines.errors import DeployError
from pipelines.inference.manifest import verify_manifest
from pipelines.inference.service.client import is_ready
from pipelines.secret_files import public_key
from pipelines.settings import Settings, make_private
from pipelines.storage import resolve
from pipelines.storage.file_io import tail
from pipelines.waiting import wait_until

STOP_SECONDS = 30
POLL_SECONDS = 0.02


def bento_command(settings: Settings, model: str, version: int, socket: Path) -> tuple[list[str], dict[str, str]]:
    """Return argument list and whole environment of the process that serves a version on a socket.

    The bento's signature, and every file of it, are verified first: nothing of a changed bento is ever executed.
    The process opens the socket alone, drains on SIGTERM, and writes nothing into the bento.

    Raises
    ------
    DeployError
        The version has no bento, or it is not what was signed.
    """
    folder = find_bento(settings, model, version)
    key = public_key(settings)
    verify_manifest(folder, key)
    launcher = Path(pipelines.__file__).parents[1] / "bentos" / "launch.py"
    return [sys.executable, "-P", "-B", str(launcher), str(folder), str(socket)], serve_environment(key)


def model_command(
    settings: Settings, model: str, version: int, uri: str, address: str
) -> tuple[list[str], dict[str, str]]:
    """Return argument list and whole environment of the process that serves a model directory at ``tls:HOST:PORT``.

    The process verifies the signature before it parses anything, and repeats golden predictions before it is ready.

    Parameters
    ----------
    uri
        Of the model directory in the storage.

    Raises
    ------
    SpecError
        This host has no key to verify it with.
    """
    launcher = Path(pipelines.__file__).parents[1] / "bentos" / "launch.py"
    names = ("serve_certificate", "serve_key", "serve_authority")
    shown = {f"AIMASS_{name.upper()}": str(getattr(settings, name)) for name in names}
    command = [sys.executable, "-P", "-B", str(launcher), str(resolve(settings, uri)), address]
    environment = serve_environment(public_key(settings)) | shown
    return [*command, "--model", model, "--version", str(version)], environment


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


def serve_environment(key: bytes) -> dict[str, str]:
    """Return the environment of a serving process: no secret, no telemetry, one thread per response, little memory.

    Arrow's own pool and further arenas of the C library keep a tenth of a service's memory for nothing.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ") if name in os.environ}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    memory = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
    told = {**tracing.environment(), **({logs.FORMAT: "json"} if logs.as_json() else {})}
    return {**kept, **threads, **memory, **told, "AIMASS_PUBLIC_KEY": key.hex()}


def short_folder() -> Path:
    """Make a private folder for sockets, whose paths may have 107 characters at most."""
    return Path(tempfile.mkdtemp(prefix="aimass-", dir="/tmp" if os.path.isdir("/tmp") else None))  # noqa: S108 - mkdtemp makes it private


@contextmanager
def private_service(settings: Settings, model: str, version: int, ready_timeout: float) -> Iterator[str]:
    """Serve a version in a child process, yield its address once it is ready, and stop it in all cases.

    The child also stops by itself should this process die.
    """
    folder = short_folder()
    address = f"unix:{folder / 'service'}"
    log = make_private(settings.logs) / f"bento-{model}-v{version}-proof.log"
    try:
        argv, environment = bento_command(settings, model, version, folder / "service")
        with log.open("wb") as stream:
            child = subprocess.Popen(
                [*argv, "--with-parent"], env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
            )
            try:
                wait_ready(address, child, ready_timeout, log)
                yield address
            finally:
                stop_process(child)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_ready(address: str, child: subprocess.Popen[bytes], seconds: float, log: Path) -> None:
    """Wait until the service is ready.

    Raises
    ------
    DeployError
        The process ended or is not ready in time; quotes the end of its log.
    """

    def ready() -> bool | None:
        if child.poll() is not None:
            return False
        return is_ready(address) or None

    if wait_until(ready, seconds=seconds, every=POLL_SECONDS):
        return
    raise DeployError(
        "the new service did not become ready",
        where=address,
        seen="it ended: " + tail(log) if child.poll() is not None else f"not ready after {seconds:.0f} s",
        expected="the model loads and repeats its golden predictions",
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
