"""The settings as environment variables, for a child process that must have the same."""

from __future__ import annotations

from pydantic import SecretStr

from pipelines.settings import Settings, variable


def as_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that give a child process these settings."""
    values = {name: value for name, value in settings if value is not None}
    shown = {name: v.get_secret_value() if isinstance(v, SecretStr) else str(v) for name, v in values.items()}
    return {variable(name): value for name, value in shown.items()}
