"""How a published table is named: ``mart:NAME@VERSION``, or ``mart:NAME`` for the newest version."""

from __future__ import annotations

import re
from typing import NamedTuple

PREFIX = "mart:"
NAME = r"[a-z][a-z0-9_]{0,62}"
PATTERN = rf"{PREFIX}({NAME})(?:@([1-9][0-9]{{0,8}}))?"
EXPECTED = (
    "mart:NAME@VERSION, or mart:NAME for the newest; a name has small letters, digits and _, a version is 1 or more"
)


class Address(NamedTuple):
    """A table, and which version of it; None: the newest."""

    name: str
    version: int | None

    def __str__(self) -> str:
        return f"{PREFIX}{self.name}" + ("" if self.version is None else f"@{self.version}")

    @classmethod
    def read(cls, text: str) -> Address:
        """Read an address.

        Raises
        ------
        ValueError
            If it is none.

        Examples
        --------
        >>> Address.read("mart:visits@3")
        Address(name='visits', version=3)
        """
        match = re.fullmatch(PATTERN, text.strip())
        if match is None:
            raise ValueError(f"{text!r} names no published table: {EXPECTED}")
        return cls(match[1], int(match[2]) if match[2] else None)


def is_address(text: str) -> bool:
    """Tell whether a source is a published table."""
    return text.startswith(PREFIX)
