"""Builds one bento with BentoML and signs the whole folder; puts it into the store with one rename."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from pipelines.artifacts import sync_folder, write_atomic
from pipelines.errors import DeployError
from pipelines.inference.manifest import verify_manifest, write_manifest
from pipelines.inference.model_directory import ModelDirectory
from pipelines.packaging.bento_contents import bento_name, bento_version, fill
from pipelines.secret_files import public_key, signing_key
from pipelines.settings import Settings, make_private
from pipelines.storage import stage_folder

BUILD_SECONDS = 300


def bento_folder(settings: Settings, model: str, version: int, digest: str) -> Path:
    """Return where the bento of a version lies in BENTOML_HOME."""
    return settings.bentoml_home / "bentos" / bento_name(model) / bento_version(version, digest)


def bento_tag(model: str, version: int, digest: str) -> str:
    """Return BentoML's tag of a version."""
    return f"{bento_name(model)}:{bento_version(version, digest)}"


def verify_bento(path: Path, public_key: bytes) -> str:
    """Check the signature over a bento and every file of it; return its digest.

    Raises
    ------
    DeployError
        A file was changed, added or removed since the bento was signed, or the signature is not ours.
    """
    return verify_manifest(path, public_key)


def stored_bento(settings: Settings, model: str, version: int, digest: str) -> str | None:
    """Return the digest of the bento of a version that is in the store; None if there is none.

    One that is damaged is moved aside.
    """
    target = bento_folder(settings, model, version, digest)
    if not target.exists():
        return None
    try:
        return verify_bento(target, public_key(settings))
    except DeployError:
        target.rename(target.with_name(f".damaged-{target.name}-{os.urandom(4).hex()}"))
        return None


def build_bento(settings: Settings, *, model: str, version: int, model_dir: Path, digest: str, folder: Path) -> str:
    """Build and sign the bento of a version; return its digest.

    Parameters
    ----------
    model_dir
        The signed model directory; verified first.
    digest
        Its digest.
    folder
        Where the bento is to lie; must not exist yet.

    Raises
    ------
    DeployError
        The model directory is not what was signed, or the build fails.
    """
    key = public_key(settings)
    opened = ModelDirectory.open(model_dir, key)
    if opened.digest != digest:
        raise DeployError("the model directory is not the registered one", where=str(model_dir), expected=digest)
    work = stage_folder(settings, f"{model}-bento")
    try:
        context = make_private(work / "context")
        fill(context, opened=opened, public_key=key, name=model, version=version)
        built = _build(context, work / "home", bento_version(version, digest), bento_name(model))
        built.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    folder.chmod(0o700)
    return write_manifest(folder, signing_key(settings).read_bytes())


def store_bento(settings: Settings, *, model: str, version: int, digest: str, built: Path) -> str:
    """Put a built bento into the store, which is what is served from; return its digest.

    One that is there already, and whole, is kept.

    Raises
    ------
    DeployError
        What was built is not what was signed.
    """
    if (there := stored_bento(settings, model, version, digest)) is not None:
        return there
    result = verify_bento(built, public_key(settings))
    target = bento_folder(settings, model, version, digest)
    work = stage_folder(settings, f"{model}-store")
    try:
        copy = Path(shutil.copytree(built, work / target.name))
        for path in copy.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
            if path.is_file():
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
        make_private(target.parent)
        copy.chmod(0o700)
        copy.rename(target)
        sync_folder(target.parent)
        write_atomic(target.parent / "latest", target.name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return result


def build_environment(home: Path) -> dict[str, str]:
    """Return the whole environment of a BentoML process: nothing of ours leaks in, no telemetry goes out."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
        "OTEL_SDK_DISABLED": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _build(context: Path, home: Path, version: str, name: str) -> Path:
    argv = [sys.executable, "-P", "-m", "bentoml", "build", str(context), "-f", str(context / "bentofile.yaml")]
    done = subprocess.run(
        [*argv, "--version", version, "--output", "tag"],
        env=build_environment(home),
        cwd=context,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    built = home / "bentos" / name / version
    if done.returncode or not built.is_dir():
        raise DeployError(
            "the bento cannot be built",
            where=f"{name}:{version}",
            seen=(done.stderr or done.stdout).strip()[-2000:],
            cure="read the log of the stage package; the old version stays live",
        )
    return built
