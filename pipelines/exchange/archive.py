"""A signed archive: a zip whose every file is in a manifest that is signed with Ed25519 and read before all else."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pipelines.artifacts import sync_folder
from pipelines.errors import DataError, SpecError
from pipelines.inference.manifest import MANIFEST, MAX_MANIFEST_BYTES, SIGNATURE, write_manifest
from pipelines.secret_files import public_key, signing_key
from pipelines.settings import Settings, make_private

KEY, FACTS = "key.pub", "archive.json"
FORMAT = 1
MAX_GB = 2.0
MAX_FILES = 10_000
CHUNK = 1 << 20
SAME_DAY = (1980, 1, 1, 0, 0, 0)
"""Date of all files, so that the same version is the same archive."""
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, OSError, RuntimeError, ValueError)
"""What reading a damaged zip raises, by where the damage is."""
CURE = "export it again, and compare the sha256 of both files"


@dataclass(frozen=True)
class Opened:
    """An archive whose list of files is signed.

    Parameters
    ----------
    key
        Raw public key that it is signed with.
    files
        Name → {bytes, sha256} of every file but the signature's own three.
    """

    path: Path
    key: bytes
    files: dict[str, dict[str, Any]]


def write_archive(folder: Path, target: Path, settings: Settings, max_gb: float = MAX_GB) -> None:
    """Sign the files below ``folder`` and write them as one 0600 archive; a reader sees nothing or the whole.

    Raises
    ------
    SpecError
        It would be larger than ``max_gb``, or the target is there.
    """
    if target.exists():
        raise SpecError("the archive is there already", where=str(target), cure="name another file, or remove it")
    (folder / KEY).write_text(public_key(settings).hex())
    write_manifest(folder, signing_key(settings).read_bytes())
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    if size > max_gb * 1e9:
        raise _too_large(str(target), size, max_gb)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
                for path in files:
                    info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), SAME_DAY)
                    info.external_attr, info.compress_type = (stat.S_IFREG | 0o600) << 16, zipfile.ZIP_DEFLATED
                    with path.open("rb") as source, made.open(info, "w") as sink:
                        shutil.copyfileobj(source, sink, CHUNK)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(target.parent)


def is_archive(path: Path) -> bool:
    """Tell whether a file is a zip of ``aimass export``, or one too damaged to tell; other programs write zips, too."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.NameToInfo.keys()
    except BROKEN:
        return True
    return not names or bool(names & {KEY, FACTS, MANIFEST, SIGNATURE})


def read_key(path: Path, max_gb: float = MAX_GB) -> bytes:
    """Return the public key that an archive says it is signed with; nothing is proved yet."""
    with _opened(path, max_gb) as archive:
        text = _small(archive, path, KEY, 128).decode("ascii", "replace").strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise _damaged(path, f"{KEY} holds no key")
    return key


def open_archive(path: Path, key: bytes, max_gb: float = MAX_GB) -> Opened:
    """Check an archive's signature and the names and sizes of its files; nothing is unpacked.

    Parameters
    ----------
    key
        Raw public key, trusted by the caller.

    Raises
    ------
    DataError
        It was changed, is too large, or names files in odd ways.
    """
    with _opened(path, max_gb) as archive:
        payload = _small(archive, path, MANIFEST, MAX_MANIFEST_BYTES)
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(_small(archive, path, SIGNATURE, 64), payload)
        except InvalidSignature:
            raise _damaged(path, "its signature does not fit its list of files") from None
        files: dict[str, dict[str, Any]] = json.loads(payload)["files"]
        present = {info.filename: info for info in archive.infolist()}
        expected = {*files, MANIFEST, SIGNATURE}
        faults = [f"{name}: not in the signed list" for name in sorted(present.keys() - expected)]
        faults += [f"{name}: missing" for name in sorted(expected - present.keys())]
        faults += [
            f"{name}: {present[name].file_size} bytes, {facts['bytes']} are signed"
            for name, facts in sorted(files.items())
            if name in present and present[name].file_size != facts["bytes"]
        ]
        if faults:
            raise _damaged(path, f"{len(faults)} files are not as they were signed", faults)
    return Opened(path, key, files)


