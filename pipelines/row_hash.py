"""A fast seeded hash of many texts: used for sampling, folds, and compact sets of keys.

The text's UTF-8 bytes are read as 8-byte little-endian words, the last one filled with zeros, and mixed into a 64-bit
state as xxHash64 does with its lanes (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md: multiply,
rotate by 31, multiply, xor; rotate by 27, multiply, add). The state begins with the seed and the number of bytes and
ends in the same document's avalanche. Texts of more than ``LONG`` bytes go in as their 32-byte BLAKE2b digest. Texts of
at most 8 bytes of one length never collide. It is no cryptographic hash: which rows judge a model is decided in
:mod:`pipelines.holdout`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

TRAINING_KEYS = "training_keys.parquet"
"""File of a model directory: the hashes (seed 0) of the keys of all rows that trained."""
LONG = 256
"""Texts of more bytes are digested first, so that one huge cell does not cost a pass per word."""
PART = 1 << 16
"""Texts hashed at a time, so that they fit into a core's cache."""

_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
_NULL = 0xA5A5_5A5A_F00D_CAFE
"""Code for the length of a null; no text has it."""


def key_hash(keys: pa.Array | pa.ChunkedArray, seed: int) -> NDArray[np.uint64]:
    """Hash every key, shape (n,), uint64.

    Parameters
    ----------
    keys
        Texts in any Arrow layout (string, large_string, string_view, dictionary of them) and any chunks, or integers,
        which are hashed as their decimal text; the result depends on the texts alone. A null is a value of its own.
    seed
        Another seed gives an independent hash.

    Raises
    ------
    TypeError
        If the keys are neither texts nor integers.
    """
    import numpy as np
    import pyarrow as pa

    chunks = keys.chunks if isinstance(keys, pa.ChunkedArray) else [keys]
    parts = [_hash_array(chunk, seed) for chunk in chunks]
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.uint64), *parts])


