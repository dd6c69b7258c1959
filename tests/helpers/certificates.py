"""Certificates of a private authority, as an operator makes them for the hosts of an installation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pipelines.inference.service.tls import Certificates
from pipelines.secret_files import public_key
from pipelines.settings import Settings


@dataclass
class Authority:
    """Signs certificates of addresses."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority {self.folder.name}")])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        signs = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        made = self._builder(self._name, self._key).add_extension(constraints, critical=True)
        made = made.add_extension(signs, critical=True)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        self._own = made.sign(self._key, hashes.SHA256())
        self._write("authority.pem", self._own.public_bytes(serialization.Encoding.PEM))

    def issue(self, address: str) -> Certificates:
        """Make the certificate of a host: it serves, and it calls other hosts."""
        key = ec.generate_private_key(ec.SECP256R1())
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)]), key)
        for extension in (names, usages, issuer):
            made = made.add_extension(extension, critical=False)
        pem = made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Certificates(
            self._write(f"{address}.pem", pem), self._write(f"{address}.key", private), self.folder / "authority.pem"
        )

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
        )

    def _write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        return path


def give_key(secrets: Path, old: Settings) -> None:
    """Give a host the public key of the installation, and no other secret."""
    secrets.mkdir(parents=True, mode=0o700)
    key = Ed25519PublicKey.from_public_bytes(public_key(old))
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (secrets / "public_key.pem").write_bytes(pem)
