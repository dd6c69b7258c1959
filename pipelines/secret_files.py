"""Secrets and keys of an installation: 0600 files in its folder of secrets, each made on first use."""

from __future__ import annotations

import os
import secrets as random_source
from pathlib import Path

from pipelines.artifacts import write_atomic
from pipelines.errors import SpecError
from pipelines.settings import Settings, make_private


def secret(settings: Settings, name: str) -> str:
    """Return the secret ``name``; 256 random bits, written once to a 0600 file."""
    path = make_private(settings.secrets) / name
    if not path.exists():
        write_once(path, random_source.token_urlsafe(32))
    return path.read_text().strip()


def write_once(path: Path, text: str | bytes) -> None:
    """Write a 0600 file unless it exists; of two writers at once the first wins."""
    partial = path.with_name(f".{path.name}.{random_source.token_hex(4)}")
    write_atomic(partial, text)
    try:
        os.link(partial, path)
    except FileExistsError:
        return
    finally:
        partial.unlink()


def signing_key(settings: Settings) -> Path:
    """Return the file with the private Ed25519 key (PEM), made on first use."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = make_private(settings.secrets) / "signing_key.pem"
    if not path.exists():
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_once(path, pem)
    return path


def public_key(settings: Settings) -> bytes:
    """Return the 32 raw bytes of the public Ed25519 key that model directories are verified with.

    A host that only serves has ``public_key.pem`` alone, and can sign nothing.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    given = settings.secrets / "public_key.pem"
    if given.exists():
        public = serialization.load_pem_public_key(given.read_bytes())
        if isinstance(public, Ed25519PublicKey):
            return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        raise SpecError("the public key is not Ed25519", where=str(given), cure="copy it from the host that trains")
    if settings.serve_address is not None and not (settings.secrets / "signing_key.pem").exists():
        raise SpecError(
            "a serving host has no key to verify models with",
            where=str(given),
            seen="no such file",
            expected="the public key of the installation",
            cure="make it where nights run: openssl pkey -in secrets/signing_key.pem -pubout",
        )
    key = serialization.load_pem_private_key(signing_key(settings).read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise SpecError(
            "the signing key is not Ed25519", where=str(signing_key(settings)), cure="restore it from its copy"
        )
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
