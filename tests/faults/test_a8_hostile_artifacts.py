"""A8: what is no part of a signed model directory is refused before it is parsed; nothing in it is ever run."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.deployment.serve import bento_command, find_bento
from pipelines.errors import AimassError, DeployError
from pipelines.inference.manifest import MAX_MANIFEST_BYTES, write_manifest
from pipelines.inference.model_directory import ModelDirectory
from pipelines.secret_files import public_key, signing_key
from pipelines.storage import resolve

pytestmark = pytest.mark.fault

RAN = "ran"
"""File that shows that something was run."""


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.folder / RAN),)


@pytest.fixture
def model(packaged: SimpleNamespace, tmp_path: Path) -> Path:
    source = resolve(packaged.settings, packaged.ledger.version("demo", 1).model_uri)
    copy = Path(shutil.copytree(source, tmp_path / "model"))
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o700)
    return copy


def pickled(folder: Path, root: Path) -> None:
    (folder / "members" / "0-evil.pkl").write_bytes(pickle.dumps(Payload(root)))


def in_place_of_a_member(folder: Path, root: Path) -> None:
    next((folder / "members").iterdir()).write_bytes(pickle.dumps(Payload(root)))


def linked(folder: Path, root: Path) -> None:
    (folder / "members" / "link").symlink_to("/etc/hostname")


def linked_folder(folder: Path, root: Path) -> None:
    (folder / "more").symlink_to(root)


def tagged(folder: Path, root: Path) -> None:
    (folder / "model.yaml").write_text("kind: another\n")


def oversize(folder: Path, root: Path) -> None:
    with (folder / "manifest.json").open("r+b") as stream:
        stream.truncate(MAX_MANIFEST_BYTES + 1)


def fifo(folder: Path, root: Path) -> None:
    os.mkfifo(folder / "pipe")


HOSTILE = (pickled, in_place_of_a_member, linked, linked_folder, tagged, oversize, fifo)


@pytest.mark.parametrize("plant", HOSTILE, ids=lambda plant: plant.__name__)
def test_it_is_refused_before_it_is_parsed(
    packaged: SimpleNamespace, model: Path, tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    plant(model, tmp_path)
    with pytest.raises(DeployError):
        ModelDirectory.open(model, public_key(packaged.settings))
    assert not (tmp_path / RAN).exists()


@pytest.mark.parametrize("plant", [pickled, in_place_of_a_member, tagged], ids=lambda plant: plant.__name__)
def test_even_signed_it_is_never_run(
    packaged: SimpleNamespace, model: Path, tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    plant(model, tmp_path)
    write_manifest(model, signing_key(packaged.settings).read_bytes())
    with suppress(Exception):  # whatever it is: it must not have run anything
        ModelDirectory.open(model, public_key(packaged.settings)).predictor.predict_rows([{}])
    assert not (tmp_path / RAN).exists()


@pytest.mark.parametrize("plant", [linked, linked_folder, fifo], ids=lambda plant: plant.__name__)
def test_links_and_pipes_are_not_even_signed(
    packaged: SimpleNamespace, model: Path, tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    plant(model, tmp_path)
    with pytest.raises(DeployError, match="plain files only"):
        write_manifest(model, signing_key(packaged.settings).read_bytes())


@pytest.mark.parametrize("plant", [pickled, linked, tagged], ids=lambda plant: plant.__name__)
def test_a_bento_with_it_is_not_started(
    packaged: SimpleNamespace, tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    folder = find_bento(packaged.settings, "demo", 1)
    kept = Path(shutil.copytree(folder, tmp_path / "kept"))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700)
    try:
        plant(folder / "src" / "model", tmp_path)
        with pytest.raises(AimassError):
            bento_command(packaged.settings, "demo", 1, tmp_path / "socket")
    finally:
        shutil.rmtree(folder)
        shutil.move(kept, folder)
    assert bento_command(packaged.settings, "demo", 1, tmp_path / "socket")
    assert not (tmp_path / RAN).exists()
