"""An alert without the ledger: for what notices that the ledger itself, or whoever reads it, is gone."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.alerting.channels import channels_of
from pipelines.alerting.due import News
from pipelines.alerting.message import Message
from pipelines.alerting.senders import SECONDS, ChannelError, send
from pipelines.artifacts import write_json
from pipelines.ledger.alerts import write_line
from pipelines.ledger.rows import AlertRow
from pipelines.settings import Settings, make_private

log = logging.getLogger(__name__)

PAUSE = timedelta(minutes=1)
"""Between attempts of a channel that fails."""


def fire(settings: Settings, kind: str, text: str, now: datetime, seconds: float = SECONDS) -> None:
    """Tell of a condition through every channel and in the log file, once until it is over.

    A channel that fails is tried again by a later call. What was told is noted in a file of the home.

    Parameters
    ----------
    kind
        Names the condition; there is one alert of a kind.
    """
    path = _path(settings, kind)
    noted = _noted(path)
    if noted is None:
        noted = {"fired_at": now.isoformat(), "text": text, "told": [], "tried": {}}
        write_line(settings.logs, "firing", None, kind, text, kind)
        write_json(path, noted)
    _tell(settings, path, noted, kind, "firing", now, seconds)


def end(settings: Settings, kind: str, now: datetime, seconds: float = SECONDS) -> None:
    """Tell those who were told that it is over."""
    path = _path(settings, kind)
    noted = _noted(path)
    if noted is None:
        return
    write_line(settings.logs, "resolved", None, kind, str(noted["text"]), kind)
    told, noted["told"], noted["tried"] = noted["told"], [], {}
    _tell(settings, path, noted, kind, "resolved", now, seconds, only=told)
    path.unlink(missing_ok=True)


def _tell(
    settings: Settings,
    path: Path,
    noted: dict[str, Any],
    kind: str,
    new: News,
    now: datetime,
    seconds: float,
    only: list[str] | None = None,
) -> None:
    fired = datetime.fromisoformat(noted["fired_at"])
    over = now if new == "resolved" else None
    alert = AlertRow(0, None, kind, kind, str(noted["text"]), fired, over)
    for channel in channels_of(settings):
        tried = noted["tried"].get(channel.name)
        rests = tried is not None and now - datetime.fromisoformat(tried) < PAUSE
        if channel.name in noted["told"] or rests or (only is not None and channel.name not in only):
            continue
        noted["tried"][channel.name] = now.isoformat()
        write_json(path, noted)  # before it is tried: whoever calls may be ended meanwhile
        try:
            send(channel, Message(None, ((alert, new),)), seconds, now)
        except ChannelError as error:
            log.warning(f"alerts through {channel.name} failed: {error}")
        else:
            noted["told"].append(channel.name)
            write_json(path, noted)


def _path(settings: Settings, kind: str) -> Path:
    return make_private(settings.run_dir) / f"alert-{kind}.json"


def _noted(path: Path) -> dict[str, Any] | None:
    try:
        noted: dict[str, Any] = json.loads(path.read_text())
        datetime.fromisoformat(noted["fired_at"]).astimezone(UTC)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return noted