def mixed(hashes: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Hash hashes again with a seed, shape (n,); the mapping is one-to-one (SplitMix64's finalizer)."""
    import numpy as np

    state = hashes + np.uint64((seed * 2 + 1) * 0x9E3779B97F4A7C15 % 2**64)
    state ^= state >> np.uint64(30)
    state *= np.uint64(0xBF58476D1CE4E5B9)
    state ^= state >> np.uint64(27)
    state *= np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return state


def distinct(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the distinct hashes, ascending; NumPy's ``unique`` builds a hash table, which takes far longer."""
    import numpy as np

    ordered = np.sort(hashes)
    return np.asarray(ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]])


def save_keys(path: Path, hashes: NDArray[np.uint64]) -> int:
    """Write a set of key hashes as one column ``key``, ascending and delta-coded; return the count of distinct ones."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    unique = distinct(hashes)
    pq.write_table(
        pa.table({"key": unique}),
        path,
        compression="zstd",
        use_dictionary=False,
        write_statistics=False,
        column_encoding={"key": "DELTA_BINARY_PACKED"},
        write_page_checksum=True,
    )
    return len(unique)


def load_keys(path: Path) -> NDArray[np.uint64]:
    """Read what ``save_keys`` wrote: distinct hashes, ascending."""
    import numpy as np
    import pyarrow.parquet as pq

    return np.asarray(pq.read_table(path, page_checksum_verification=True)["key"].to_numpy())


def among(hashes: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return a mask of the hashes that are in an ascending set, shape (n,)."""
    import numpy as np

    if not len(keys):
        return np.zeros(len(hashes), np.bool_)
    return np.asarray(keys[np.minimum(np.searchsorted(keys, hashes), len(keys) - 1)] == hashes)


def _hash_array(array: pa.Array, seed: int) -> NDArray[np.uint64]:
    import numpy as np
    import pyarrow as pa

    kind = array.type
    if pa.types.is_dictionary(kind):
        values = _hash_array(array.dictionary, seed)
        null = _hash_array(pa.nulls(1, pa.large_string()), seed)
        indices = array.indices.fill_null(len(values)) if array.null_count else array.indices
        return np.asarray(np.concatenate([values, null])[indices.to_numpy(zero_copy_only=False)])
    if pa.types.is_string(kind):
        width = "<i4"
    elif pa.types.is_large_string(kind):
        width = "<i8"
    elif pa.types.is_string_view(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind):
        return _hash_array(array.cast(pa.large_string()), seed)
    else:
        raise TypeError(f"keys are texts or integers, not {kind}")
    out = np.empty(len(array), np.uint64)
    if not len(array):
        return out
    _, starts, data = array.buffers()
    offsets = np.frombuffer(starts, width)[array.offset : array.offset + len(array) + 1]
    for start in range(0, len(array), PART):
        part = offsets[start : start + PART + 1].astype(np.int64)
        texts = np.zeros(part[-1] - part[0] + 8, np.uint8)
        if data is not None and len(texts) > 8:
            texts[:-8] = np.frombuffer(data, np.uint8, len(texts) - 8, part[0])
        nulls = None
        if array.null_count:
            nulls = array.slice(start, PART).is_null().to_numpy(zero_copy_only=False)
        out[start : start + PART] = _hash_texts(texts, part - part[0], nulls, seed)
    return out


def _hash_texts(
    texts: NDArray[np.uint8], offsets: NDArray[np.int64], nulls: NDArray[np.bool_] | None, seed: int
) -> NDArray[np.uint64]:
    """Hash the texts between neighbouring ``offsets``; 8 more bytes follow the last one."""
    import numpy as np

    starts, lengths = offsets[:-1], np.diff(offsets)
    if nulls is not None:
        lengths[nulls] = 0
    long = np.flatnonzero(lengths > LONG)
    read = lengths
    if len(long):
        texts, starts = _with_digests(texts, starts, lengths, long)
        read = np.where(lengths > LONG, 32, lengths)
    return _hash_words(texts, starts, read, lengths, nulls, seed)


def _with_digests(
    texts: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64], long: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Append the digests of long texts; return all bytes and starts."""
    import numpy as np

    digests = [
        hashlib.blake2b(texts[starts[row] : starts[row] + lengths[row]].data, digest_size=32).digest() for row in long
    ]
    starts = starts.copy()
    starts[long] = len(texts) + 32 * np.arange(len(long))
    return np.concatenate([texts, np.frombuffer(b"".join(digests) + bytes(8), np.uint8)]), starts


def _hash_words(
    texts: NDArray[np.uint8],
    starts: NDArray[np.int64],
    read: NDArray[np.int64],
    lengths: NDArray[np.int64],
    nulls: NDArray[np.bool_] | None,
    seed: int,
) -> NDArray[np.uint64]:
    """Hash ``read`` bytes from each start; ``lengths`` are mixed into the state."""
    import numpy as np

    u64 = np.uint64
    words = np.ndarray((len(texts) - 7,), "<u8", texts, 0, (1,))  # the word that begins at every byte
    state = lengths.astype(u64)
    if nulls is not None:
        state[nulls] = _NULL
    state *= u64(_P1)
    state += u64((seed * _P2 + _P5) % 2**64)
    some: Any = slice(None)
    for round_ in range(max(1, -(-int(read.max(initial=0)) // 8))):
        if round_:
            some = np.flatnonzero(read > 8 * round_)
        left = read[some] - 8 * round_
        word = words[starts[some] + 8 * round_]
        if int(left.min(initial=8)) < 8:
            word &= _masks()[np.minimum(left, 8)]
        word *= u64(_P2)
        mixed = _rotated(word, 31)
        mixed *= u64(_P1)
        mixed ^= state[some]
        mixed = _rotated(mixed, 27)
        mixed *= u64(_P1)
        mixed += u64(_P4)
        state[some] = mixed
    state ^= state >> u64(33)
    state *= u64(_P2)
    state ^= state >> u64(29)
    state *= u64(_P3)
    state ^= state >> u64(32)
    return state


def _rotated(words: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    import numpy as np

    high = words >> np.uint64(64 - bits)
    words <<= np.uint64(bits)
    words |= high
    return words


def _masks() -> NDArray[np.uint64]:
    import numpy as np

    return np.array([256**count - 1 for count in range(9)], np.uint64)
