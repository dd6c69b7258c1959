"""What a bento carries: the service, the model directory, the code that predicts, the key that verifies it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

from pipelines.artifacts import canonical_json
from pipelines.errors import SpecError
from pipelines.inference.members.registry import runtimes
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.sources import PACKAGE, copy_inference

REQUIREMENTS = ("bentoml", "cryptography", "lightgbm", "msgspec", "numpy", "pandas", "pyarrow", "pydantic", "scipy")
"""What ``inference`` and the service import, each pinned to what trained and proved the version."""


def template_folder() -> Path:
    """Return ``bentos/``, which lies beside the package."""
    folder = PACKAGE.parent / "bentos"
    if not (folder / "service.py").is_file():
        raise SpecError(
            "the folder bentos/ is missing",
            where=str(folder),
            expected="service.py, launch.py and bentofile.yaml",
            cure="run from a checkout of the project",
        )
    return folder


def fill(folder: Path, *, opened: ModelDirectory, public_key: bytes, name: str, version: int) -> None:
    """Lay out the build folder of one bento.

    Parameters
    ----------
    folder
        Empty folder to fill.
    opened
        The model directory.
    public_key
        32 raw bytes.
    name, version
        The model's name and its version number.
    """
    template = template_folder()
    shutil.copy(template / "service.py", folder / "service.py")
    shutil.copytree(opened.path, folder / "model")
    (folder / "public_key").write_bytes(public_key)
    copy_inference(folder)
    text = Template((template / "bentofile.yaml").read_text()).substitute(
        name=bento_name(name),
        description=f"{name}, version {version}",
        model=name,
        version=version,
        digest=opened.digest,
        packages=canonical_json(requirements(opened.facts)),
    )
    (folder / "bentofile.yaml").write_text(text)


def requirements(facts: Mapping[str, Any]) -> list[str]:
    """Return the exact requirements of the service of a version with this ``model.json``, each once."""
    return [f"{name}=={version(name)}" for name in sorted({*REQUIREMENTS, *runtimes(facts)})]


def bento_name(model: str) -> str:
    """Return the bento's name: BentoML wants ``-`` where a model's name has ``_``."""
    return model.replace("_", "-")


def bento_version(version: int, digest: str) -> str:
    """Return the bento's version text, which names both our version and the model's digest."""
    return f"v{version}-{digest[:12]}"
