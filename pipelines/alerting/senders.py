"""Sending one message through one channel: by apprise, or to Alertmanager's API; it ends in time, and says why not."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import httpx

from pipelines.alerting.channels import Channel
from pipelines.alerting.message import Message

SECONDS = 10.0
"""How long a channel may take."""
LASTS = timedelta(hours=1)
"""After which Alertmanager takes an alert for over that is not sent again."""
TEXT = 400
SCHEMES = {"mail": ("mailto", "mailtos"), "webhook": ("http", "https"), "alertmanager": ("http", "https")}
LIBRARIES = ("apprise", "httpcore", "httpx", "requests", "urllib3")
"""Their logs hold addresses."""


class ChannelError(Exception):
    """A channel has not taken a message; the text holds nothing secret."""


def send(channel: Channel, message: Message, seconds: float = SECONDS, now: datetime | None = None) -> None:
    """Send a message.

    Raises
    ------
    ChannelError
        The channel has refused it, cannot be reached, or takes too long.
    """
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    schemes = SCHEMES.get(channel.name, ())
    if schemes and urlsplit(channel.address.get_secret_value()).scheme not in schemes:
        raise ChannelError(f"its address begins with neither of {', '.join(f'{name}://' for name in schemes)}")
    if channel.name == "alertmanager":
        work = partial(_alertmanager, channel, message, seconds, now or datetime.now(UTC))
    else:
        work = partial(_webhook if channel.name == "webhook" else _apprise, channel, message, seconds)
    why = _in_time(work, 2 * seconds)
    if why:
        raise ChannelError(channel.plain(" ".join(why.split()))[:TEXT])


def _in_time(work: Callable[[], str], seconds: float) -> str:
    """Return what the work returns, or that it takes too long; it is then left alone, and ends with the process."""
    found: list[str] = []

    def run() -> None:
        try:
            found.append(work())
        except Exception as error:  # noqa: BLE001 - whatever ails a channel, it is the channel's failure
            found.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=run, name="alert", daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else f"no response within {seconds:g} s"


def _apprise(channel: Channel, message: Message, seconds: float) -> str:
    import apprise

    plugin = apprise.Apprise.instantiate(channel.address.get_secret_value(), asset=_asset(), suppress_exceptions=True)
    if not isinstance(plugin, apprise.NotifyBase):
        return "apprise does not know what this address means"
    return _notify(plugin, message.title, message.text, message.good, seconds)


def _webhook(channel: Channel, message: Message, seconds: float) -> str:
    from apprise.plugins.custom_json import NotifyJSON

    parts = urlsplit(channel.address.get_secret_value())
    payload = {"message": "text", "title": "", "version": "", "attachments": "", "type": ""}  # one field is sent
    plugin = NotifyJSON(
        schema="jsons" if parts.scheme == "https" else "json",
        host=parts.hostname,
        port=parts.port,
        user=parts.username,
        password=parts.password,
        fullpath=parts.path or "/",
        params=dict(parse_qsl(parts.query, keep_blank_values=True)),
        payload=payload,
        asset=_asset(),
    )
    return _notify(plugin, "", f"{message.title}\n{message.text}", message.good, seconds)


def _asset() -> Any:
    from apprise import AppriseAsset

    return AppriseAsset(app_id="AI Mass", app_desc="AI Mass", async_mode=False, secure_logging=True)


def _notify(plugin: Any, title: str, text: str, good: bool, seconds: float) -> str:
    """Have a plugin of apprise send; return "" or what it logs instead of saying it."""
    from apprise import NotifyFormat, NotifyType

    said: list[str] = []
    plugin.socket_connect_timeout = plugin.socket_read_timeout = seconds
    plugin.redirects = False
    plugin.logger = _Said(said)
    kind = NotifyType.SUCCESS if good else NotifyType.WARNING
    done = plugin.notify(body=text, title=title, notify_type=kind, body_format=NotifyFormat.TEXT)
    return "" if done else "; ".join(said) or "apprise could not send it"


class _Said(logging.LoggerAdapter[logging.Logger]):
    """A logger that keeps what it is told."""

    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.getLogger("apprise"))
        self.said = said

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's own name
        """Take warnings, and the reason of a failed connection, which is a line for debugging."""
        return True

    def log(self, level: int, msg: object, *args: object, **_: Any) -> None:
        """Keep what explains a failure."""
        text = str(msg) % args if args else str(msg)
        if level >= logging.WARNING or text.startswith("Socket Exception"):
            self.said.append(text)

    def trace(self, *_: object) -> None:
        """Leave out a level of apprise's own, below those for debugging."""


def _alertmanager(channel: Channel, message: Message, seconds: float, now: datetime) -> str:
    parts = urlsplit(channel.address.get_secret_value())
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    address = urlunsplit(
        (parts.scheme, parts.netloc.rpartition("@")[2], f"{parts.path.rstrip('/')}/api/v2/alerts", "", "")
    )
    try:
        response = httpx.post(address, json=_alerts(message, now), auth=login, timeout=seconds, trust_env=False)
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"
    return "" if response.is_success else f"answered {response.status_code}: {response.text[:TEXT]}"


def _alerts(message: Message, now: datetime) -> list[dict[str, Any]]:
    """Return the alerts as Alertmanager takes them; the labels say which one it is."""
    return [
        {
            "labels": {
                "alertname": f"aimass_{alert.kind}",
                "service": "aimass",
                "model": alert.model or "",
                "fingerprint": alert.fingerprint,
                "severity": "warning",
            },
            "annotations": {"summary": f"{alert.model or 'AI Mass'}: {alert.kind}", "description": alert.message},
            "startsAt": alert.fired_at.isoformat(),
            "endsAt": (alert.resolved_at or now + LASTS).isoformat(),
        }
        for alert, _ in message.told
    ]
