"""What passes between stages: requests, refs and results. Small JSON, no data."""

from __future__ import annotations

import hashlib
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipelines.spec import ModelSpec


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ref(_Frozen):
    """Points at one published folder.

    ``uri`` is relative to the storage root, ``digest`` covers the folder's whole content, ``rows`` counts
    the rows of its main table and ``meta`` holds small facts (no row of data).
    """

    uri: str
    digest: str
    stage: str
    rows: int | None = None
    meta: dict[str, Any] = Field(default_factory=dict)


class Artifact(_Frozen):
    """A ref whose files were checked against their manifest, and where they lie on this machine."""

    ref: Ref
    path: Path


class Outcome(_Frozen):
    """What ``run`` of a stage hands back: ``meta`` travels in the ref, ``stats`` goes to the ledger."""

    rows: int | None = None
    meta: dict[str, Any] = Field(default_factory=dict)
    stats: dict[str, Any] = Field(default_factory=dict)


class Night(_Frozen):
    """Identity and circumstances of one attempt at one stage of one night."""

    model: ModelSpec
    night: str
    """Airflow run id."""
    as_of: datetime
    attempt: int = 1
    fence: int = 0
    platform: bool = False
    """True: started by the running platform; False: in process (`--local`)."""

    @field_validator("as_of")
    @classmethod
    def _utc(cls, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise ValueError("as_of needs a time zone")
        return value.astimezone(UTC)


class Call(_Frozen):
    """The content of REQUEST.json for an operation, which belongs to no night."""

    stage: str
    spec: dict[str, Any]


class Request(Call):
    """The content of REQUEST.json for a stage."""

    night: Night
    inputs: dict[str, Ref] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)


class Result(_Frozen):
    """The content of result.json of an operation."""

    stats: dict[str, Any] = Field(default_factory=dict)
    seconds: float


class StageResult(Result):
    """The content of result.json of a stage."""

    ref: Ref
    reused: bool = False


def night_slug(night: str) -> str:
    """Return a folder name for a run id: readable, and unique through a digest of the exact text."""
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", night).strip("-.")[:64]
    return f"{readable}-{hashlib.blake2b(night.encode(), digest_size=4).hexdigest()}"


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str)


def write_atomic(path: Path, data: bytes | str, mode: int = 0o600) -> None:
    """Write a file so that a reader sees the old content or the whole new one, and flush it to disk."""
    payload = data.encode() if isinstance(data, str) else data
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json(path: Path, value: Any, **form: Any) -> None:
    """Write a value as JSON so that a reader sees the old content or the whole new one.

    Parameters
    ----------
    value
        What ``json.dumps`` takes.
    form
        Its arguments where they are not one space of indent and characters as they are.
    """
    write_atomic(path, json.dumps(value, **{"indent": 1, "ensure_ascii": False, **form}))


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
