"""The channels of an installation: their names, their addresses, and texts without what is secret about these."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from pipelines.settings import Settings

NAMES = ("mail", "webhook", "alertmanager", "apprise")
PLAIN = frozenset({"from", "to", "cc", "bcc", "name", "smtp", "mode", "format", "verify"})
"""Parts of an address that may be shown."""
SHORT = 4
"""Secret parts of fewer characters are not looked for: they would be found in any text."""
FRESH = timedelta(minutes=5)
"""Alertmanager takes an alert for over that is not sent again and again; it groups and repeats by itself."""


@dataclass(frozen=True)
class Channel:
    """A way to people.

    Parameters
    ----------
    name
        One of ``NAMES``: the setting ``alert_<name>``.
    """

    name: str
    address: SecretStr = field(repr=False)
    repeat: timedelta | None
    """After which an alert that is open is sent again; None: never."""

    @property
    def secrets(self) -> list[str]:
        """What no text may hold: the address, and what is secret of it, the longest first."""
        whole = self.address.get_secret_value()
        parts = urlsplit(whole)
        given = [parts.password or "", *parts.path.split("/"), *parts.netloc.rpartition("@")[0].split(":")[1:]]
        given += [value for name, value in parse_qsl(parts.query) if name not in PLAIN]
        if self.name == "apprise":  # a service's token may be anywhere in it
            given += [parts.netloc, parts.username or "", parts.hostname or ""]
        every = {whole, *given, *(unquote(each) for each in given)}
        return sorted((each for each in every if len(each) >= SHORT), key=len, reverse=True)

    def plain(self, text: str) -> str:
        """Return a text in which nothing secret of the address is left."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def channels_of(settings: Settings) -> list[Channel]:
    """Return the channels that are set."""
    repeat = timedelta(hours=settings.alert_repeat_hours) if settings.alert_repeat_hours else None
    given = {name: getattr(settings, f"alert_{name}") for name in NAMES}
    return [
        Channel(name, address, FRESH if name == "alertmanager" else repeat)
        for name, address in given.items()
        if address is not None and address.get_secret_value()
    ]
