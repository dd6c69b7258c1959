"""Where the services of this machine listen: on private sockets, or, where several hosts serve, on ports over TLS."""

from __future__ import annotations

import socket
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from pipelines.errors import DeployError
from pipelines.inference.service.tls import SCHEME, split
from pipelines.ledger import Ledger
from pipelines.settings import Settings

Command = tuple[list[str], dict[str, str]]


class Endpoints(Protocol):
    """How instances are addressed and started."""

    def address(self, name: str, recorded: str | None, taken: Collection[str]) -> str:
        """Return the address of an instance: the recorded one if it has one, else one that nobody has taken."""

    def command(self, model: str, version: int, address: str) -> Command:
        """Return what serves a version at an address, and its environment."""


class Sockets:
    """Private unix sockets in a folder; each serves a bento."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder

    def address(self, name: str, recorded: str | None, taken: Collection[str]) -> str:
        """Return the socket of that name."""
        return f"unix:{self.folder / name}"

    def command(self, model: str, version: int, address: str) -> Command:
        """Serve the bento of the version."""
        from pipelines.deployment.serve import bento_command

        return bento_command(self.settings, model, version, Path(address.removeprefix("unix:")))


class Ports:
    """Ports of this host's address; each serves a model directory, which comes through the storage."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self.settings, self.ledger = settings, ledger
        host = str(settings.serve_address)
        self._prefix = f"{SCHEME}[{host}]:" if ":" in host else f"{SCHEME}{host}:"

    def address(self, name: str, recorded: str | None, taken: Collection[str]) -> str:
        """Return the recorded address if it is still of this host, else a free port."""
        if recorded is not None and recorded.startswith(self._prefix):
            return recorded
        first, last = map(int, self.settings.serve_ports.split("-"))
        for port in range(first, last + 1):
            address = f"{self._prefix}{port}"
            if address not in taken and _is_free(address):
                return address
        raise DeployError(
            "no port is free for a service",
            where=str(self.settings.serve_address),
            seen=f"all of {self.settings.serve_ports} are taken",
            cure="widen AIMASS_SERVE_PORTS, or ask for fewer instances",
        )

    def command(self, model: str, version: int, address: str) -> Command:
        """Serve the model directory of the version."""
        from pipelines.deployment.serve import model_command

        row = self.ledger.version(model, version)
        if row is None:
            raise DeployError("the version was deleted", where=f"{model} version {version}")
        return model_command(self.settings, model, version, row.model_uri, address)


def _is_free(address: str) -> bool:
    host, port = split(address)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
