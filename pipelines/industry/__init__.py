"""Templates per industry: where `aimass init --template` starts from."""

from __future__ import annotations

from pipelines.errors import SpecError
from pipelines.industry.template import IndustryTemplate
from pipelines.spec import did_you_mean

NAMES = ("churn", "credit_risk", "demand", "fraud", "maintenance")


def template(name: str) -> IndustryTemplate:
    """Return a template by its name.

    Raises
    ------
    SpecError
        If there is none of that name.
    """
    if name not in NAMES:
        raise SpecError(
            "there is no such template",
            seen=repr(name),
            expected=", ".join(NAMES) + did_you_mean(name, NAMES),
            cure="see aimass templates",
        )
    from importlib import import_module

    found: IndustryTemplate = getattr(import_module(f"pipelines.industry.{name}"), name.upper())
    return found


def templates() -> tuple[IndustryTemplate, ...]:
    """Return all templates."""
    return tuple(template(name) for name in NAMES)
