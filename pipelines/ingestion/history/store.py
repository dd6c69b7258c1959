"""History of a source: what each night read, kept as increments, so that any earlier table can be rebuilt.

An increment holds the rows of one version of one file, or of one read of a database, in a published folder
(``storage/history/<model>/<table>/<increment>/``: ``rows/`` and a manifest with its facts). A killed night leaves whole
increments or none, and its retry goes on behind them. Nothing is ever changed or removed here: a corrected file is a
further version, known only from the night that saw the correction on.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines import storage
from pipelines.artifacts import canonical_json
from pipelines.errors import DataError
from pipelines.ingestion.history.file_index import FileVisit, Index
from pipelines.ingestion.history.increments import Increment, newest, read_increment, tagged
from pipelines.ingestion.history.replay import is_recorded
from pipelines.settings import Settings


@dataclass(frozen=True)
class _Planned:
    """A file to be read."""

    look: FileVisit
    known_at: datetime
    dated: bool


class History:
    """The increments of one table of one model.

    Parameters
    ----------
    model, table
        Names; the main source's table is ``main``, a joined one has the name of its join.
    root
        Folder that file names are relative to, so that a source may move; None: whole paths are the names.
    reading
        Digest of the options that files are read with. Files read with others are read again; versions that are gone
        stay as they were read.
    named
        Tells whether a file's name is one of the source as it is declared now; others, read when it was declared
        otherwise, count as unknown. None: all are.
    """

    def __init__(
        self,
        settings: Settings,
        model: str,
        table: str = "main",
        *,
        root: Path | None = None,
        reading: str = "",
        named: Callable[[str], bool] | None = None,
    ) -> None:
        self._uri = f"history/{model}/{table}"
        self.folder = settings.storage / self._uri
        self.notices: list[str] = []
        """What the caller should tell the user; filled by `plan` and `increments`."""
        self._settings, self._what, self._root, self._reading = settings, f"{model}-{table}", root, reading
        self._matches = named or (lambda _: True)
        home = root is not None and root.is_relative_to(settings.home)
        self._root_name = f"home:{root.relative_to(settings.home)}" if root is not None and home else str(root or "")
        self._index = Index(settings, self._uri)
        self._brought = False
        self._planned: dict[Path, _Planned] = {}

    def is_there(self) -> bool:
        """Tell whether anything was kept."""
        return bool(self._stored()) or self._index.looked() is not None

    # --- what to read ---------------------------------------------------------------------------------------------

    def plan(self, files: Sequence[Path], as_of: datetime, known: Mapping[Path, datetime] | None = None) -> list[Path]:
        """Return the files that are new or changed, in the order given.

        The bytes decide; size and time of change only spare hashing a file again. A first version is known from the
        moment in ``known`` on (its date plus one day), unless a night has looked later than that and did not see it;
        a changed version, or a file without a date, from ``as_of`` on. A night whose date lies before another one's
        that has looked (`is_past`) reads nothing new: what arrived since was not known then.

        Raises
        ------
        DataError
            If files cannot be read; lists all.
        """
        self._planned = {}
        if is_recorded():
            return []
        stored = self._stored()
        last = {item.name: item for item in stored if item.name}
        readings = {(item.name, item.sha256, item.known_at, item.reading) for item in stored}
        moved = {item.sha256: item for name, item in last.items() if not self._path(name).exists()}
        late = []
        looked = self._index.looked()
        for path, look in self._index.look({path: self._name(path) for path in files}).items():
            name, digest = look.name, look.sha256
            version, moment = last.get(name), known.get(path) if known is not None else None
            dated = moment is not None
            if version is None and digest in moved:
                version = moved[digest]
                if self._named(version):
                    continue
            if version is not None and version.sha256 == digest:
                if (name, digest, version.known_at, self._reading) in readings:
                    continue
                known_at, dated = version.known_at, version.dated
            elif looked is not None and looked > as_of:
                late.append(name)
                continue
            elif moment is None or version is not None or (looked is not None and looked >= moment):
                known_at = as_of
            else:
                known_at = moment
            self._planned[path] = _Planned(look, known_at.astimezone(UTC), dated)
        if late:
            self._notice(f"{len(late)} file(s) new since, not known at {as_of.date()}: {', '.join(late[:5])}")
        return list(self._planned)

    def is_past(self, as_of: datetime) -> bool:
        """Tell whether a night of a later date has read the source: databases are then taken from the history."""
        if is_recorded():
            return True
        looked = self._index.looked()
        return looked is not None and looked > as_of

    def looked(self, as_of: datetime) -> None:
        """Record that a night has read everything: what arrives later was not known then."""
        if not self.is_past(as_of):
            self._index.set_looked(as_of)

    def watermark(self, as_of: datetime) -> Any:
        """Return the watermark of the last increment known at ``as_of``: int, float, text, date, datetime or None."""
        marks = [item.watermark for item in self.increments(as_of) if item.watermark is not None]
        return marks[-1] if marks else None

    # --- what was read --------------------------------------------------------------------------------------------

    def add(
        self,
        write: Callable[[Path], int],
        *,
        as_of: datetime,
        file: Path | None = None,
        known_at: datetime | None = None,
        watermark: Any = None,
        whole: bool = False,
    ) -> Increment | None:
        """Publish one increment; repeating it has no effect.

        Parameters
        ----------
        write
            Writes the rows as a table (`storage.write_table`) into the folder that it is given; returns their number.
        file
            The file they are from, one of those that `plan` gave; None: a database.
        known_at
            None: what `plan` found for a file, ``as_of`` for a database.
        watermark, whole
            Database: how far it was read; whether this is the whole table.

        Returns
        -------
        Increment or None
            None for a read of a database that brought nothing new.

        Raises
        ------
        DataError
            If the file changed while it was read.
        """
        staging = storage.stage_folder(self._settings, f"history-{self._what}")
        try:
            with storage.disk_errors(self._settings.storage):
                rows = write(staging / "rows")
                if file is None:
                    digest, _ = storage.describe(staging)
                    if self._has_nothing_new(digest, rows, as_of, whole=whole):
                        return None
                    planned = _Planned(FileVisit("", digest, 0, 0), as_of, dated=False)
                else:
                    planned = self._unchanged(file)
                seen = planned.look
                moment = (known_at or planned.known_at).astimezone(UTC)
                facts = {
                    "files": [{"name": seen.name, "sha256": seen.sha256, "bytes": seen.bytes}] if seen.name else [],
                    "sha256": seen.sha256,
                    "known_at": moment.isoformat(),
                    "read_by": as_of.astimezone(UTC).isoformat(),
                    "watermark": tagged(watermark),
                    "whole": whole,
                    "dated": planned.dated,
                    "reading": self._reading,
                    "root": self._root_name,
                }
                identity = canonical_json([seen.name, seen.sha256, facts["watermark"], self._reading])
                target = (
                    self.folder
                    / f"{moment:%Y%m%dT%H%M%S.%f}-{hashlib.blake2b(identity.encode(), digest_size=6).hexdigest()}"
                )
                storage.publish(staging, target, stage="history", rows=rows, facts=facts, settings=self._settings)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        if file is not None:
            del self._planned[file]
        return read_increment(target)

    def _has_nothing_new(self, digest: str, rows: int, as_of: datetime, *, whole: bool) -> bool:
        before = self.increments(as_of)
        if whole:
            return bool(before) and before[-1].sha256 == digest
        return bool(before) and rows == 0

    def _unchanged(self, file: Path) -> _Planned:
        planned = self._planned[file]
        seen = planned.look
        now = file.stat()
        if (now.st_size, now.st_mtime_ns) != (seen.bytes, seen.mtime_ns) and storage.file_sha256(file) != seen.sha256:
            raise DataError(
                "a source file changed while it was read",
                where=str(file),
                seen=f"{now.st_size} bytes",
                expected=f"the {seen.bytes} bytes it had when the night began",
                cure="deliver files under another name and rename them when they are whole; then clear the failed task",
            )
        return planned

    # --- as known then --------------------------------------------------------------------------------------------

    def increments(self, as_of: datetime) -> list[Increment]:
        """Return what was known at ``as_of``: the newest version of each file, in the order of (known_at, name).

        Where nothing has a date and all was first read later, it is what was read first, with a notice.
        """
        stored = self._stored()
        stored = [item for item in stored if not item.name or self._named(item)]
        known = [item for item in stored if item.known_at <= as_of]
        if not known and stored and not any(item.dated for item in stored):
            first = min(item.known_at for item in stored)
            known = [item for item in stored if item.known_at == first]
            self._notice(f"nothing was read before {first:%Y-%m-%d %H:%M}; taken as it was then")
        return newest(known, self._reading)

    def tables(self, as_of: datetime, *, check: bool = True) -> list[Path]:
        """Return the folders of rows known at ``as_of``, in the order of (known_at, name).

        ``check``: first against their manifests.

        Raises
        ------
        DataError
            If an increment is damaged.
        """
        chosen = self.increments(as_of)
        for item in chosen:
            uri = f"{self._uri}/{item.folder.name}"
            _ = storage.open_folder(self._settings, uri) if check else storage.resolve(self._settings, uri)
        return [item.table for item in chosen]

    def digest(self, as_of: datetime) -> str:
        """Return the digest of what is known at ``as_of``, including the planned files that are not added yet."""
        lines = [(item.known_at, item.name, item.sha256) for item in self.increments(as_of)]
        planned = [(each.known_at, each.look.name, each.look.sha256) for each in self._planned.values()]
        fresh = {name for known_at, name, _ in planned if known_at <= as_of}
        kept = [line for line in lines if line[1] not in fresh] + [line for line in planned if line[1] in fresh]
        text = canonical_json([[when.isoformat(), *rest] for when, *rest in sorted(kept)])
        return hashlib.sha256(f"{self._reading}\n{text}".encode()).hexdigest()

    def _stored(self) -> list[Increment]:
        self._brought = self._brought or storage.bring_manifests(self._settings, self._uri)
        found = (read_increment(path.parent) for path in self.folder.glob(f"*/{storage.MANIFEST}"))
        return sorted(found, key=lambda item: (item.known_at, item.name, item.read_by, item.folder.name))

    def _named(self, item: Increment) -> bool:
        """Tell whether the source as declared now includes a file, also after the source has moved."""
        if not self._matches(item.name):
            return False
        if item.root in ("", self._root_name) or self._path(item.name).exists():
            return True
        root = item.root.removeprefix("home:")
        return not Path(self._settings.home if item.root != root else "/", root, item.name).exists()

    def _path(self, name: str) -> Path:
        return (self._root or Path("/")) / name

    def _name(self, path: Path) -> str:
        root = self._root
        return path.relative_to(root).as_posix() if root is not None and path.is_relative_to(root) else path.as_posix()

    def _notice(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)
