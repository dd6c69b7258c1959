"""Messages: what is new about the alerts of one model, in one text."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from pipelines.alerting.due import News
from pipelines.ledger.rows import AlertRow

WORDS = {"firing": "FIRING", "changed": "CHANGED", "repeated": "STILL FIRING", "resolved": "RESOLVED"}
ORDER = [*WORDS]
KINDS = 4
"""Kinds that a title names."""


@dataclass(frozen=True)
class Message:
    """What a channel sends at once.

    Parameters
    ----------
    model
        Whose alerts; None: those of the platform.
    told
        The alerts with what is new about each, the most pressing first.
    """

    model: str | None
    told: tuple[tuple[AlertRow, News], ...]

    @property
    def title(self) -> str:
        """One line, such as ``[FIRING 2, RESOLVED 1] churn: drift, errors``."""
        counts = Counter(WORDS[new] for _, new in self.told)
        kinds = list(dict.fromkeys(alert.kind for alert, _ in self.told))
        more = f" and {len(kinds) - KINDS} more" if len(kinds) > KINDS else ""
        states = ", ".join(f"{word} {count}" for word, count in counts.items())
        return f"[{states}] {self.model or 'AI Mass'}: {', '.join(kinds[:KINDS])}{more}"

    @property
    def text(self) -> str:
        """A paragraph for each alert, and how to have silence."""
        parts = [_paragraph(alert, new) for alert, new in self.told]
        lasting = next((alert for alert, new in self.told if new != "resolved"), None)
        cure = "" if lasting is None else f"Silence one: {silence_command(lasting)}\n"
        return "\n\n".join([*parts, f"{cure}AI Mass on {socket.gethostname()}"])

    @property
    def good(self) -> bool:
        """Whether it only tells of what is over."""
        return all(new == "resolved" for _, new in self.told)


def messages(told: Iterable[tuple[AlertRow, News]]) -> list[Message]:
    """Put what is new into one message for each model; those of the platform come first."""
    ordered = sorted(told, key=lambda each: (each[0].model or "", ORDER.index(each[1]), each[0].id))
    return [Message(model, tuple(of_model)) for model, of_model in groupby(ordered, key=lambda each: each[0].model)]


def silence_command(alert: AlertRow) -> str:
    """Return the command that silences an alert."""
    return f"aimass alerts silence --fingerprint {alert.fingerprint} --for 2h --why TEXT"


def _paragraph(alert: AlertRow, new: News) -> str:
    began = f"{alert.fired_at:%Y-%m-%d %H:%M}"
    ended = alert.resolved_at
    when = f"since {began}" if ended is None else f"from {began} to {ended:%Y-%m-%d %H:%M}"
    return f"{WORDS[new]} {alert.kind}, {when} UTC, {alert.fingerprint}\n{' '.join(alert.message.split())}"
