"""What a search has found so far, kept where a search that was killed finds it again."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.algorithms.base import Params
from pipelines.artifacts import canonical_json
from pipelines.locks import try_lock
from pipelines.settings import Settings, make_private
from pipelines.tuning.shared_search import SharedSearch, shared_search
from pipelines.tuning.trial_runner import oof_path
from pipelines.tuning.trials import TrialOutcome, TrialResult

if TYPE_CHECKING:
    from filelock import AcquireReturnProxy

FORMAT = 1
FILE = "journal.jsonl"
LOCK = "lock"
PREFIX = "search-"


class Entry(dict[str, Any]):
    """One finished trial as a line of the journal holds it."""

    @property
    def result(self) -> TrialResult:
        """Result of the trial."""
        facts = dict(self["answer"])
        loss = math.nan if facts["loss"] is None else facts["loss"]
        folds = tuple(math.nan if value is None else value for value in facts["fold_losses"])
        return TrialResult(**{**facts, "loss": loss, "fold_losses": folds, "learned": tuple(facts["learned"])})

    def describes(self, family: str, params: Params) -> bool:
        """Whether it is about this configuration."""
        return bool(self["family"] == family and canonical_json(self["params"]) == canonical_json(params))


class Journal:
    """An append-only file of finished trials, one line each, beside their out-of-fold predictions.

    Attributes
    ----------
    folder
        Holds ``journal.jsonl`` and ``00012.npy`` of each finished trial.
    found
        Trials of an earlier search with the same key that was broken off, by number.
    spent
        Seconds that the earlier search had used when it last wrote.
    """

    def __init__(
        self, folder: Path, key: str, lock: AcquireReturnProxy[Any] | None = None, shared: SharedSearch | None = None
    ) -> None:
        self.folder, self._lock, self._shared = folder, lock, shared
        if shared is not None:
            shared.bring()
        self.found: dict[int, Entry] = {}
        self.spent = 0.0
        path = folder / FILE
        whole = self._read(path, key)
        self._stream = path.open("r+" if whole else "w")
        self._stream.truncate(whole)
        self._stream.seek(whole)
        if not whole:
            self._append({"format": FORMAT, "key": key})

    def add(self, outcome: TrialOutcome, spent: float) -> None:
        """Append a finished trial and flush it to disk.

        Parameters
        ----------
        spent
            Seconds of the search so far.
        """
        proposal, result = outcome.proposal, asdict(outcome.result)
        result["loss"] = _number(result["loss"])
        result["fold_losses"] = [_number(value) for value in result["fold_losses"]]
        self._append(
            {
                "number": proposal.number,
                "family": proposal.family,
                "params": proposal.params,
                "origin": proposal.origin,
                "device": result["device"],
                "answer": result,
                "spent": round(spent, 3),
            }
        )
        if self._shared is not None:
            self._shared.send(proposal.number)

    def forget(self, number: int) -> None:
        """Remove the predictions of a trial that is not among the best."""
        oof_path(self.folder, number).unlink(missing_ok=True)
        if self._shared is not None:
            self._shared.forget(number)

    def close(self) -> None:
        """Close the file and let others have the folder."""
        self._stream.close()
        if self._lock is not None:
            self._lock.lock.release()

    def _append(self, line: Mapping[str, Any]) -> None:
        self._stream.write(canonical_json(line) + "\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def _read(self, path: Path, key: str) -> int:
        """Read what is there; return the bytes that are whole lines of this search."""
        if not path.exists():
            return 0
        whole = 0
        for position, line in enumerate(path.read_bytes().splitlines(keepends=True)):
            try:
                entry = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n") or (position == 0 and (entry.get("key"), entry.get("format")) != (key, FORMAT)):
                break
            whole += len(line)
            if position:
                self.found[int(entry["number"])] = Entry(entry)
                self.spent = max(self.spent, float(entry["spent"]))
        return whole


def open_journal(settings: Settings, model: str, key: str, out: Path) -> Journal:
    """Open the journal of the search ``key``, and remove those of the model's other searches.

    Parameters
    ----------
    key
        Digest of everything that the search depends on.
    out
        Holds the journal instead where another process has locked the folder.
    """
    folder = settings.staging / f"{PREFIX}{model}-{key[:24]}"
    lock = try_lock(make_private(folder) / LOCK)
    if lock is None:
        return Journal(make_private(out / "journal"), key)
    folder.touch()  # housekeeping counts from here
    for other in settings.staging.glob(f"{PREFIX}{model}-*"):
        if other != folder and len(other.name) == len(folder.name):
            held = try_lock(other / LOCK)
            if held is not None:
                with held:
                    shutil.rmtree(other, ignore_errors=True)
    return Journal(folder, key, lock, shared_search(settings, model, key[:24], folder, FILE))


def search_key(**parts: Any) -> str:
    """Digest what a search depends on."""
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
