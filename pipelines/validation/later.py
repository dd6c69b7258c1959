"""Defers modules that Great Expectations imports for rarely used expectations until their first use."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

HEAVY = ("altair", "scipy.stats")
"""Needed by three expectations that compare distributions; together they take longer than a suite does."""


class Later(ModuleType):
    """A stand-in for a module, which is imported on first attribute access."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__all__", "__path__"):
            raise AttributeError(name)  # whoever looks through the loaded modules does not want this one
        title = self.__dict__["__name__"]
        if sys.modules.get(title) is self:
            del sys.modules[title]
        module = importlib.import_module(title)
        self.__dict__.update(module.__dict__)
        return getattr(module, name)


def put_off() -> None:
    """Replace heavy modules by stand-ins that import on first use; loaded modules stay as they are."""
    for name in HEAVY:
        sys.modules.setdefault(name, Later(name))
