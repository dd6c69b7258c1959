"""The log of a stage's process: lines on stderr, with level, stage, model and run id in front."""

from __future__ import annotations

import logging
import sys

_LEVELS = {"WARNING": logging.WARNING, "ERROR": logging.ERROR, "CRITICAL": logging.CRITICAL}


class _Lines(logging.Formatter):
    """``INFO ingest loans manual__2026-03-01T02:00:00: 3 file(s), 600 rows``."""

    origin = ""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname} {self.origin}: {super().format(record)}"


_lines = _Lines()


def configure() -> None:
    """Write what the product logs from INFO on, and what libraries log from WARNING on; once per process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_lines)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("pipelines").setLevel(logging.INFO)
    logging.captureWarnings(True)


def name_origin(*names: str) -> None:
    """Set the prefix of each line: stage, model, run id."""
    _lines.origin = " ".join(names)


def level_of(line: str) -> int:
    """Return the level at the start of a log line; INFO if the line has another form."""
    return _LEVELS.get(line.split(" ", 1)[0], logging.INFO)
