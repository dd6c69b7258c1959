"""Tries what is asked of an object store, as `aimass doctor` does."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pipelines.errors import SpecError
from pipelines.object_store import ObjectStore

SKEW_S = 60.0
"""Seconds that clocks may differ; at 15 minutes stores refuse every request."""


def probe(store: ObjectStore) -> float:
    """Write, read, list and delete an object; return how many seconds the store's clock is before this machine's.

    Raises
    ------
    AimassError
        The first fault, with its cure; also a store that writes over what is there when it is asked not to.
    """
    key, content = f".doctor/{secrets.token_hex(8)}", secrets.token_bytes(16)
    try:
        written = store.put_new(key, content)
        again = store.put_new(key, secrets.token_bytes(16))
        if not written or again or store.get(key) != content:
            raise SpecError(
                "the object store writes over what is there, though If-None-Match says not to",
                where=store.where(key),
                seen="the second object in the place of the first",
                expected="412 Precondition Failed",
                cure="use a store that takes If-None-Match: AWS S3, MinIO, Ceph from 19 on; or a folder",
            )
        if key not in [each.key for each in store.list(".doctor/")]:
            raise SpecError(
                "the object store does not list what was just written",
                where=store.where(key),
                seen="no such key in the listing",
                expected="a listing that is consistent with writes",
                cure="use a store that is: AWS S3, MinIO, Ceph; or a folder",
            )
    finally:
        store.delete([key])
    return clock_ahead(store)


def clock_ahead(store: ObjectStore) -> float:
    """Return the seconds that the store's clock is before this machine's; 0 where it does not tell."""
    told = store.date()
    return 0.0 if not told else (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds()
