"""The settings as a backup holds them."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr
from sqlalchemy import make_url

from pipelines.backup.ledger_copy import without_password
from pipelines.settings import Settings


def plain_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON, without passwords in addresses and without those that are secret as a whole."""
    facts = settings.model_dump(mode="json", exclude={name for name, value in settings if isinstance(value, SecretStr)})
    for name in ("ledger_url", "limits_url"):
        if facts.get(name):
            facts[name] = without_password(make_url(facts[name]))
    return facts
