"""The signed manifest of a model directory: written last, verified before any other file is parsed."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pipelines.artifacts import canonical_json, write_atomic
from pipelines.errors import DeployError

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
FORMAT = 1
MAX_MANIFEST_BYTES = 4 << 20
_CURE = "deploy a version whose files are intact, or restore this one from a backup"


def write_manifest(directory: Path, private_key_pem: bytes) -> str:
    """Sign every file of a model directory.

    Parameters
    ----------
    directory
        The finished model directory; an older manifest in it is replaced.
    private_key_pem
        Ed25519 private key, PKCS8 PEM without password.

    Returns
    -------
    str
        The digest of the model: sha256 of the manifest's bytes. Equal content gives an equal digest.
    """
    key = load_pem_private_key(private_key_pem, password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise DeployError("the signing key is not an Ed25519 key", seen=type(key).__name__, expected="Ed25519")
    files = {name: _fingerprint(path) for name, path in sorted(_walk(directory).items())}
    payload = canonical_json({"format": FORMAT, "files": files}).encode()
    write_atomic(directory / MANIFEST, payload)
    write_atomic(directory / SIGNATURE, key.sign(payload))
    return hashlib.sha256(payload).hexdigest()


def verify_manifest(directory: Path, public_key: bytes) -> str:
    """Check signature, list of files and every file's content, in this order.

    Nothing is parsed before the signature over the manifest's bytes holds.

    Parameters
    ----------
    directory
        A model directory.
    public_key
        The 32 raw bytes of the Ed25519 public key.

    Returns
    -------
    str
        The digest of the model.

    Raises
    ------
    DeployError
        The signature is absent or wrong, or a file is changed, missing, added or no plain file.
    """
    payload = _read_small(directory, MANIFEST, MAX_MANIFEST_BYTES)
    signature = _read_small(directory, SIGNATURE, 64)
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, payload)
    except (InvalidSignature, ValueError):
        raise DeployError(
            "the signature of the model directory is not ours",
            where=str(directory / SIGNATURE),
            expected="an Ed25519 signature over manifest.json by this installation's key",
            cure=_CURE,
        ) from None
    manifest = cast(dict[str, Any], json.loads(payload))
    if manifest.get("format") != FORMAT:
        raise DeployError(
            "the manifest has an unknown format", where=str(directory), seen=manifest.get("format"), expected=FORMAT
        )
    faults = _compare(manifest["files"], _walk(directory))
    if faults:
        raise DeployError(
            "the model directory differs from its manifest", where=str(directory), faults=faults, cure=_CURE
        )
    return hashlib.sha256(payload).hexdigest()


def _compare(listed: dict[str, dict[str, Any]], present: dict[str, Path]) -> list[str]:
    faults = [f"{name}: missing" for name in sorted(listed.keys() - present.keys())]
    faults += [f"{name}: not in the manifest" for name in sorted(present.keys() - listed.keys())]
    for name in sorted(listed.keys() & present.keys()):
        if present[name].stat().st_size != listed[name]["bytes"] or _fingerprint(present[name]) != listed[name]:
            faults.append(f"{name}: content changed")
    return faults


def _read_small(directory: Path, name: str, limit: int) -> bytes:
    path = directory / name
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise DeployError(f"{name} is not a plain file", where=str(path), cure=_CURE)
        with path.open("rb") as stream:
            payload = stream.read(limit + 1)
    except OSError as error:
        raise DeployError(
            f"the model directory has no readable {name}", where=str(path), seen=error.strerror or error, cure=_CURE
        ) from None
    if len(payload) > limit:
        raise DeployError(f"{name} is too large", where=str(path), expected=f"at most {limit} bytes", cure=_CURE)
    return payload


def _walk(directory: Path) -> dict[str, Path]:
    """Return every file below ``directory`` by its relative POSIX name; links and special files are refused."""
    found: dict[str, Path] = {}
    for root, folders, files in os.walk(directory):
        for name in (*folders, *files):
            path = Path(root) / name
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                continue
            if not stat.S_ISREG(mode):
                raise DeployError("a model directory holds plain files only", where=str(path), cure=_CURE)
            found[path.relative_to(directory).as_posix()] = path
    return {name: path for name, path in found.items() if name not in (MANIFEST, SIGNATURE)}


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"sha256": digest, "bytes": path.stat().st_size}
