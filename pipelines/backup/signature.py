"""The signed manifest of a backup: what it holds, byte for byte, and who wrote it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipelines.artifacts import write_atomic
from pipelines.errors import BackupError
from pipelines.storage import file_sha256

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
FORMAT = 1


def listing(folder: Path) -> dict[str, dict[str, Any]]:
    """Return sha256 and bytes of every file below ``folder`` except the manifest and its signature at the top."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.is_symlink() and name not in (MANIFEST, SIGNATURE):
            files[name] = {"sha256": file_sha256(path), "bytes": path.stat().st_size}
    return files


def sign(folder: Path, facts: dict[str, Any], files: dict[str, dict[str, Any]], key: Path) -> None:
    """Write the manifest of ``folder`` and its Ed25519 signature.

    Parameters
    ----------
    facts
        Small JSON facts about the whole backup; they are covered by the signature.
    files
        ``{path: {"sha256", "bytes"}}`` of every file, as computed while it was written.
    key
        PEM file with the private key.
    """
    manifest = json.dumps({"format": FORMAT, **facts, "files": files}, indent=1, sort_keys=True).encode()
    private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise BackupError("the signing key is not Ed25519", where=str(key), cure="restore the key file from its copy")
    write_atomic(folder / MANIFEST, manifest)
    write_atomic(folder / SIGNATURE, private.sign(manifest))


def read(folder: Path, public_key: bytes) -> tuple[dict[str, Any], list[str]]:
    """Read a backup's manifest; its signature is checked before the text is parsed.

    Returns
    -------
    tuple
        The manifest (empty if it cannot be trusted) and the faults found.
    """
    try:
        text = (folder / MANIFEST).read_bytes()
        signature = (folder / SIGNATURE).read_bytes()
    except OSError as error:
        return {}, [f"{Path(str(error.filename)).name}: {error.strerror}"]
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, text)
    except InvalidSignature:
        return {}, [f"{SIGNATURE}: not this installation's signature of {MANIFEST}"]
    manifest: dict[str, Any] = json.loads(text)
    if manifest.get("format") != FORMAT:
        return {}, [f"{MANIFEST}: format {manifest.get('format')!r}, this version reads {FORMAT}"]
    return manifest, []


def faults_of(folder: Path, public_key: bytes) -> list[str]:
    """Check a backup byte for byte and return every fault: signature, missing, added, changed or linked files."""
    manifest, faults = read(folder, public_key)
    if faults:
        return faults
    listed: dict[str, dict[str, Any]] = manifest["files"]
    links = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink()]
    faults = [f"{name}: a symbolic link" for name in sorted(links)]
    present = listing(folder)
    faults += [f"{name}: missing" for name in sorted(listed.keys() - present.keys())]
    faults += [f"{name}: not in the manifest" for name in sorted(present.keys() - listed.keys())]
    for name in sorted(listed.keys() & present.keys()):
        if present[name] != listed[name]:
            faults.append(f"{name}: {present[name]['bytes']} bytes, changed since it was backed up")
    return faults
