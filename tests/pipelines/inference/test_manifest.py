from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipelines.errors import DeployError
from pipelines.inference.manifest import verify_manifest, write_manifest

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
PEM = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "members").mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    (folder / "members" / "0.txt").write_text("tree")
    write_manifest(folder, PEM)
    return folder


def test_digest_is_that_of_the_manifest_and_repeats(model: Path) -> None:
    digest = verify_manifest(model, PUBLIC)
    assert digest == hashlib.sha256((model / "manifest.json").read_bytes()).hexdigest()
    before = (model / "manifest.sig").read_bytes()
    assert write_manifest(model, PEM) == digest
    assert (model / "manifest.sig").read_bytes() == before


@pytest.mark.parametrize("name", ["model.json", "members/0.txt", "manifest.json", "manifest.sig"])
def test_one_changed_byte_is_refused(model: Path, name: str) -> None:
    content = bytearray((model / name).read_bytes())
    content[-1] ^= 1
    (model / name).write_bytes(content)
    with pytest.raises(DeployError):
        verify_manifest(model, PUBLIC)


@pytest.mark.parametrize("name", ["model.json", "members/0.txt", "manifest.json", "manifest.sig"])
def test_a_missing_file_is_refused(model: Path, name: str) -> None:
    (model / name).unlink()
    with pytest.raises(DeployError):
        verify_manifest(model, PUBLIC)


def test_added_files_links_and_fifos_are_refused(model: Path) -> None:
    (model / "members" / "extra.txt").write_text("x")
    with pytest.raises(DeployError, match="differs") as caught:
        verify_manifest(model, PUBLIC)
    assert caught.value.faults == ["members/extra.txt: not in the manifest"]
    (model / "members" / "extra.txt").unlink()
    (model / "link").symlink_to(model / "model.json")
    with pytest.raises(DeployError, match="plain files"):
        verify_manifest(model, PUBLIC)


def test_a_linked_manifest_is_refused(model: Path) -> None:
    shutil.move(model / "manifest.json", model.parent / "elsewhere")
    (model / "manifest.json").symlink_to(model.parent / "elsewhere")
    with pytest.raises(DeployError, match="plain file"):
        verify_manifest(model, PUBLIC)


def test_a_foreign_signature_is_refused_before_anything_is_parsed(model: Path) -> None:
    (model / "manifest.json").write_text("not json")
    (model / "manifest.sig").write_bytes(Ed25519PrivateKey.generate().sign(b"not json"))
    with pytest.raises(DeployError, match="signature"):
        verify_manifest(model, PUBLIC)
