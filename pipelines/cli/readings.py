"""Decides which settings of CLEAN `aimass init` writes, and what it tells and asks about the columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.cleaning.reading import Reading, number_setting
from pipelines.cleaning.scan import Cells
from pipelines.cleaning.spec import CleanSpec, NumberText
from pipelines.inference.recipe.number_parsing import NumberText as Written
from pipelines.inference.recipe.number_parsing import SpanText
from pipelines.inference.recipe.row_recipe import MISSING_VALUES

FREQUENT = 0.01
"""Share of the cells from which a missing token is reported."""
MIN_CELLS = 5
WORDS = 0.001
"""A word in this many of a number column's cells means missing there, and is reported."""


@dataclass
class Found:
    """Settings of CLEAN, lines to show, and questions that the user must decide."""

    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def clean(self) -> CleanSpec:
        """Return the settings as a spec."""
        return CleanSpec(**self.settings)

    def put(self, setting: str, name: str, value: Any) -> None:
        """Write one column's setting."""
        self.settings.setdefault(setting, {})[name] = value


def declare(found: Found, name: str, reading: Reading, cells: Cells | None, *, target: bool = False) -> None:
    """Add the settings of a column that is not read by default, and a line on it.

    Parameters
    ----------
    cells
        Of a text column.
    target
        It is the model's target.
    """
    column = reading.column
    shown = "target" if target else "column"
    found.warnings += [f"{shown} {name!r} {note}" for note in reading.notes]
    if column.kind == "number" and isinstance(column.written, Written):
        declared = _number_text(column.written)
        found.put("numbers", name, declared)
        example = f", such as {cells.shown[0]!r}" if cells and cells.shown else ""
        found.lines.append(f"numbers in {name!r}{example}: {number_setting(name, column.written)}")
        if reading.rivals:
            found.warnings.append(
                f"question: {shown} {name!r}: its numbers{example} are read with "
                f"{number_setting(name, column.written)}; they could as well be read with "
                f"{' or '.join(reading.rivals)} in CLEAN"
            )
    elif column.kind == "number" and isinstance(column.written, SpanText):
        found.put("numbers", name, NumberText(span=True))
        found.lines.append(f"times or spans in {name!r}: read as seconds")
    if column.kind == "number" and cells is not None:
        _missing_words(found, name, reading, cells, shown)
    if column.kind == "date" and cells is not None:
        found.put("dates", name, column.formats or ("iso",))
        found.lines.append(f"dates in {name!r}: {', '.join(column.formats or ('iso',))}")
        if reading.rivals:
            found.warnings.append(
                f"question: {shown} {name!r}: its dates are read as {column.formats[0]}; they could as well be read as "
                f"{' or '.join(reading.rivals)}: dates={{{name!r}: ({reading.rivals[0]!r},)}} in CLEAN"
            )
    if column.kind == "category" and reading.rivals and not target:  # dates that could be read in two ways
        found.put("kinds", name, "category")
    if column.kind == "category" and cells is not None:
        if not target:
            ask_about_tokens(found, name, cells, shown)
        if any("leading zeros" in note for note in reading.notes):
            found.put("kinds", name, "category")


def _number_text(written: Written) -> NumberText:
    suffixes = dict(written.suffixes)
    return NumberText(
        decimal=written.decimal,
        thousands=written.thousands,
        currency=written.currency,
        percent="%" in suffixes,
        suffixes={unit: factor for unit, factor in suffixes.items() if unit != "%"},
    )


def _missing_words(found: Found, name: str, reading: Reading, cells: Cells, shown: str) -> None:
    """Declare the words that mean missing in a column of numbers."""
    least = max(3, WORDS * cells.given)
    words = {
        word: count for word, count in cells.words.items() if word.lower() not in MISSING_VALUES and count >= least
    }
    words |= {word: cells.words.get(word, 0) for word in reading.column.missing}
    if not words:
        return
    found.put("missing_in", name, tuple(sorted(words)))
    told = ", ".join(f"{word!r} {count}" for word, count in sorted(words.items(), key=lambda item: -item[1])[:5])
    if not any("read as missing" in note for note in reading.notes):
        found.warnings.append(f"{shown} {name!r} is a number but for some words, read as missing: {told}")


def ask_about_tokens(found: Found, name: str, cells: Cells, shown: str) -> tuple[str, ...]:
    """Decide whether tokens such as `NA` are values of a column, and add a question; return those that are."""
    for token, count in sorted(cells.missing.items()):
        if count < max(MIN_CELLS, FREQUENT * (cells.given + count)) or not any(map(str.isalpha, token)):
            continue
        setting = f"present={{{name!r}: ({token!r},)}}"
        if is_value(token, count, cells.words, gaps=cells.empty):
            found.put("present", name, (*found.settings.get("present", {}).get(name, ()), token))
            others = ", ".join(repr(word) for word, _ in Counter(dict(cells.words)).most_common(3))
            found.warnings.append(
                f"question: {shown} {name!r}: {token!r} in {count} rows is kept as a value, beside {others}; if it "
                f"means missing, take it out of {setting} in CLEAN"
            )
        else:
            found.warnings.append(
                f"question: {shown} {name!r}: {token!r} in {count} rows is read as missing; if it is a value, write "
                f"{setting} in CLEAN"
            )
    return tuple(found.settings.get("present", {}).get(name, ()))


def is_value(token: str, count: int, words: Mapping[str, int], gaps: int = 0) -> bool:
    """Tell whether a missing token looks like the other words of its column: `NA` beside `EU` and `APAC`.

    It has letters only, is written in the same case as nearly all others, is no longer than the longest of them and no
    more frequent than all together; beside empty cells (``gaps``) one such word is enough.
    """
    if not token.isalpha() or not words:
        return False
    total = sum(words.values())
    alike = sum(n for word, n in words.items() if _case(word) == _case(token))
    longest = max(len(word) for word in words)
    shortest = min(len(word) for word in words)
    near = shortest <= len(token) <= longest and shortest > 1
    return len(words) >= (1 if gaps >= MIN_CELLS else 2) and count <= total and alike >= 0.8 * total and near


def _case(text: str) -> str:
    return "upper" if text.isupper() else "lower" if text.islower() else "title" if text[:1].isupper() else "mixed"