def unpack(opened: Opened, folder: Path, max_gb: float = MAX_GB) -> dict[str, Any]:
    """Unpack an archive into an empty private folder, every file checked; return ``archive.json``.

    Raises
    ------
    DataError
        A file is not what was signed, or this release does not know the format.
    """
    with _opened(opened.path, max_gb) as archive:
        for name, facts in opened.files.items():
            target = folder / PurePosixPath(name)
            make_private(target.parent)
            with target.open("xb") as sink:
                for chunk in _read(archive, opened.path, name, facts):
                    sink.write(chunk)  # a full disk is no damaged archive
            target.chmod(0o600)
    facts = json.loads((folder / FACTS).read_bytes())
    if facts.get("format") != FORMAT:
        raise DataError(
            "the archive is of a format that this release does not know",
            where=str(opened.path),
            seen=facts.get("format"),
            expected=FORMAT,
            cure="import it with the release that exported it, or a newer one",
        )
    return dict(facts)


def _read(archive: zipfile.ZipFile, path: Path, name: str, facts: dict[str, Any]) -> Iterator[bytes]:
    """Yield as many bytes as are signed and no more."""
    digest, left = hashlib.sha256(), int(facts["bytes"])
    try:
        with archive.open(name) as source:
            while chunk := source.read(min(CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    break
                digest.update(chunk)
                yield chunk
    except BROKEN as error:
        raise _damaged(path, f"{name}: {error}") from None
    if left or digest.hexdigest() != facts["sha256"]:
        raise _damaged(path, f"{name}: content changed")


@contextmanager
def _opened(path: Path, max_gb: float) -> Iterator[zipfile.ZipFile]:
    """Yield a zip whose names, kinds and sizes are harmless."""
    size = path.stat().st_size
    if size > max_gb * 1e9:
        raise _too_large(str(path), size, max_gb)
    try:
        archive = zipfile.ZipFile(path)
    except BROKEN as error:
        raise _damaged(path, f"it is no whole zip: {error}") from None
    with archive:
        infos = archive.infolist()
        total = sum(info.file_size for info in infos)
        if total > max_gb * 1e9:
            raise _too_large(str(path), total, max_gb, "unpacked ")
        faults = [f"{len(infos)} files; {MAX_FILES} are the most"] if len(infos) > MAX_FILES else []
        names = [info.filename for info in infos[:MAX_FILES]]
        twice = len(set(names)) < len(names)
        faults += ["a name stands twice"] if twice else []
        faults += [fault for info in infos[:MAX_FILES] if (fault := _odd(info))]
        if faults:
            raise DataError(
                "the archive has names or files that none of ours has",
                where=str(path),
                expected="plain files below one folder",
                cure="do not use it: ask whoever made it",
                faults=faults,
            )
        yield archive


def _odd(info: zipfile.ZipInfo) -> str:
    """Return what is wrong with an entry; empty if it is a plain file below the folder."""
    name, kind = info.filename, stat.S_IFMT(info.external_attr >> 16)
    shown = ascii(name[:120])
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or ":" in parts[0] or "\0" in name or len(name) > 500:
        return f"{shown}: leads out of the archive"
    if any(part in ("", ".", "..") for part in parts):
        return f"{shown}: leads out of the archive" if ".." in parts else f"{shown}: is no plain file"
    if kind not in (0, stat.S_IFREG):
        return f"{shown}: is a link or no plain file"
    if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"{shown}: is encrypted, or packed in a way that is not read"
    return ""


def _small(archive: zipfile.ZipFile, path: Path, name: str, most: int) -> bytes:
    try:
        if archive.getinfo(name).file_size > most:
            raise _damaged(path, f"{name} is too large")
        with archive.open(name) as stream:
            return stream.read(most)
    except KeyError:
        raise DataError(
            "the file is no archive of aimass export",
            where=str(path),
            seen=f"no {name} in it",
            cure="aimass export NAME",
        ) from None
    except BROKEN as error:
        raise _damaged(path, f"{name}: {error}") from None


def _damaged(path: Path, seen: str, faults: list[str] | None = None) -> DataError:
    return DataError("the archive is not what was signed", where=str(path), seen=seen, cure=CURE, faults=faults or [])


def _too_large(where: str, size: int, max_gb: float, how: str = "") -> SpecError:
    return SpecError(
        "the archive is too large",
        where=where,
        seen=f"{how}{size / 1e9:.2f} GB",
        expected=f"at most {max_gb:g} GB",
        cure="if it may be: --max-gb",
    )
