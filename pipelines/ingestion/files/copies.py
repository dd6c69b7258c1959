"""Copies of the files that DuckDB cannot read as they are, made in a folder beside the table."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.ingestion.files import rejects
from pipelines.ingestion.files.compression import readable
from pipelines.ingestion.files.csv_dialect import Dialect
from pipelines.ingestion.files.encodings import Changes, Marks, has_mixed_line_ends, rewritten
from pipelines.ingestion.files.sources import plain_name
from pipelines.ingestion.spec import Files

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Copies:
    """Where the files of one table are read from; compressed ones are unpacked first.

    Parameters
    ----------
    folder
        For the copies; :meth:`remove` removes it.
    """

    def __init__(self, files: Iterable[Path], folder: Path) -> None:
        self._folder = folder
        self.paths: dict[Path, Path] = readable(files, folder)
        self._alike: set[Path] = set()

    def path(self, file: Path) -> Path:
        """Return where a file is read from."""
        return self.paths.get(file, file)

    def make(self, file: Path, write: Callable[[Path, Path], object]) -> Path:
        """Write a new copy and read the file from it; ``write`` gets the path it was read from and the new one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        source = self.path(file)
        target = self._folder / f"{len(list(self._folder.iterdir()))}-again{Path(plain_name(source.name)).suffix}"
        write(source, target)
        if file in self.paths:
            source.unlink()
        self.paths[file] = target
        return target

    def align(self, file: Path, encoding: str) -> bool:
        """Copy JSON lines with uniform line ends; return False if they are uniform or already copied."""
        if file in self._alike or not has_mixed_line_ends(self.path(file)):
            return False
        self._alike.add(file)
        self.make(file, lambda source, target: rewritten(source, target, Changes(encoding, marks=Marks("\x01"))))
        return True

    def rewrite(self, file: Path, way: Dialect) -> Dialect:
        """Copy a text file as UTF-8 in a form that DuckDB reads; return how to read the copy."""
        marks = Marks(way.separator, way.escape) if way.mixed else None
        changes = Changes(way.encoding, way.blanked, way.keep, marks)
        self.make(file, lambda source, target: rewritten(source, target, changes))
        told = []
        if way.mixed:
            self._alike.add(file)
            told.append("lines end in several ways; every one was taken for a line's end")
        if way.encoding == "latin-1":
            told.append("not UTF-8; read as Windows-1252")
        if way.blanked:
            way = replace(way, header=False, skip=way.blanked, blanked=0)
        line_end = "\n" if way.mixed else way.line_end
        said = (*way.said, *told)
        return replace(way, encoding="utf-8", line_end=line_end, mixed=False, keep=None, said=said)

    def again(
        self, connection: DuckDBPyConnection, ways: Mapping[Path, Any], spec: Files, error: str = ""
    ) -> dict[Path, Dialect]:
        """Return the files to read in another way, after a read that failed with ``error`` or rejected lines."""
        texts = {file: way for file, way in ways.items() if isinstance(way, Dialect) and way.columns}
        if "not latin-1 encoded" in error:  # bytes that DuckDB takes for none
            return {file: self.rewrite(file, way) for file, way in texts.items() if way.encoding == "latin-1"}
        if error and "invalid state" not in error:
            return {}
        odd = texts.keys() if error else self._rejected(connection, texts, "UNQUOTED VALUE")
        found = {
            file: self.rewrite(file, replace(texts[file], mixed=True))
            for file in odd
            if file not in self._alike and has_mixed_line_ends(self.path(file))
        }
        if not error and spec.encoding is None:
            for file in self._rejected(connection, texts, "INVALID ENCODING"):
                if file not in found and texts[file].encoding == "utf-8":
                    found[file] = replace(texts[file], encoding="latin-1")
        return found

    def _rejected(self, connection: DuckDBPyConnection, files: Iterable[Path], kind: str) -> list[Path]:
        read = rejects.files_with(connection, kind)
        return [file for file in files if self.path(file) in read]

    def remove(self) -> None:
        """Remove all copies."""
        shutil.rmtree(self._folder, ignore_errors=True)
