"""Settings of the stage package."""

from __future__ import annotations

from pipelines.spec import Spec


class PackageSpec(Spec):
    """How a version becomes a bento; nothing to choose on one machine."""
