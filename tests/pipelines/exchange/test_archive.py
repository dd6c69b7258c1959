"""An archive is what was signed, or it is refused before anything of it lies on the disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import AimassError, DataError, SpecError
from pipelines.exchange.archive import is_archive, open_archive, read_key, unpack, write_archive
from pipelines.secret_files import public_key
from pipelines.settings import Settings, make_private

FULL = bool(os.environ.get("AIMASS_FULL"))
Change = Callable[[zipfile.ZipFile], None]


@pytest.fixture
def made(home: Settings, tmp_path: Path) -> Path:
    folder = tmp_path / "content"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "weights.bin").write_bytes(bytes(range(256)) * 64)
    (folder / "archive.json").write_text(json.dumps({"format": 1, "model": "demo"}))
    write_archive(folder, tmp_path / "a.zip", home)
    return tmp_path / "a.zip"


def opened_again(home: Settings, path: Path, into: Path, max_gb: float = 2.0) -> dict[str, object]:
    return unpack(open_archive(path, read_key(path, max_gb), max_gb), make_private(into), max_gb)


def rewritten(path: Path, change: Change, leave: str = "") -> Path:
    """Return a copy of an archive with one thing more or less."""
    target = path.with_name("b.zip")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name != leave:
                new.writestr(name, old.read(name))
        change(new)
    return target


def test_it_comes_back_as_it_was(home: Settings, made: Path, tmp_path: Path) -> None:
    assert is_archive(made)
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert read_key(made) == public_key(home)
    assert opened_again(home, made, tmp_path / "out")["model"] == "demo"
    assert (tmp_path / "out/model/weights.bin").read_bytes() == (tmp_path / "content/model/weights.bin").read_bytes()
    with pytest.raises(SpecError, match="there already"):
        write_archive(tmp_path / "content", made, home)


def _link(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("model/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "/etc/passwd")


@pytest.mark.fault("A7", "A8")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda archive: archive.writestr("../out.txt", "x"), "leads out"),
        (lambda archive: archive.writestr("/tmp/out.txt", "x"), "leads out"),
        (lambda archive: archive.writestr("model\\..\\out.txt", "x"), "leads out"),
        (lambda archive: archive.writestr("C:/out.txt", "x"), "leads out"),
        (lambda archive: archive.writestr("model/./x", "x"), "no plain file"),
        (lambda archive: archive.writestr("empty/", ""), "no plain file"),
        (_link, "is a link"),
        (lambda archive: archive.writestr("more.txt", "x"), "more.txt: not in the signed list"),
        (lambda archive: archive.writestr("bomb.bin", bytes(3_000_000)), "unpacked 0.00 GB"),
    ],
)
def test_odd_names_and_bombs_are_refused(home: Settings, made: Path, tmp_path: Path, change: Change, said: str) -> None:
    path = rewritten(made, change)
    with pytest.raises(AimassError) as refused:
        opened_again(home, path, tmp_path / "out", 0.001)
    assert said in str(refused.value)
    assert not any((tmp_path / "out").rglob("*"))
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.fault("A8")
@pytest.mark.parametrize("name", ["model/weights.bin", "archive.json", "manifest.json", "manifest.sig", "key.pub"])
def test_a_changed_or_missing_file_is_refused(home: Settings, made: Path, tmp_path: Path, name: str) -> None:
    before = zipfile.ZipFile(made).read(name)
    changed = bytes([before[0] ^ 1]) + before[1:]
    for path in (
        rewritten(made, lambda archive: archive.writestr(name, changed), leave=name),
        rewritten(made, lambda _: None, leave=name),
    ):
        with pytest.raises(DataError):
            opened_again(home, path, tmp_path / "out")


def test_a_file_that_unpacks_to_more_than_it_says_is_cut_off(home: Settings, made: Path, tmp_path: Path) -> None:
    content = bytearray(made.read_bytes())
    with zipfile.ZipFile(made) as archive:
        at = archive.getinfo("model/weights.bin").header_offset + 30 + len("model/weights.bin")
    content[at + 20] ^= 0xFF  # the packed bytes themselves
    made.write_bytes(content)
    with pytest.raises(DataError, match="not what was signed"):
        opened_again(home, made, tmp_path / "out")


@pytest.mark.fault("A8")
def test_wherever_a_byte_is_changed_it_is_the_archive_that_is_told(home: Settings, made: Path, tmp_path: Path) -> None:
    whole = made.read_bytes()
    refused = 0
    places = range(len(whole)) if FULL else (0, 10, 28, *range(30, len(whole), 97))
    for place in places:
        made.write_bytes(whole[:place] + bytes([whole[place] ^ 0x81]) + whole[place + 1 :])
        out = make_private(tmp_path / "out")
        refused += 1
        with suppress(AimassError):  # any other error is one that nobody foresaw
            if is_archive(made):
                unpack(open_archive(made, public_key(home)), out)
                refused -= 1
        shutil.rmtree(out)
    assert refused > len(places) / 2  # dates and modes of the zip are not read


@pytest.mark.fault("K17")
def test_a_full_disk_is_no_damaged_archive(home: Settings, made: Path, tmp_path: Path, monkeypatch: Any) -> None:
    opened = open_archive(made, read_key(made))
    really = Path.open

    def full(path: Path, mode: str = "r", *rest: Any) -> Any:
        if mode == "xb":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return really(path, mode, *rest)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(opened, make_private(tmp_path / "out"))


def test_zips_of_other_programs_are_no_archives(tmp_path: Path) -> None:
    for name, count in (("model.pt", 1), ("empty.zip", 0)):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for number in range(count):
                archive.writestr(f"model/data/{number}", "x")
        assert is_archive(tmp_path / name) is (count == 0)


def test_what_is_no_archive_or_too_large_is_refused(home: Settings, made: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match="no archive of aimass export"):
        read_key(tmp_path / "other.zip")
    made.write_bytes(made.read_bytes()[:-40])
    assert not is_archive(made)
    with (tmp_path / "large.zip").open("wb") as stream:
        stream.truncate(2_100_000_000)  # sparse: it takes no disk
    with pytest.raises(SpecError, match=r"2\.10 GB"):
        read_key(tmp_path / "large.zip")
