"""What an object store's errors mean: try again, or who has to do what."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from pipelines.errors import AimassError, DiskFullError, SpecError

CREDENTIALS = "the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in ~/.aws/credentials"
FULL = frozenset({
    "507", "EntityTooLarge", "InsufficientCapacity", "InsufficientStorage", "NotEnoughSpace", "OverQuota",
    "QuotaExceeded", "StorageFull", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull",
})  # fmt: skip
KEYS = frozenset({
    "AuthorizationHeaderMalformed", "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidToken",
    "SignatureDoesNotMatch", "TokenRefreshRequired", "UnrecognizedClientException",
})  # fmt: skip
REFUSED = frozenset({"AccessDenied", "AllAccessDisabled", "403", "Forbidden"})
SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
AGAIN = frozenset({
    "BandwidthLimitExceeded", "ConditionalRequestConflict", "InternalError", "OperationAborted", "RequestTimeout",
    "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests",
})  # fmt: skip
MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
EXISTS = frozenset({"PreconditionFailed", "412"})
SECRET = re.compile(r"\b[A-Z0-9]{16,}\b|[A-Za-z0-9/+=]{40,}")
"""What may be a key of an account within a message."""


class StoreAwayError(AimassError):
    """An object store does not answer; transient, because a later attempt may succeed."""

    kind = "StoreAwayError"


def code_of(error: BaseException) -> str:
    """Return the code that a store answered with; empty: it did not."""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def is_transient(error: BaseException) -> bool:
    """Tell whether the same request may succeed later."""
    from botocore.exceptions import (
        ClientError,
        ConnectionError,
        HTTPClientError,
        IncompleteReadError,
        ResponseStreamingError,
    )

    if isinstance(error, ClientError):
        code, status = code_of(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return code not in FULL and status != 501 and (code in AGAIN or status >= 500 or status == 429)
    return isinstance(error, ConnectionError | HTTPClientError | IncompleteReadError | ResponseStreamingError)


def explained(error: Exception, where: str, endpoint: str, seconds: float) -> AimassError:
    """Return the typed error of a request that failed.

    Parameters
    ----------
    where
        Address of the object or folder.
    endpoint
        Of the store.
    seconds
        For which it was tried.
    """
    from botocore.exceptions import ClientError, NoCredentialsError, PartialCredentialsError

    code, text = code_of(error), SECRET.sub("***", str(error).splitlines()[0])[:300]
    at = {"where": where, "seen": text}
    if is_transient(error):
        return StoreAwayError(
            "the object store does not answer",
            where=f"{where} at {endpoint}",
            seen=f"{text}; tried for {seconds:.0f} s",
            expected="an answer",
            cure="the next attempt may find it back; else check AIMASS_S3_ENDPOINT, the network and the store",
        )
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return SpecError(
            "there are no credentials for the object store",
            **at,
            expected=CREDENTIALS,
            cure="set them for every process of the platform, workers too",
        )
    if code == "NoSuchBucket":
        return SpecError(
            "the bucket is not there",
            where=f"{where} at {endpoint}",
            seen=text,
            expected="a bucket that was made before",
            cure="make it, or correct AIMASS_STORAGE, AIMASS_BACKUPS_FOLDER or AIMASS_S3_ENDPOINT",
        )
    if code in FULL:
        return DiskFullError(
            "the bucket is full",
            where=where,
            seen=text,
            expected="room below the quota of the bucket",
            cure="raise the quota or remove what is old there, and run it again; what was live stays live",
        )
    if code in SKEWED:
        return SpecError(
            "the clock of this machine is wrong for the object store",
            where=f"{where} at {endpoint}",
            seen=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC here, {_told(error)} there",
            expected="clocks that differ by less than 15 minutes",
            cure="set the clock (NTP: timedatectl set-ntp true) of the one that is wrong",
        )
    if code in KEYS or code in REFUSED:
        return SpecError(
            "the object store refuses the credentials" if code in KEYS else "the object store refuses access",
            **at,
            expected=f"{CREDENTIALS}, with the rights to list, read, write and delete there",
            cure="correct them for every process of the platform, or grant these rights",
        )
    if isinstance(error, ClientError) and error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 501:
        return SpecError(
            "the object store lacks something that is needed",
            **at,
            expected="a store that takes If-None-Match when an object is written",
            cure="use one that does: AWS S3, MinIO, Ceph from 19 on, or a folder",
        )
    return AimassError(
        "a request to the object store failed",
        **at,
        expected="a store that speaks S3",
        cure="check AIMASS_S3_ENDPOINT and the address",
    )


def _told(error: Exception) -> str:
    """Return the store's own time, as its answer says."""
    headers = getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(headers.get("date", "another time"))
