"""The settings as environment variables, for a child process that must have the same."""

from __future__ import annotations

from pydantic import SecretStr

from pipelines.settings import Settings


def variable(field: str) -> str:
    """Return the name of the environment variable of a field of :class:`Settings`."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"AIMASS_{field.upper()}"


def as_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that give a child process these settings."""
    values = {name: value for name, value in settings if value is not None}
    shown = {name: v.get_secret_value() if isinstance(v, SecretStr) else str(v) for name, v in values.items()}
    return {variable(name): value for name, value in shown.items()}
