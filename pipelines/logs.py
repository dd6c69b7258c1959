"""The logs of our processes: lines for people, or one JSON object per line where ``AIMASS_LOG_FORMAT=json``.

A stage's line begins with level, stage, model and run id; as JSON these are fields, and so is the id of a request.
Imports the standard library alone: the launcher of a service reads this file, too.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

FORMAT = "AIMASS_LOG_FORMAT"
FIELDS = ("stage", "model", "run_id")
"""Names, in JSON, of what a stage's line begins with."""
EXTRAS = ("request_id", "model", "version", "token", "status", "ms", "trace_id")
"""What a record may carry besides its message: ``log.info(…, extra={"request_id": …})``."""
SERVER_LINES = "%(asctime)s %(levelname)s %(name)s %(message)s"

_LEVELS = {"WARNING": logging.WARNING, "ERROR": logging.ERROR, "CRITICAL": logging.CRITICAL}
_origin: dict[str, Any] = {}


class _Lines(logging.Formatter):
    """``INFO ingest loans manual__2026-03-01T02:00:00: 3 file(s), 600 rows``."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname} {' '.join(_origin.values())}: {super().format(record)}"


class JsonLines(logging.Formatter):
    """One JSON object per line: ``timestamp``, ``level``, ``logger``, ``message``, and where they are known others."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        fields: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            **_origin,
        }
        fields.update((name, getattr(record, name)) for name in EXTRAS if hasattr(record, name))
        fields["message"] = record.getMessage()
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


def as_json() -> bool:
    """Tell whether logs are JSON lines here."""
    return os.environ.get(FORMAT) == "json"


def configure() -> None:
    """Write what a stage logs from INFO on, and what libraries log from WARNING on; once per process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json() else _Lines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("pipelines").setLevel(logging.INFO)
    logging.captureWarnings(True)


def configure_server(**origin: Any) -> None:
    """Write what a server and its libraries log from INFO on; once per process.

    Parameters
    ----------
    origin
        Fields of each line where lines are JSON, such as ``part="gateway"``.
    """
    _origin.update(origin)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json() else logging.Formatter(SERVER_LINES))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def name_origin(*names: str) -> None:
    """Set the prefix of each line: stage, model, run id."""
    _origin.clear()
    _origin.update(zip(FIELDS, names, strict=False))


def level_of(line: str) -> int:
    """Return the level at the start of a log line; INFO if the line has another form."""
    return _LEVELS.get(line.split(" ", 1)[0], logging.INFO)


def read_line(line: str) -> tuple[int, str, dict[str, str]]:
    """Return level, text and the fields of :data:`FIELDS` of a stage's line; a line of text is its own text.

    >>> read_line('{"level": "warning", "message": "late", "stage": "tune", "run_id": "manual__1", "logger": "x"}')
    (30, 'late', {'stage': 'tune', 'run_id': 'manual__1'})
    """
    if line.startswith('{"'):
        try:
            found = json.loads(line)
            text = "\n".join(filter(None, (found["message"], found.get("exception"))))
            fields = {name: found[name] for name in FIELDS if name in found}
            return _LEVELS.get(found["level"].upper(), logging.INFO), text, fields
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
    return level_of(line), line, {}
