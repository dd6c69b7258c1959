"""Keys of other installations whose archives are imported: a 0600 file with one public key per line."""

from __future__ import annotations

import base64
import hashlib
import stat
from pathlib import Path

from pipelines.artifacts import write_atomic
from pipelines.errors import SpecError
from pipelines.secret_files import public_key
from pipelines.settings import Settings, make_private

FILE = "trusted_keys"


def fingerprint(key: bytes) -> str:
    """Return the fingerprint of a raw public key, as SSH writes it.

    >>> fingerprint(bytes(32))
    'SHA256:Zmh6rfhivXdsj8GLjp+OIAiXFIVu4jOzkCpZHQ1fKSU'
    """
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def trusted_file(settings: Settings) -> Path:
    """Return the path of the file with the trusted keys: ``<64 hex digits> <comment>`` per line."""
    return settings.secrets / FILE


def trusted_keys(settings: Settings) -> set[bytes]:
    """Return the keys that are trusted: this installation's own, and those of the file.

    Raises
    ------
    SpecError
        Others may write the file, or a line of it is no key.
    """
    path, found = trusted_file(settings), {public_key(settings)}
    if not path.exists():
        return found
    mode = stat.S_IMODE(path.lstat().st_mode)
    if not path.is_file() or path.is_symlink() or mode & 0o077:
        raise SpecError(
            "the file of trusted keys is open to others",
            where=str(path),
            seen=f"mode {mode:04o}",
            expected="a plain file of mode 0600",
            cure=f"look at its keys, then chmod 600 {path}",
        )
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        try:
            key = bytes.fromhex(words[0])
        except ValueError:
            key = b""
        if len(key) != 32:
            raise SpecError(
                "a line of the trusted keys holds no key",
                where=f"{path}:{number}",
                seen=words[0][:80],
                expected="64 hex digits, then what you like",
            )
        found.add(key)
    return found


def require_trusted(settings: Settings, key: bytes, given: str | None, where: str) -> None:
    """Raise unless a key is trusted, or ``given`` is its fingerprint.

    Raises
    ------
    SpecError
        It is not, or its fingerprint is another one.
    """
    known, own = trusted_keys(settings), fingerprint(key)
    if given is not None and given != own:
        raise SpecError(
            "the archive is signed with another key than the one you trust",
            where=where,
            seen=own,
            expected=given,
            cure="ask whoever made the archive for the fingerprint that `aimass export` prints there",
        )
    if given is None and key not in known:
        raise SpecError(
            "the archive is signed with a key that is not trusted here",
            where=where,
            seen=own,
            expected=f"this installation's own, or one in {trusted_file(settings)}",
            cure=f"ask whoever made the archive for its fingerprint; if it is this one: --trust-key {own}",
        )


def remember_key(settings: Settings, key: bytes, comment: str) -> None:
    """Add a key to the file of trusted keys, unless it is trusted."""
    if key in trusted_keys(settings):
        return
    path = trusted_file(settings)
    make_private(path.parent)
    before = path.read_text().rstrip() + "\n" if path.exists() else ""
    write_atomic(path, f"{before}{key.hex()} {comment}\n")
