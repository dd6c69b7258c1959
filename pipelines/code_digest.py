"""Digest of the project code that a stage runs: part of its re-use key."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent
IMPORT = re.compile(r"^[ \t]*(?:from|import)[ \t]+([\w.]+)(?:[ \t]+import[ \t]+(\((?:[^)#]|#.*)*\)|.*))?", re.MULTILINE)
ADDRESS = re.compile(r"""["']([a-z_]+(?:\.[a-z_0-9]+)+)(?::\w+)?["']""")
WORD = re.compile(r"\w+")


def code_digest(module: str) -> str:
    """Digest the sources of ``module`` and of every ``pipelines`` module it imports, at whatever depth.

    Imports are read from the text, those inside functions too, so nothing is executed: every stage asks, and syntax
    trees take ten times as long. A text that is nothing but the address of a module
    (``"pipelines.algorithms.linear:Linear"``) counts as an import of it.
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
        waiting.extend(sorted(_imports(text.decode())))
    whole = "\n".join(f"{name} {digest}" for name, digest in sorted(seen.items()))
    return hashlib.sha256(whole.encode()).hexdigest()


def _imports(text: str) -> set[str]:
    """Return the project's module names that a source imports or mentions in text; extra names do no harm."""
    names = {found.group(1) for found in ADDRESS.finditer(text)}
    for found in IMPORT.finditer(text):
        module, taken = found.group(1), found.group(2)
        names.add(module)
        names.update(f"{module}.{name}" for name in WORD.findall(taken or ""))
    return {name for name in names if name.partition(".")[0] == ROOT.name}


@cache
def _source(name: str) -> Path | None:
    module = ROOT.parent.joinpath(*name.split("."))
    for candidate in (module.with_suffix(".py"), module / "__init__.py"):
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
