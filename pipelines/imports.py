"""Digest of the project code that a stage runs: part of its re-use key."""

from __future__ import annotations

import ast
import hashlib
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent
ADDRESS = re.compile(r"[a-z_]+(\.[a-z_0-9]+)+(:\w+)?")


def code_digest(module: str) -> str:
    """Digest the sources of ``module`` and of every ``pipelines`` module it imports, at whatever depth.

    Imports are read from the syntax tree, those inside functions too, so nothing is executed. A text that is nothing
    but the address of a module (``"pipelines.algorithms.linear:Linear"``) counts as an import of it.
    """
    seen: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if path is None or name in seen:
            continue
        text = path.read_bytes()
        seen[name] = hashlib.sha256(text).hexdigest()
        waiting.extend(_imports(text))
    whole = "\n".join(f"{name} {digest}" for name, digest in sorted(seen.items()))
    return hashlib.sha256(whole.encode()).hexdigest()


def _imports(text: bytes) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.append(node.module)
            names.extend(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and ADDRESS.fullmatch(node.value):
            names.append(node.value.partition(":")[0])
    return [name for name in names if name.split(".")[0] == ROOT.name]


@cache
def _source(name: str) -> Path | None:
    place = ROOT.parent.joinpath(*name.split("."))
    for candidate in (place.with_suffix(".py"), place / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def environment_digest() -> str:
    """Digest the lock file; without one (an installed wheel), the installed versions."""
    lock = ROOT.parent / "requirements.lock"
    if lock.is_file():
        return hashlib.sha256(lock.read_bytes()).hexdigest()
    from importlib.metadata import distributions

    versions = sorted(f"{item.name}=={item.version}" for item in distributions())
    return hashlib.sha256("\n".join(versions).encode()).hexdigest()
