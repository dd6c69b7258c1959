"""Decides which rows are sealed: rows that judge promotion and train no model.

One pure function of the row's key. The first 8 bytes of BLAKE2b over salt + canonical key text, read as a big-endian
integer and divided by 2**64, are the row's score in [0, 1); a row is sealed when its score is below the share.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

SEPARATOR = "\x1f"
MISSING = "\x00"
MAX_ADJUSTED = 40
"""Numbers of more digits are texts."""


def canonical_value(value: object) -> str:
    """Return the one text of a key value: 1, 1.0, "1" and " 1 " are the same key; nulls are one value.

    Every digit counts, however many there are; letters are compared in Unicode's normal form C.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    text = str(value).strip()
    if not text.isascii():
        return unicodedata.normalize("NFC", text)
    if (text[:1].isdigit() or text[:1] in "+-.") and "_" not in text:  # "12_3" is a code; Decimal takes it for 123
        try:
            number = Decimal(text)
        except InvalidOperation:
            return text
        # A leading zero marks an identifier ("007"), not a number; so does an exponent without a sign ("12e3").
        digits = text.lstrip("+-")
        exponent = (
            isinstance(value, str) and "e" in text.lower() and text.lower()[text.lower().index("e") + 1] not in "+-"
        )
        if (
            number.is_finite()
            and abs(number.adjusted()) <= MAX_ADJUSTED
            and not exponent
            and not (len(digits) > 1 and digits[0] == "0" and digits[1].isdigit())
        ):
            plain = format(number, "f")  # digit for digit, unlike normalize(), which rounds
            plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
            return "0" if plain in ("-0", "0", "") else plain
    return text


def canonical_key(values: Iterable[object]) -> str:
    """Join the canonical texts of a key's values."""
    return SEPARATOR.join(canonical_value(value) for value in values)


def seal_score(salt: str, key_text: str) -> float:
    """Return the score in [0, 1) that decides whether a key is sealed."""
    digest = hashlib.blake2b(salt.encode() + key_text.encode("utf-8", "surrogatepass"), digest_size=64).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def seal_scores(salt: str, keys: Sequence[str] | pa.Array) -> NDArray[np.float64]:
    """Return ``seal_score`` of many keys as an array, shape (n,); an Arrow array of texts without nulls is quickest."""
    import numpy as np

    heads = np.frombuffer(digest_heads(keys, salt.encode()), dtype=">u8")
    return heads.astype(np.float64) / 2.0**64


def digest_heads(texts: Sequence[str] | pa.Array, start: bytes = b"", digest_size: int = 64) -> bytes:
    """Return the first 8 bytes of the BLAKE2b digest of ``start`` + each text, concatenated."""
    blake2b = hashlib.blake2b
    values = texts if isinstance(texts, Sequence) else texts.to_pylist()
    try:  # without arguments by name a digest costs half
        if digest_size == 64:
            return b"".join([blake2b(start + text.encode()).digest()[:8] for text in values])
        return b"".join([blake2b(start + text.encode(), digest_size=digest_size).digest()[:8] for text in values])
    except UnicodeEncodeError:
        return b"".join(
            [
                blake2b(start + text.encode("utf-8", "surrogatepass"), digest_size=digest_size).digest()[:8]
                for text in values
            ]
        )
