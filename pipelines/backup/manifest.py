"""The signed manifest of a backup: which file is made of which chunks, and who wrote it. Reads both formats."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipelines.artifacts import write_atomic
from pipelines.backup import signature
from pipelines.backup.blobs import BlobError, Blobs, salt_of
from pipelines.errors import BackupError

NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z")
"""Name of a backup: when it was begun."""
MANIFEST = "manifest.bin"
SIGNATURE = signature.SIGNATURE
FOREIGN = f"{SIGNATURE}: not this installation's signature of {MANIFEST}"
"""The fault of a backup that another key has signed, or whose manifest was changed since."""
FORMAT = 2
MOST = 1 << 31
LABEL = b"manifest"
Manifest = dict[str, Any]


def write(folder: Path, facts: Manifest, blobs: Blobs, key: Path) -> int:
    """Write a manifest and its Ed25519 signature; return the bytes it takes.

    Parameters
    ----------
    facts
        ``files`` as ``{name: {"bytes", "chunks", …}}``, ``chunks`` as ``{name: bytes stored}``, and small facts.
    key
        PEM file with the private key.
    """
    text = json.dumps({"format": FORMAT, **facts}, sort_keys=True, separators=(",", ":")).encode()
    private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise BackupError("the signing key is not Ed25519", where=str(key), cure="restore the key file from its copy")
    blob = blobs.encode(text, LABEL)
    write_atomic(folder / MANIFEST, blob)
    write_atomic(folder / SIGNATURE, private.sign(blob))
    return len(blob)


def read(folder: Path, public_key: bytes, blobs: Blobs) -> tuple[Manifest, list[str]]:
    """Read a backup's manifest; its signature is checked before anything of it is parsed.

    Returns
    -------
    tuple
        The manifest (empty if it cannot be trusted or read) and the faults found.
    """
    if is_old(folder):
        return signature.read(folder, public_key)
    try:
        blob, signed = (folder / MANIFEST).read_bytes(), (folder / SIGNATURE).read_bytes()
    except OSError as error:
        return {}, [f"{Path(str(error.filename)).name}: {error.strerror}"]
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signed, blob)
        found: Manifest = json.loads(blobs.decode(blob, MOST, LABEL))
    except InvalidSignature:
        return {}, [FOREIGN]
    except BlobError as error:
        return {}, [f"{MANIFEST}: {error}"]
    if found.get("format") != FORMAT:
        return {}, [f"{MANIFEST}: format {found.get('format')!r}, this version reads {FORMAT}"]
    return found, []


def is_old(folder: Path) -> bool:
    """Tell whether a backup is of the first format: a full copy of every file."""
    return (folder / signature.MANIFEST).is_file()


def salt(folder: Path) -> bytes | None:
    """Return the salt that a backup is encrypted with; None: it is not, or of the first format."""
    try:
        with (folder / MANIFEST).open("rb") as stream:
            return salt_of(stream.read(64))
    except OSError:
        return None
