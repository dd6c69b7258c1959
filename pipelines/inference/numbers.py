"""Numbers as people write them, and what is done to a number that was read: units, slips of the decimal point, clip."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

SIGNS: Final = "$€£¥₹₽₩₺฿¢"
"""Currency signs that are left out of a number."""
_SPACES = "[ \u00a0\u2009\u202f]"
_THOUSANDS = {" ": _SPACES, "'": "['\u2019]"}


@dataclass(frozen=True)
class NumberText:
    """How numbers are written in one column.

    Parameters
    ----------
    decimal, thousands
        The marks; thousands stand in groups of three or not at all. A blank means any kind of blank.
    currency
        One currency sign may stand in front or behind.
    suffixes
        Trailing units, compared without case, and the factor of each: ``(("kg", 1.0), ("g", 0.001), ("%", 0.01))``.
    """

    decimal: str = "."
    thousands: str = ""
    currency: bool = False
    suffixes: tuple[tuple[str, float], ...] = ()
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _factors: dict[str, float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        mark = re.escape(self.decimal)
        groups = ""
        if self.thousands:
            between = _THOUSANDS.get(self.thousands, re.escape(self.thousands))
            groups = f"[0-9]{{1,3}}(?:{between}[0-9]{{3}})+|"
        ends = sorted((re.escape(name) for name, _ in self.suffixes), key=len, reverse=True)
        money = f"(?:[{SIGNS}]{_SPACES}*)?" if self.currency else ""
        units = f"(?:{_SPACES}*(?P<unit>{'|'.join(ends)}))?" if ends else ""
        behind = f"(?:{_SPACES}*[{SIGNS}])?" if self.currency else ""
        pattern = (
            f"(?P<sign>[+\u2212-]?){_SPACES}*{money}(?P<inner>[+\u2212-]?)"
            f"(?:(?P<whole>{groups}[0-9]+)(?:{mark}(?P<part>[0-9]*))?|{mark}(?P<only>[0-9]+))"
            f"(?P<power>[eE][+-]?[0-9]+)?{units}{behind}"
        )
        object.__setattr__(self, "_pattern", re.compile(pattern, re.IGNORECASE | re.ASCII))
        object.__setattr__(self, "_factors", {name.lower(): factor for name, factor in self.suffixes})

    @property
    def keeps_plain(self) -> bool:
        """Whether a plain number such as ``-1234.5`` reads as it stands."""
        return self.decimal == "."

    def read(self, text: str) -> float | None:
        """Give the number of a stripped text, or None.

        >>> price = NumberText(decimal=",", thousands=".", currency=True, suffixes=(("%", 0.01),))
        >>> [price.read(text) for text in ("1.234,5", "€ -2", "50 %", "1.23", "1,2x")]
        [1234.5, -2.0, 0.5, None, None]
        """
        match = self._pattern.fullmatch(text)
        if match is None or (match["sign"] and match["inner"]):
            return None
        whole = "".join(mark for mark in match["whole"] or "0" if "0" <= mark <= "9")
        number = float(f"{whole}.{match['part'] or match['only'] or '0'}{match['power'] or ''}")
        if (match["sign"] or match["inner"]) in ("-", "\u2212"):
            number = -number
        unit = match["unit"] if self.suffixes else None
        return number if unit is None else number * self._factors[unit.lower()]

    def to_json(self) -> dict[str, Any]:
        """Give the plain content."""
        data = {"decimal": self.decimal, "thousands": self.thousands, "currency": self.currency}
        return {**data, "suffixes": [list(pair) for pair in self.suffixes]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> NumberText:
        """Read what :meth:`to_json` gave."""
        pairs = tuple((str(name), float(factor)) for name, factor in data["suffixes"])
        return cls(data["decimal"], data["thousands"], data["currency"], pairs)


@dataclass(frozen=True)
class Change:
    """What happens to a number after it was read, in this order; the same for a column and for one cell.

    Parameters
    ----------
    unit
        ``(factor, offset)``: the number becomes ``number * factor + offset``.
    slip
        ``(ratio, low, high)``: a number outside low … high that lies inside once divided (else multiplied) by the
        ratio is repaired so: the decimal point had slipped.
    clip
        ``(low, high)``; None is no bound.
    """

    unit: tuple[float, float] | None = None
    slip: tuple[float, float, float] | None = None
    clip: tuple[float | None, float | None] | None = None

    def __bool__(self) -> bool:
        return bool(self.unit or self.slip or self.clip)

    def column(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Change a column, shape (n,), NaN where missing."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.unit is not None:
                values = values * self.unit[0] + self.unit[1]
            if self.slip is not None:
                ratio, low, high = self.slip
                outside = (values < low) | (values > high)
                less, more = values / ratio, values * ratio
                values = np.where(
                    outside & (less >= low) & (less <= high),
                    less,
                    np.where(outside & (more >= low) & (more <= high), more, values),
                )
            if self.clip is not None:
                low_bound, high_bound = self.clip
                if low_bound is not None:
                    values = np.where(values < low_bound, low_bound, values)
                if high_bound is not None:
                    values = np.where(values > high_bound, high_bound, values)
        return values

    def cell(self) -> Callable[[float], float]:
        """Give the function that changes one finite number as :meth:`column` does."""
        unit, slip = self.unit, self.slip
        low_bound, high_bound = self.clip or (None, None)

        def change(value: float) -> float:
            if unit is not None:
                value = value * unit[0] + unit[1]
            if slip is not None:
                ratio, low, high = slip
                if value < low or value > high:
                    if low <= value / ratio <= high:
                        value /= ratio
                    elif low <= value * ratio <= high:
                        value *= ratio
            if low_bound is not None and value < low_bound:
                return low_bound
            return high_bound if high_bound is not None and value > high_bound else value

        return change
