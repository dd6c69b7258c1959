"""The sha256 of a file that this process wrote is not computed twice, and never that of another content."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from pipelines.storage import file_io


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_noted_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted, other = tmp_path / "a", tmp_path / "b"
    noted.write_bytes(b"first")
    other.write_bytes(b"second")
    assert file_io.note_sha256(noted) == sha(b"first")
    read: list[str] = []
    honest = file_io.file_sha256

    def reading(path: Path) -> str:
        read.append(path.name)
        return honest(path)

    monkeypatch.setattr(file_io, "file_sha256", reading)
    assert file_io.noted_sha256([other, noted]) == [sha(b"second"), sha(b"first")]
    assert read == ["b"]
    os.rename(noted, tmp_path / "c")
    assert file_io.noted_sha256([tmp_path / "c"]) == [sha(b"first")]


@pytest.mark.parametrize("how", ["longer", "same size", "replaced"])
def test_a_file_that_was_touched_since_is_read(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"first")
    file_io.note_sha256(path)
    os.utime(path, ns=(1, 1))
    content = b"other" if how == "same size" else b"another"
    if how == "replaced":
        (tmp_path / "new").write_bytes(content)
        os.replace(tmp_path / "new", path)
    else:
        path.write_bytes(content)
    assert file_io.noted_sha256([path]) == [sha(content)]


def test_a_file_gets_a_second_name_or_a_copy(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.write_text("text")
    file_io.link_or_copy(source, tmp_path / "link")
    assert (tmp_path / "link").samefile(source)

    def refuse(*_):
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", refuse)
    os.utime(source, (1.0, 1.0))
    file_io.link_or_copy(source, tmp_path / "copy")
    assert not (tmp_path / "copy").samefile(source)
    assert (tmp_path / "copy").read_text() == "text"
    assert (tmp_path / "copy").stat().st_mtime == 1.0


def test_the_last_lines_of_a_log(tmp_path):
    log = tmp_path / "log"
    assert file_io.tail(log) == "no log"
    log.write_bytes(b"first\n" * 20 + b"\xff last\n")
    assert file_io.tail(log, 2) == "first\n\ufffd last"
    log.write_text("")
    assert file_io.tail(log) == ""
