"""What every command shares: only the result on stdout, one clear error, three exit codes."""

from __future__ import annotations

import functools
import json
import logging
import os
import shutil
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import typer

from pipelines.errors import AimassError, DataError, SpecError

if TYPE_CHECKING:
    from pipelines.ledger import Ledger
    from pipelines.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
OK, FAILED, WRONG = 0, 1, 2
PIPE_CLOSED = 141
"""Exit code that a shell reports for a command ended by SIGPIPE."""
MAX_COLUMNS = 60
"""Most columns that are listed one by one."""
_result: IO[str] | None = None
_opened = ExitStack()
"""Closes what the current command has opened, when it ends."""


def exit_code(error: AimassError) -> int:
    """Return 2 for what the caller must correct (spec, data, usage, unknown name), 1 for other errors."""
    return WRONG if isinstance(error, SpecError | DataError) else FAILED


def command(function: F) -> F:
    """Wrap a command: output of libraries goes to stderr, a typed error becomes one message and an exit code."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> None:
        with quiet_stdout(), _opened:
            try:
                function(*args, **kwargs)
            except AimassError as error:
                complain(error)
                raise typer.Exit(exit_code(error)) from None
            except KeyboardInterrupt:
                note("stopped")
                raise typer.Exit(130) from None
            except BrokenPipeError:  # whoever read the result, such as head, has seen enough
                _discard_result()
                raise typer.Exit(PIPE_CLOSED) from None
            except (typer.Exit, typer.Abort, typer.BadParameter):
                raise
            except Exception as error:  # noqa: BLE001 - a fault of our own is one clear message too
                complain(_told(error))
                raise typer.Exit(FAILED) from None

    return guarded  # type: ignore[return-value] # functools.wraps keeps the signature that typer reads


def _told(error: Exception) -> AimassError:
    """Return what is said of an error that no command expects."""
    from pipelines import full_disk
    from pipelines.settings import find_home

    home = Path(os.environ.get("AIMASS_HOME") or find_home())
    if full_disk.is_disk_full(error, home):
        return full_disk.disk_full(home, error)
    if isinstance(error, OSError):
        return AimassError(f"the system refused: {error.strerror or error}", where=str(error.filename or ""))
    return _unforeseen(error)


def _unforeseen(error: Exception) -> AimassError:
    """Return the message for an unexpected error, and write its traceback to a file."""
    with tempfile.NamedTemporaryFile("w", prefix="aimass-", suffix=".log", delete=False) as log:
        log.write("".join(traceback.format_exception(error)))
    return AimassError(
        "the program met what it does not foresee",
        where=log.name,
        seen=f"{type(error).__name__}: {error}"[:500],
        cure="report it with that file; it says where the error happened",
    )


@contextmanager
def quiet_stdout() -> Iterator[None]:
    """Redirect stdout, also of libraries and child processes, to stderr; only `say` still writes to stdout."""
    global _result
    sys.stdout.flush()
    real = os.dup(1)
    os.dup2(2, 1)
    _result = os.fdopen(real, "w", encoding="utf-8", closefd=True)
    logging.captureWarnings(True)
    warnings.simplefilter("ignore")
    try:
        yield
    finally:
        sys.stdout.flush()
        _result.flush()
        os.dup2(_result.fileno(), 1)
        _result.close()
        _result = None


def _discard_result() -> None:
    """Discard the rest of the result."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, *([_result.fileno()] if _result is not None else [])):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def say(text: str) -> None:
    """Print a line of the result."""
    stream = _result or sys.stdout
    stream.write(text + "\n")
    stream.flush()


def note(text: str) -> None:
    """Print a line of progress to stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def complain(error: AimassError) -> None:
    """Print one error to stderr."""
    note(f"error: {error}")


def table(header: list[str], rows: list[list[Any]]) -> None:
    """Print rows as a table: fitted to the width of a terminal, else plain with every cell in full."""
    from rich.text import Text

    from pipelines.text_table import text_table

    shown = [[value if isinstance(value, Text) else plain(value) for value in row] for row in rows]
    for line in text_table(shown, header, terminal=_terminal()):
        say(line)


def show_lines(lines: Sequence[Mapping[str, Any]], as_json: bool, none: str) -> None:
    """Print rows of the same fields as JSON or as a table; ``none`` is said where there are none."""
    if as_json:
        say(json.dumps(lines, indent=2, ensure_ascii=False))
    elif lines:
        table(list(lines[0]), [list(line.values()) for line in lines])
    else:
        note(none)


def plain(value: Any) -> str:
    """Return a cell of a table as text; a dash if it is missing."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _terminal() -> int | None:
    """Return the width of the terminal on stdout; None if stdout is no terminal."""
    return shutil.get_terminal_size().columns if (_result or sys.stdout).isatty() else None


def current_settings() -> Settings:
    """Read the settings of this call."""
    from pipelines import settings

    return settings.load()


def open_ledger() -> tuple[Settings, Ledger]:
    """Open the ledger of an existing home until the command ends; never create one.

    Raises
    ------
    SpecError
        If there is no home here.
    """
    from pipelines.ledger import Ledger

    settings = current_settings()
    if not settings.home.is_dir():
        raise SpecError(
            "nothing has been run here",
            where=str(settings.home),
            seen="no such folder",
            expected="the home of an installation",
            cure="go to the project's folder, or set AIMASS_HOME; the first aimass run or aimass up creates it",
        )
    ledger = Ledger.open(settings)
    _opened.callback(ledger.close)
    return settings, ledger


def parse_date(text: str | None, option: str = "--at") -> datetime | None:
    """Read the date of a night; without a zone it is UTC."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SpecError("not a date", where=option, seen=text, expected="2026-03-01 or 2026-03-01T02:00") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def show_columns(entries: Sequence[Mapping[str, Any]]) -> None:
    """Print how each column is read; for a wide table the first columns, and the counts of the others."""
    if not entries:
        return
    say("")
    header = list(entries[0])
    shown = entries if len(entries) <= MAX_COLUMNS else entries[: MAX_COLUMNS - 1]
    rows = [
        [f"{entry[name]:.1%}" if name == "missing" and entry[name] is not None else entry[name] for name in header]
        for entry in shown
    ]
    table(header, rows)
    rest = Counter((entry["read as"], entry["becomes"]) for entry in entries[len(shown) :])
    for (reading, use), count in rest.most_common():
        say(f"… and {count} more: {reading}; {use}")
