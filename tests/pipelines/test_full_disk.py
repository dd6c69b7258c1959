"""How a full disk is recognised, whoever words it; tests/faults fills real ones."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from pipelines import full_disk
from pipelines.errors import DataError, DiskFullError, from_dict
from pipelines.full_disk import disk_errors, is_disk_full


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "x"),
        OSError(errno.EDQUOT, "x"),
        sqlite3.OperationalError("database or disk is full"),
        RuntimeError("IO Error: Could not write to file: No space left on device"),
        RuntimeError("Out of Memory Error: failed to offload data block (…) the 'max_temp_directory_size' setting"),
        RuntimeError("ray.exceptions.OutOfDiskError: Local disk is full"),
        RuntimeError("write failed: Disk quota exceeded"),
    ],
)
def test_each_wording_is_the_one_error(tmp_path: Path, error: Exception) -> None:
    (tmp_path / "part").write_bytes(bytes(2_500_000))
    with pytest.raises(DiskFullError) as caught, disk_errors(tmp_path, staged=True):
        raise error
    assert caught.value.what == "disk full"
    assert "MB free of" in caught.value.seen
    assert caught.value.expected.startswith("more than 2.5 MB")
    assert isinstance(from_dict(caught.value.to_dict()), DiskFullError), "Airflow does not try it again"


def test_an_error_that_came_of_it_is_it(tmp_path: Path) -> None:
    def misread() -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise DataError("cannot be read", cure="deliver the file again") from None

    with pytest.raises(DiskFullError), disk_errors(tmp_path):
        misread()


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    quoting = DataError("a bad cell", seen="No space left on device")
    for error in (quoting, OSError(errno.EIO, "x"), sqlite3.OperationalError("disk I/O error"), KeyError("x")):
        assert not is_disk_full(error, tmp_path)
        with pytest.raises(type(error)), disk_errors(tmp_path):
            raise error


def test_a_vague_error_is_clear_where_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_disk, "SCARCE", 1 << 62)
    assert is_disk_full(sqlite3.OperationalError("disk I/O error"), tmp_path / "not" / "there")
    assert not is_disk_full(KeyError("x"), tmp_path)
