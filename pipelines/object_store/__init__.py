"""Objects below one address of an S3 store: read, written once or again, listed, deleted; errors are typed.

Each request is tried again while the store does not answer, for ``PATIENCE`` seconds in all.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipelines.errors import AimassError, SpecError
from pipelines.object_store import faults
from pipelines.object_store.faults import StoreAwayError as StoreAwayError

if TYPE_CHECKING:
    from pipelines.settings import Settings

PATIENCE = 150.0
"""Seconds for which a request is tried: a store that is away or slow for a minute is waited for."""
CONNECT_S, READ_S = 10.0, 30.0
LONGEST_PAUSE = 8.0
PART = 16 << 20
"""Bytes of a part; larger files are sent in several."""
STREAMS = 4
"""Transfers at once."""
BLOCK = 1 << 20
KEYS_AT_ONCE = 1000
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Listed:
    """An object as a listing shows it; ``key`` is relative to the store's address."""

    key: str
    bytes: int
    changed: datetime


class ObjectStore:
    """The objects below ``s3://BUCKET/PREFIX``; keys are relative to that.

    Parameters
    ----------
    address
        ``s3://BUCKET`` or ``s3://BUCKET/PREFIX``.
    endpoint
        Of the store; None: as boto3 finds it. So are region and credentials.
    patience
        Seconds for which a request is tried; None: ``PATIENCE``.
    """

    def __init__(self, address: str, endpoint: str | None = None, patience: float | None = None) -> None:
        self.address = address
        self._patience = patience
        self._bucket, _, prefix = address.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._client = _client(endpoint, os.getpid())
        self.endpoint = str(self._client.meta.endpoint_url)

    def where(self, key: str) -> str:
        """Return the whole address of an object."""
        return f"{self.address}/{key}" if key else self.address

    # --- reading --------------------------------------------------------------------------------------------------

    def get(self, key: str) -> bytes | None:
        """Return the content of a small object; None: there is none."""

        def ask() -> bytes:
            body: bytes = self._client.get_object(**self._at(key))["Body"].read()
            return body

        return self._unless(faults.MISSING, ask, key)

    def fetch(self, key: str, path: Path) -> str | None:
        """Copy an object into a new file, flushed; return the sha256 of what was written. None: there is no object."""

        def ask() -> str:
            digest = hashlib.sha256()
            body = self._client.get_object(**self._at(key))["Body"]
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with body, os.fdopen(descriptor, "wb") as stream:
                for block in body.iter_chunks(BLOCK):
                    digest.update(block)
                    stream.write(block)
            return digest.hexdigest()

        return self._unless(faults.MISSING, ask, key)

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """Yield the objects whose keys begin with ``prefix``, in the order of their keys."""
        for page in self._pages(prefix):
            for each in page.get("Contents", ()):
                key = each["Key"].removeprefix(self._prefix)
                yield Listed(key, int(each["Size"]), each["LastModified"])

    def folders(self, prefix: str) -> Iterator[str]:
        """Yield the names of the folders right below ``prefix``, which ends with ``/`` or is empty."""
        for page in self._pages(prefix, Delimiter="/"):
            for each in page.get("CommonPrefixes", ()):
                yield each["Prefix"].removeprefix(self._prefix + prefix).rstrip("/")

    def date(self) -> str:
        """Return the time that the store's answers bear; empty: they bear none."""
        asked = {"Bucket": self._bucket, "Prefix": self._prefix, "MaxKeys": 1}
        found = self._ask(lambda: self._client.list_objects_v2(**asked), "")
        return str(found["ResponseMetadata"]["HTTPHeaders"].get("date", ""))

    def _pages(self, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        more: dict[str, str] = {}
        while True:
            asked = {"Bucket": self._bucket, "Prefix": self._prefix + prefix, **options, **more}
            page: dict[str, Any] = self._ask(lambda asked=asked: self._client.list_objects_v2(**asked), prefix)  # type: ignore[misc]
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    # --- writing --------------------------------------------------------------------------------------------------

    def put(self, key: str, content: bytes) -> None:
        """Write a small object, in place of one that is there."""
        self._ask(lambda: self._client.put_object(**self._at(key), Body=content), key)

    def put_new(self, key: str, content: bytes) -> bool:
        """Write a small object unless there is one; tell whether this one is there now.

        An answer that was lost does no harm: what is there is compared with what was to be written.
        """
        done = self._unless(
            faults.EXISTS, lambda: self._client.put_object(**self._at(key), Body=content, IfNoneMatch="*"), key
        )
        return done is not None or self.get(key) == content

    def send(self, key: str, path: Path) -> None:
        """Write a file as an object."""

        def whole() -> None:
            with path.open("rb") as stream:
                self._client.put_object(**self._at(key), Body=stream)

        if path.stat().st_size <= PART:
            self._ask(whole, key)
        else:
            self._send_parts(key, path)

    def _send_parts(self, key: str, path: Path) -> None:
        """Write a large file in parts, one after the other, each with its own patience; a failed one leaves nothing."""
        at = self._at(key)
        upload = self._ask(lambda: self._client.create_multipart_upload(**at), key)["UploadId"]
        try:
            parts: list[dict[str, Any]] = []
            with path.open("rb") as stream:
                while block := stream.read(PART):
                    number = len(parts) + 1
                    sent = self._ask(
                        lambda number=number, block=block: self._client.upload_part(  # type: ignore[misc]
                            **at, UploadId=upload, PartNumber=number, Body=block
                        ),
                        key,
                    )
                    parts.append({"PartNumber": number, "ETag": sent["ETag"]})
            whole = {"Parts": parts}
            self._ask(lambda: self._client.complete_multipart_upload(**at, UploadId=upload, MultipartUpload=whole), key)
        except BaseException:
            self._try(lambda: self._client.abort_multipart_upload(**at, UploadId=upload))
            raise

    def delete(self, keys: Collection[str]) -> None:
        """Delete objects; those that are not there are no error."""
        wanted = sorted(keys)
        for start in range(0, len(wanted), KEYS_AT_ONCE):
            some = [{"Key": self._prefix + key} for key in wanted[start : start + KEYS_AT_ONCE]]
            asked = {"Bucket": self._bucket, "Delete": {"Objects": some, "Quiet": True}}
            found = self._ask(lambda asked=asked: self._client.delete_objects(**asked), wanted[start])  # type: ignore[misc]
            failed = [
                f"{each['Key']}: {each.get('Code')} {each.get('Message', '')}" for each in found.get("Errors", ())
            ]
            if failed:
                raise AimassError(
                    "objects cannot be deleted",
                    where=self.address,
                    seen=failed[0],
                    expected="the right to delete",
                    cure="grant it to these credentials",
                    faults=failed,
                )

    def broken_uploads(self, before: datetime) -> Iterator[tuple[str, Callable[[], bool]]]:
        """Yield the key of each transfer in parts that was begun before a moment and never ended, and what ends it."""
        asked = {"Bucket": self._bucket, "Prefix": self._prefix}
        found = self._ask(lambda: self._client.list_multipart_uploads(**asked), "")
        for each in found.get("Uploads", ()):
            if each["Initiated"] < before:
                at = {"Bucket": self._bucket, "Key": each["Key"], "UploadId": each["UploadId"]}
                key = each["Key"].removeprefix(self._prefix)
                yield key, lambda at=at: self._try(lambda: self._client.abort_multipart_upload(**at))  # type: ignore[misc]

    # --- asking ---------------------------------------------------------------------------------------------------

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _ask(self, work: Callable[[], T], key: str) -> T:
        return self._unless(frozenset(), work, key)  # type: ignore[return-value]  # None only for codes that were named

    def _unless(self, codes: frozenset[str], work: Callable[[], T], key: str) -> T | None:
        """Return what a request brings; None where the store answers with one of these codes."""
        from botocore.exceptions import BotoCoreError, ClientError
        from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

        began = time.monotonic()
        patience = PATIENCE if self._patience is None else self._patience
        again = Retrying(
            retry=retry_if_exception(faults.is_transient),
            stop=stop_after_delay(patience),
            wait=wait_random_exponential(multiplier=0.5, max=LONGEST_PAUSE),
            reraise=True,
        )
        try:
            return again(work)
        except (ClientError, BotoCoreError) as error:
            if faults.code_of(error) in codes:
                return None
            raise faults.explained(error, self.where(key), self.endpoint, time.monotonic() - began) from None

    @staticmethod
    def _try(work: Callable[[], object]) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            work()
        except (ClientError, BotoCoreError):
            return False  # housekeeping ends it, now or the next time
        return True


def open_store(settings: Settings, address: str, patience: float | None = None) -> ObjectStore:
    """Return the store at ``s3://…`` with this installation's endpoint."""
    return ObjectStore(address, settings.s3_endpoint, patience)


def at_once(work: Callable[[T], R], items: Collection[T]) -> list[R]:
    """Return the results of transfers, ``STREAMS`` at a time; the first error is raised."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(STREAMS) as pool:
        return list(pool.map(work, items))


@lru_cache(maxsize=8)
def _client(endpoint: str | None, _process: int) -> Any:
    """Return boto3's client; one for each process, for a fork shares no connection."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise SpecError(
            "the client of object stores is not installed",
            where="s3:// in AIMASS_STORAGE or AIMASS_BACKUPS_FOLDER",
            seen="no module boto3",
            expected="the extra 'cluster'",
            cure="pip install 'aimass[cluster]', or make env",
        ) from None
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"total_max_attempts": 1, "mode": "standard"},  # tried again here, as long as PATIENCE says
        max_pool_connections=2 * STREAMS,
        s3={"addressing_style": "path" if endpoint else "auto"},
        request_checksum_calculation="when_required",  # many stores know no other; content is checked by its sha256
        response_checksum_validation="when_required",
    )
    session = boto3.session.Session()
    region = os.environ.get("AWS_REGION") or session.region_name or "us-east-1"
    return session.client("s3", endpoint_url=endpoint, region_name=region, config=config)
