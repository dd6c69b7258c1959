"""The typed errors of a night: who must act, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

MAX_FAULTS = 20


class AimassError(Exception):
    """Base of every error that a retry cannot cure.

    Parameters
    ----------
    what
        One sentence: what is wrong.
    where
        The file, column, field, key or address concerned.
    seen, expected
        What was found, and what would have been right.
    cure
        What the reader does next.
    faults
        All faults of one input, one line each; the first ``MAX_FAULTS`` are kept and the rest counted.
    """

    kind = "error"
    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        seen: object = "",
        expected: object = "",
        cure: str = "",
        faults: Sequence[str] = (),
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.seen = str(seen)
        self.expected = str(expected)
        self.cure = cure
        kept = [str(fault) for fault in faults[:MAX_FAULTS]]
        if len(faults) > MAX_FAULTS:
            kept.append(f"… and {len(faults) - MAX_FAULTS} more")
        self.faults = kept

    def __str__(self) -> str:
        lines = [self.what]
        for label in ("where", "seen", "expected", "cure"):
            value = getattr(self, label)
            if value:
                lines.append(f"  {label}: {value}")
        lines.extend(f"  - {fault}" for fault in self.faults)
        return "\n".join(lines)

    def with_cure(self, cure: str) -> Self:
        """Return the same error with another cure."""
        self.cure = cure
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``error.json``."""
        fields = ("kind", "what", "where", "seen", "expected", "cure", "faults")
        return {field: getattr(self, field) for field in fields}


class SpecError(AimassError):
    """The engineer edits the DAG file or the command."""

    kind = "SpecError"
    exit_code = 20


class DataError(AimassError):
    """The owner of the data acts."""

    kind = "DataError"
    exit_code = 21


class GateError(AimassError):
    """The candidate is unfit: NaN, leak, overlap, worse than the baseline with no champion."""

    kind = "GateError"
    exit_code = 22


class DeployError(AimassError):
    """The new version cannot be put into service; the old one stays."""

    kind = "DeployError"
    exit_code = 23


class BackupError(AimassError):
    """A backup cannot be written, verified or restored."""

    kind = "BackupError"
    exit_code = 24


class DiskFullError(AimassError):
    """No space is left; whoever looks after the machine acts, and what was live stays live."""

    kind = "DiskFullError"


BY_KIND: dict[str, type[AimassError]] = {
    cls.kind: cls for cls in (AimassError, SpecError, DataError, GateError, DeployError, BackupError, DiskFullError)
}


def from_dict(payload: Mapping[str, Any]) -> AimassError:
    """Rebuild the error that a stage left in ``error.json``; an unknown kind becomes the base class."""
    cls = BY_KIND.get(str(payload.get("kind")), AimassError)
    return cls(
        str(payload.get("what", "unknown error")),
        where=str(payload.get("where", "")),
        seen=payload.get("seen", ""),
        expected=payload.get("expected", ""),
        cure=str(payload.get("cure", "")),
        faults=list(payload.get("faults", ())),
    )


class UnreachableError(ConnectionError):
    """A server does not answer; another attempt may find it, so this is no :class:`AimassError`.

    Parameters are those of :class:`AimassError`.
    """

    def __init__(self, what: str, *, where: str, seen: object, expected: str, cure: str) -> None:
        self.what, self.where, self.seen, self.expected, self.cure = what, where, str(seen), expected, cure
        super().__init__(
            "\n  ".join([what, f"where: {where}", f"seen: {seen}", f"expected: {expected}", f"cure: {cure}"])
        )
