"""What comes over HTTP, written to private files as it arrives: one file as it is, or a form with files and fields."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from pipelines.errors import AimassError, DataError
from pipelines.full_disk import disk_errors, disk_full
from pipelines.settings import make_private

FORM = "multipart/form-data"
IDLE_SECONDS, ALL_SECONDS = 30.0, 3600.0
"""How long the next bytes, and all of them, may take."""
LONGEST_FIELD, LONGEST_NAME = 1000, 100
SPARE = 1_000_000_000
"""Bytes that have to stay free."""
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


class TooLargeError(AimassError):
    """More bytes than are taken."""


@dataclass
class Upload:
    """A form.

    Parameters
    ----------
    files, fields
        By name of the part; a file has the name that it came with, as far as that is plain.
    """

    files: dict[str, Path] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)


async def receive_file(request: Request, path: Path, most: int) -> None:
    """Write a body into a new file.

    Raises
    ------
    TooLargeError, DataError, DiskFullError
        There are too many bytes, they do not arrive, or there is no room for them.
    """
    with _new(path) as out, disk_errors(path.parent):
        async for chunk in _chunks(request, path.parent, most):
            await anyio.to_thread.run_sync(out.write, chunk)


async def receive_form(request: Request, folder: Path, most: int, known: Mapping[str, bool]) -> Upload:
    """Write the files of a form below a folder.

    Parameters
    ----------
    known
        Names of its parts: whether each is a file.

    Raises
    ------
    TooLargeError, DataError, DiskFullError
        There are too many bytes, they do not arrive, there is no room for them, or they are no such form.
    """
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 200:
        raise _no_form("no boundary in the content type", known)
    form = _Form(folder, known)
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": form.begin,
            "on_header_field": form.header_name,
            "on_header_value": form.header_value,
            "on_header_end": form.header_end,
            "on_headers_finished": form.open,
            "on_part_data": form.data,
            "on_part_end": form.close,
            "on_end": form.end,
        },
    )
    try:
        with disk_errors(folder):
            async for chunk in _chunks(request, folder, most):
                await anyio.to_thread.run_sync(parser.write, chunk)
        parser.finalize()
    except FormParserError as error:
        raise _no_form(str(error)[:200], known) from None
    finally:
        form.close()
    if not form.ended:
        raise _no_form("it has no end", known)
    return form.upload


class _Form:
    """Takes the parts of a form as the parser finds them."""

    def __init__(self, folder: Path, known: Mapping[str, bool]) -> None:
        self.folder, self.known, self.upload, self.ended = folder, known, Upload(), False
        self._header, self._value, self._headers = b"", b"", dict[bytes, bytes]()
        self._out: BinaryIO | None = None
        self._name, self._text = "", b""

    def begin(self) -> None:
        """Begin a part."""
        self._headers, self._name, self._text = {}, "", b""

    def header_name(self, data: bytes, start: int, end: int) -> None:
        """Take a piece of a header's name."""
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        """Take a piece of a header."""
        self._value += data[start:end]

    def header_end(self) -> None:
        """Take a header."""
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def open(self) -> None:
        """Open the part."""
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        file = b"filename" in options
        if self._name not in self.known or self._name in (*self.upload.files, *self.upload.fields):
            what = "twice the part" if self._name in self.known else "the part"
            raise _no_form(f"{what} {self._name[:60]!r}", self.known)
        if file != self.known[self._name]:
            raise _no_form(f"{self._name!r} as a {'file' if file else 'field'}", self.known)
        if file:
            path = make_private(self.folder / self._name) / _plain(options[b"filename"])
            self._out = _new(path)
            self.upload.files[self._name] = path

    def data(self, data: bytes, start: int, end: int) -> None:
        """Take a piece of the part."""
        if self._out is not None:
            self._out.write(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > LONGEST_FIELD:
            raise _no_form(f"more than {LONGEST_FIELD} bytes in {self._name!r}", self.known)

    def close(self) -> None:
        """Close the part; a field that was left empty, and a file that was not chosen, count as not sent."""
        if self._out is not None:
            self._out.close()
            self._out, path = None, self.upload.files[self._name]
            if path.name == "_" and not path.stat().st_size:
                del self.upload.files[self._name]
        elif self._name and (text := self._text.decode("utf-8", "replace").strip()):
            self.upload.fields[self._name] = text
        self._name = ""

    def end(self) -> None:
        """Note that the form is whole."""
        self.ended = True


async def _chunks(request: Request, folder: Path, most: int) -> AsyncIterator[bytes]:
    """Yield a body; nothing is read of one that says itself that it is too large."""
    too_large = TooLargeError(
        "the body is too large",
        expected=f"at most {most} bytes",
        cure="on the machine itself the command takes larger ones: aimass --help",
    )
    declared = request.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit() and len(declared) < 16) or int(declared) > most:
        raise too_large
    if shutil.disk_usage(folder).free < int(declared) + SPARE:
        raise disk_full(folder)
    stream, size, end = request.stream(), 0, time.monotonic() + ALL_SECONDS
    while True:
        try:
            async with asyncio.timeout(min(IDLE_SECONDS, end - time.monotonic())):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise DataError("the body did not arrive in time", expected=f"bytes every {IDLE_SECONDS:.0f} s") from None
        except ClientDisconnect:
            raise DataError("the caller went away before the body was complete") from None
        if chunk is None:
            return
        size += len(chunk)
        if size > most:
            raise too_large
        yield chunk


def _new(path: Path) -> BinaryIO:
    path.touch(mode=0o600, exist_ok=False)
    return path.open("wb")


def _plain(name: bytes) -> str:
    """Return the last part of a file's name, of plain characters; ``_`` where nothing is left."""
    text = name.decode("utf-8", "replace").replace("\\", "/").rsplit("/", 1)[-1]
    return _ODD.sub("_", text).lstrip(".")[-LONGEST_NAME:] or "_"


def _no_form(seen: str, known: Mapping[str, bool]) -> DataError:
    files = ", ".join(name for name, file in known.items() if file)
    fields = ", ".join(name for name, file in known.items() if not file)
    expected = f"{FORM} with the files {files}; fields: {fields}"
    return DataError("the form cannot be read", seen=seen, expected=expected, cure="curl -F NAME=@FILE -F NAME=TEXT …")
