"""Mutual TLS between gateways and services of several hosts: each side shows a certificate of one private authority."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from pipelines.errors import DeployError

SCHEME = "tls:"
"""How the address of a service on a network begins: ``tls:HOST:PORT``."""


class _Settings(Protocol):
    @property
    def serve_certificate(self) -> Path | None: ...
    @property
    def serve_key(self) -> Path | None: ...
    @property
    def serve_authority(self) -> Path | None: ...


@dataclass(frozen=True)
class Certificates:
    """Files in PEM; read anew for each context, so that a renewed certificate is used from the next connection on.

    Parameters
    ----------
    certificate, key
        Of this host; the key is readable by its owner alone.
    authority
        That signed those of all hosts, and of nobody else: whoever shows one of its certificates is let in.
    """

    certificate: Path
    key: Path
    authority: Path

    @classmethod
    def of(cls, settings: _Settings) -> Self | None:
        """Return those of the settings; None where there are none, as on one machine."""
        files = (settings.serve_certificate, settings.serve_key, settings.serve_authority)
        certificate, key, authority = files
        return None if certificate is None or key is None or authority is None else cls(certificate, key, authority)

    def server(self) -> ssl.SSLContext:
        """Return the context of a service: callers without a certificate of the authority are refused.

        Raises
        ------
        DeployError
            A file is absent, is none, or the key can be read by others.
        """
        return self._context(ssl.Purpose.CLIENT_AUTH)

    def client(self) -> ssl.SSLContext:
        """Return the context of who calls a service; it must be the host that its certificate names.

        Raises
        ------
        DeployError
            As for :meth:`server`.
        """
        return self._context(ssl.Purpose.SERVER_AUTH)

    def _context(self, purpose: ssl.Purpose) -> ssl.SSLContext:
        try:
            if self.key.stat().st_mode & 0o077:
                raise DeployError(
                    "others can read a private key",
                    where=str(self.key),
                    seen=oct(self.key.stat().st_mode & 0o777),
                    expected="0o600",
                    cure=f"chmod 600 {self.key}, and make a new one if somebody may have read it",
                )
            context = ssl.create_default_context(purpose, cafile=self.authority)
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise DeployError(
                "the certificates between hosts cannot be read",
                where=f"{self.certificate}, {self.key}, {self.authority}",
                seen=error,
                expected="a certificate, its private key and the authority's certificate, in PEM",
                cure="docs/guides/serving-hosts.md tells how they are made",
            ) from None
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        return context


def split(address: str) -> tuple[str, int]:
    """Return host and port of ``tls:HOST:PORT``.

    >>> split("tls:10.0.0.7:7100"), split("tls:[::1]:7100")
    (('10.0.0.7', 7100), ('::1', 7100))
    """
    host, _, port = address.removeprefix(SCHEME).rpartition(":")
    return host.strip("[]"), int(port)


def client_context(address: str, certificates: Certificates | None) -> ssl.SSLContext:
    """Return the context for calling an address.

    Raises
    ------
    DeployError
        No certificates are set here, or they cannot be read.
    """
    if certificates is None:
        raise DeployError(
            "the service is on another host, and this one has no certificate to call it with",
            where=address,
            expected="AIMASS_SERVE_CERTIFICATE, AIMASS_SERVE_KEY and AIMASS_SERVE_AUTHORITY",
            cure="docs/guides/serving-hosts.md tells how they are made",
        )
    return certificates.client()
