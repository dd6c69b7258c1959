"""The form in which pieces of a backup are stored: compressed, and encrypted if the installation has a key for it.

A plain blob is ``C`` + CRC-32 of the body (4 bytes, little endian) + body, an encrypted one ``E`` + salt (16 bytes) +
nonce (12) + AES-256-GCM of the body. A body is one byte (0: as it is, 1: zstd), the length of the content (4 bytes,
little endian) and the content. The CRC finds flipped bits that zstd does not look at. Older blobs are ``P`` + body.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
import zlib
from functools import lru_cache

import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHECKED, PLAIN, ENCRYPTED = b"C", b"P", b"E"
SALT, NONCE = 16, 12
BODY = struct.Struct("<BI")
CRC = struct.Struct("<I")
LEVEL = 1
"""Of zstd: higher ones cost three times as much for a tenth of the size of tables and models."""


class BlobError(Exception):
    """A blob is not what was stored; the text says why."""


@lru_cache(maxsize=16)
def _keys(secret: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Derive from the key file's content the keys that encrypt and that name chunks (scrypt: 32 MB, some 0.1 s)."""
    both = hashlib.scrypt(secret, salt=salt, n=1 << 15, r=8, p=1, maxmem=1 << 26, dklen=64)
    return both[:32], both[32:]


class Blobs:
    """Encodes and decodes blobs.

    Parameters
    ----------
    secret
        Content of the key file; None: nothing is encrypted, and what is encrypted cannot be read.
    salt
        Of what is encrypted from now on; None: a new one. Chunks are shared among backups of one salt.
    """

    def __init__(self, secret: bytes | None, salt: bytes | None = None) -> None:
        self.secret = secret
        self.salt = salt or os.urandom(SALT)

    def name(self, digest: bytes, salt: bytes | None = None) -> str:
        """Return the name of a chunk from the sha256 of its content; under encryption the name does not tell it."""
        if self.secret is None:
            return digest.hex()
        return hmac.new(_keys(self.secret, salt or self.salt)[1], digest, hashlib.sha256).hexdigest()

    def encode(self, content: bytes, label: bytes = b"chunk") -> bytes:
        """Return the stored form; ``label`` says what it is for, so that nothing encrypted stands in for another."""
        packed = pa.Codec("zstd", compression_level=LEVEL).compress(content, asbytes=True)
        smaller = len(packed) < len(content)
        parts = (BODY.pack(smaller, len(content)), packed if smaller else content)
        if self.secret is None:
            return b"".join((CHECKED, CRC.pack(zlib.crc32(parts[1], zlib.crc32(parts[0]))), *parts))
        body = b"".join(parts)
        nonce = os.urandom(NONCE)
        return ENCRYPTED + self.salt + nonce + AESGCM(_keys(self.secret, self.salt)[0]).encrypt(nonce, body, label)

    def decode(self, blob: bytes, most: int, label: bytes = b"chunk") -> bytes:
        """Return the content.

        Parameters
        ----------
        most
            Longest content that is accepted, in bytes.

        Raises
        ------
        BlobError
            If it is damaged, too long, or encrypted with another key.
        """
        body = memoryview(self._open(blob, label))
        if len(body) < BODY.size:
            raise BlobError("truncated")
        packed, length = BODY.unpack_from(body)
        content = body[BODY.size :]
        if packed not in (0, 1) or length > most or (not packed and length != len(content)):
            raise BlobError("damaged")
        if not packed:
            return bytes(content)
        try:
            return bytes(pa.Codec("zstd").decompress(content, length, asbytes=True))
        except (pa.ArrowException, OSError):
            raise BlobError("damaged: it cannot be decompressed") from None

    def check(self, name: str, blob: bytes, most: int) -> bytes:
        """Return the content of the chunk ``name``; what does not hash to it is a BlobError."""
        content = self.decode(blob, most)
        plain = blob[:1] in (CHECKED, PLAIN)
        digest = hashlib.sha256(content).digest()
        if (digest.hex() if plain else self.name(digest, salt_of(blob))) != name:
            raise BlobError("damaged: another content")
        return content

    def _open(self, blob: bytes, label: bytes) -> bytes | memoryview:
        if blob[:1] == PLAIN:
            return memoryview(blob)[1:]
        if blob[:1] == CHECKED and len(blob) > CRC.size:
            body = memoryview(blob)[1 + CRC.size :]
            if CRC.unpack_from(blob, 1) != (zlib.crc32(body),):
                raise BlobError("damaged: another checksum")
            return body
        if blob[:1] != ENCRYPTED or len(blob) < 1 + SALT + NONCE:
            raise BlobError("damaged")
        if self.secret is None:
            raise BlobError("encrypted: AIMASS_BACKUPS_KEY must name the file with its key")
        salt, nonce, rest = blob[1 : 1 + SALT], blob[1 + SALT : 1 + SALT + NONCE], blob[1 + SALT + NONCE :]
        try:
            return AESGCM(_keys(self.secret, salt)[0]).decrypt(nonce, rest, label)
        except InvalidTag:
            raise BlobError("damaged, or encrypted with another key than AIMASS_BACKUPS_KEY names") from None


def salt_of(blob: bytes) -> bytes | None:
    """Return the salt of an encrypted blob; None: it is plain."""
    return blob[1 : 1 + SALT] if blob[:1] == ENCRYPTED else None
