from __future__ import annotations

import hashlib
import os

import pytest

from pipelines.backup.blobs import BlobError, Blobs, salt_of
from pipelines.backup.store import CHUNK

SECRET = b"a passphrase of some length"
CONTENTS = (b"", b"x", b"ab" * 50_000, os.urandom(100_000))


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


@pytest.mark.parametrize("secret", [None, SECRET])
@pytest.mark.parametrize("content", CONTENTS, ids=["empty", "one", "regular", "random"])
def test_what_is_encoded_is_decoded(content: bytes, secret: bytes | None) -> None:
    blobs = Blobs(secret)
    blob = blobs.encode(content)
    assert blobs.check(blobs.name(digest(content)), blob, CHUNK) == content
    assert len(blob) < len(content) + 70
    assert (salt_of(blob) is None) == (secret is None)


def test_regular_content_is_compressed() -> None:
    assert len(Blobs(None).encode(CONTENTS[2])) < 100


@pytest.mark.parametrize("secret", [None, SECRET])
def test_every_flipped_bit_and_every_length_is_found(secret: bytes | None) -> None:
    blobs = Blobs(secret)
    content = b"hello " * 12
    name, blob = blobs.name(digest(content)), blobs.encode(content)
    for place in range(len(blob)):
        flipped = blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :]
        for bad in (flipped, blob[:place]):
            with pytest.raises(BlobError):
                blobs.check(name, bad, CHUNK)


def test_encrypted_content_shows_in_neither_blob_nor_name() -> None:
    content = b"customer 4711, private" * 10
    blobs = Blobs(SECRET)
    blob = blobs.encode(content)
    assert b"customer" not in blob
    assert blobs.name(digest(content)) != digest(content).hex()
    assert blobs.encode(content) != blob  # a nonce of its own each time
    assert Blobs(SECRET, blobs.salt).name(digest(content)) == blobs.name(digest(content))
    assert Blobs(SECRET).name(digest(content)) != blobs.name(digest(content))


def test_another_key_no_key_and_another_purpose_are_refused() -> None:
    blob = Blobs(SECRET).encode(b"x" * 40)
    with pytest.raises(BlobError, match="another key"):
        Blobs(b"some other passphrase").decode(blob, CHUNK)
    with pytest.raises(BlobError, match="AIMASS_BACKUPS_KEY"):
        Blobs(None).decode(blob, CHUNK)
    with pytest.raises(BlobError):
        Blobs(SECRET).decode(blob, CHUNK, b"manifest")


def test_a_blob_that_says_it_is_huge_is_not_unpacked() -> None:
    blob = bytearray(b"P" + Blobs(None).encode(b"z" * 1000)[5:])  # in the form without a checksum
    blob[2:6] = (1 << 31).to_bytes(4, "little")
    with pytest.raises(BlobError):
        Blobs(None).decode(bytes(blob), CHUNK)


def test_a_plain_chunk_does_not_stand_in_for_an_encrypted_one() -> None:
    blobs = Blobs(SECRET)
    with pytest.raises(BlobError):
        blobs.check(blobs.name(digest(b"right")), Blobs(None).encode(b"right"), CHUNK)


def test_every_flipped_bit_is_found_and_blobs_without_a_checksum_stay_readable() -> None:
    blobs, content = Blobs(None), b"".join(b"%d;" % (n % 97) for n in range(2_000))
    name, blob = blobs.name(digest(content)), blobs.encode(content)
    assert len(blob) < len(content) / 2
    for bit in range(len(blob) * 8):
        flipped = bytearray(blob)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BlobError):
            blobs.check(name, bytes(flipped), CHUNK)
    assert blobs.check(name, b"P" + blob[5:], CHUNK) == content
