"""The settings as environment variables, for a child process that must have the same."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from pipelines.settings import Settings
from pipelines.several_hosts import file_of


def variable(field: str) -> str:
    """Return the name of the environment variable of a field of :class:`Settings`."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"AIMASS_{field.upper()}"


def as_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that give a child process these settings; one in a file stays there."""
    values = {name: value for name, value in settings if value is not None}
    return {variable(name): _text(value) for name, value in values.items() if file_of(name) is None}


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(value) if isinstance(value, tuple) else str(value)
