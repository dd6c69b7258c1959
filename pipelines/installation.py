"""What an installation consists of, to be compared with that of another host."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

SHOWN = 5


def describe(names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return ``{python, libraries, code}`` of this process: versions, and a digest of this project's sources.

    Parameters
    ----------
    names
        Libraries to tell the versions of; None: those that the project requires itself.
    """
    libraries = {}
    for name in required() if names is None else names:
        try:
            libraries[name] = version(name)
        except PackageNotFoundError:
            libraries[name] = "absent"
    return {"python": platform.python_version(), "libraries": libraries, "code": code_of_project()}


def required() -> list[str]:
    """Return the names of the libraries that the project requires, extras aside."""
    found = [Requirement(line) for line in requires("aimass") or ()]
    return sorted(each.name for each in found if each.marker is None or each.marker.evaluate({"extra": ""}))


def code_of_project() -> str:
    """Digest all sources of this package, 16 hex digits."""
    root = Path(__file__).parent
    whole = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        whole.update(f"{path.relative_to(root).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()[:16]


def differences(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """Return in what another installation differs, each ``numpy 2.4.5 instead of 2.4.6``; empty: in nothing."""
    found = []
    if there["python"] != here["python"]:
        found.append(f"Python {there['python']} instead of {here['python']}")
    other = [
        f"{name} {there['libraries'].get(name, 'absent')} instead of {wanted}"
        for name, wanted in here["libraries"].items()
        if there["libraries"].get(name) != wanted
    ]
    found += other[:SHOWN] + ([f"{len(other) - SHOWN} more libraries"] if len(other) > SHOWN else [])
    if there["code"] != here["code"]:
        found.append(f"code {there['code']} instead of {here['code']}")
    return found
