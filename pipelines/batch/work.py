"""The work folder of a batch, beside its output: finished parts, and a manifest of what they are parts of.

A part is on disk before the manifest names it, so a process may end at any moment: the next one goes on behind the last
part that is whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import storage
from pipelines.artifacts import write_json
from pipelines.errors import SpecError
from pipelines.locks import try_lock
from pipelines.settings import make_private

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Identity:
    """What all parts of an output have in common.

    Parameters
    ----------
    model, version, model_digest
        Which model directory predicts.
    input_digest
        Of names and contents of the input's files.
    code
        Digest of the code and the libraries that predict.
    """

    model: str
    version: int
    model_digest: str
    input_digest: str
    code: str


@dataclass(frozen=True)
class Part:
    """One finished part.

    Parameters
    ----------
    file, sha256, rows
        Parquet in the work folder: name, digest and number of rows.
    warnings
        Doubtful cells: column → kind → count.
    gaps
        Columns with a null.
    units
        Of columns of moments the coarsest unit that shows each of them whole: ``D``, ``s``, ``ms``, ``us`` or ``ns``.
    """

    file: str
    sha256: str
    rows: int
    warnings: dict[str, dict[str, int]] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)


class Work:
    """The parts of one output."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.identity: Identity | None = None
        self.part_rows = 0
        self.rows: int | None = None
        self.notices: list[str] = []
        self.parts: list[Part] = []
        self._read()

    def _read(self) -> None:
        try:
            content = json.loads((self.folder / MANIFEST).read_bytes())
            if content["format"] != FORMAT:
                return
            self.identity = Identity(**content["identity"])
            self.part_rows, self.rows, self.notices = content["part_rows"], content["rows"], content["notices"]
            parts = [Part(**part) for part in content["parts"]]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return
        for part in parts:  # up to the first that is damaged
            path = self.folder / part.file
            if not path.is_file() or storage.file_sha256(path) != part.sha256:
                break
            self.parts.append(part)

    @property
    def done(self) -> int:
        """Number of rows that are predicted."""
        return sum(part.rows for part in self.parts)

    @property
    def complete(self) -> bool:
        """Whether every row is predicted."""
        return bool(self.parts) and self.done == self.rows

    def pinned(self, model: str, input_digest: str) -> int | None:
        """Return the version that finished parts of the same input are of; None if there are none."""
        known = self.identity
        if not self.parts or known is None or (known.model, known.input_digest) != (model, input_digest):
            return None
        return known.version

    def begin(self, identity: Identity, part_rows: int) -> None:
        """Keep the parts of the same identity, and begin anew with another one."""
        if (identity, part_rows) != (self.identity, self.part_rows):
            self.parts, self.rows, self.notices = [], None, []
        self.identity, self.part_rows = identity, part_rows
        kept = {MANIFEST, "lock", *(part.file for part in self.parts)}
        for path in self.folder.iterdir():
            if path.name not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def read(self, rows: int, notices: list[str]) -> None:
        """Keep how many rows the input has, and how it was read."""
        self.rows, self.notices = rows, notices
        self._save()

    def add(self, table: pa.Table, warnings: dict[str, dict[str, int]], gaps: list[str], units: dict[str, str]) -> None:
        """Write the next part to disk, and then name it in the manifest."""
        import pyarrow.parquet as pq

        path = self.folder / f"part-{len(self.parts):05d}.parquet"
        partial = path.with_suffix(".partial")
        with storage.disk_errors(self.folder):
            pq.write_table(table, partial)
            storage.file_io.flush(partial)
            os.replace(partial, path)
            self.parts.append(Part(path.name, storage.file_sha256(path), table.num_rows, warnings, gaps, units))
            self._save()

    def paths(self) -> list[Path]:
        """Return the files of the parts, in the order of their rows."""
        return [self.folder / part.file for part in self.parts]

    def _save(self) -> None:
        assert self.identity is not None
        content = {
            "format": FORMAT,
            "identity": asdict(self.identity),
            "part_rows": self.part_rows,
            "rows": self.rows,
            "notices": self.notices,
            "parts": [asdict(part) for part in self.parts],
        }
        with storage.disk_errors(self.folder):
            write_json(self.folder / MANIFEST, content)


def folder_of(target: Path) -> Path:
    """Return the work folder of an output.

    >>> folder_of(Path("/data/out.csv")).name
    '.out.csv.parts'
    """
    return target.with_name(f".{target.name}.parts")


@contextmanager
def working(target: Path) -> Iterator[Work]:
    """Yield the work on an output, for one process at a time; after a failure finished parts stay, after success none.

    Raises
    ------
    SpecError
        If another process writes this output.
    """
    folder = make_private(folder_of(target))
    lock = try_lock(folder / "lock")
    if lock is None:
        raise SpecError(
            "another process writes this output",
            where=str(target),
            expected="one at a time",
            cure="wait for it, or choose another output",
        )
    with lock:
        work = Work(folder)
        kept = False
        try:
            yield work
        except BaseException:
            kept = bool(work.parts)
            raise
        finally:
            if not kept:
                shutil.rmtree(folder, ignore_errors=True)
