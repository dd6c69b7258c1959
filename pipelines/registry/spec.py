"""Settings of the stage register."""

from __future__ import annotations

from pydantic import Field

from pipelines.spec import Spec


class RegisterSpec(Spec):
    """How a version is recorded."""

    tags: dict[str, str] = Field(default_factory=dict)
    """Tags that every version of this model gets in MLflow, such as team or purpose."""
