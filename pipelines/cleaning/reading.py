"""Decides what a column of texts holds, from the counts of its cells: numbers, dates, truth values or categories."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipelines.cleaning import scan
from pipelines.cleaning.declared_columns import column_of
from pipelines.cleaning.spec import CleanSpec
from pipelines.errors import DataError
from pipelines.inference.recipe import dates
from pipelines.inference.recipe.cells import canonical_text
from pipelines.inference.recipe.date_columns import learn as learn_dates
from pipelines.inference.recipe.number_columns import Writing
from pipelines.inference.recipe.number_columns import learn as learn_numbers
from pipelines.inference.recipe.number_parsing import NumberText, TruthText, Written
from pipelines.inference.recipe.row_recipe import MISSING_VALUES, Column

MOSTLY = 0.7
"""With a smaller share of numbers a column is a category; up to ``numeric_share`` a few other words are missing."""
FEW_WORDS = 20
CODES = 0.005
"""Share of numbers with leading zeros from which they are codes."""
CLIENT_WORDS = ("none", "nat")
"""Words that clients send for missing values; missing, unless training had that category."""


@dataclass(frozen=True)
class Reading:
    """How a column is read, and what a person should know about it.

    Parameters
    ----------
    notes
        What was decided against the look of the data; each goes on from "column 'x' ".
    rivals
        Other date formats, or ways of writing numbers, that read the cells as well but otherwise.
    asks
        Questions for a person, with the setting that answers them; each goes on from "column 'x' ".
    """

    column: Column
    notes: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()


def read_text_column(name: str, cells: scan.Cells, spec: CleanSpec, *, moments: bool, time: bool) -> Reading:
    """Decide what a column of texts means.

    Parameters
    ----------
    moments
        The column is known to hold moments, one of them as the model's ``time``.

    Raises
    ------
    DataError
        It is known to hold moments, and they cannot be read.
    """
    notes = _forms(cells)
    if moments:
        return _dates(name, cells, spec, declared=True, time=time, notes=notes)
    pair = truth_pair(cells)
    if pair is not None:
        return Reading(replace(column_of(name, "category", spec), truth=pair), notes)
    values = {word: count for word, count in cells.words.items() if word.lower() in MISSING_VALUES}
    given = cells.given - sum(values.values())
    writing = Writing(None, cells.numbers) if cells.numbers else learn_numbers(cells.shapes)
    if given and writing.codes >= max(2, CODES * given) and writing.written is None:
        share = writing.numbers >= spec.numeric_share * given
        if share:
            cure = f"for numbers: kinds={{{name!r}: 'number'}} in CLEAN"
            notes = (*notes, f"kept as a category: its digits have leading zeros, as codes have; {cure}")
        return Reading(_category(name, cells, spec), notes)
    if given and writing.numbers >= spec.numeric_share * given:
        return _number(name, cells, spec, writing, notes)
    dated = _dates(name, cells, spec, declared=False, time=False, notes=notes)
    if dated.column.kind == "date" or dated.rivals:
        return dated
    words = {word: count for word, count in cells.words.items() if word not in values}
    wordy = cells.whole and 0 < len(words) <= FEW_WORDS and writing.numbers + sum(words.values()) >= given
    if wordy and writing.numbers >= MOSTLY * given and cells.distinct - len(words) > len(words):
        return _number(name, cells, spec, writing, notes, words)
    if cells.nested and cells.nested >= 0.95 * cells.given:
        note = (
            f"left out: it holds lists or objects; to compare them as wholes: kinds={{{name!r}: 'category'}} in CLEAN"
        )
        return Reading(column_of(name, "dropped", spec), (*notes, note))
    return Reading(_category(name, cells, spec), notes)


def read_as_number(name: str, cells: scan.Cells, spec: CleanSpec) -> Reading:
    """Return how the numbers of a declared number column are written."""
    writing = Writing(None, cells.numbers) if cells.numbers else learn_numbers(cells.shapes)
    return _number(name, cells, spec, writing, ())


def _number(
    name: str,
    cells: scan.Cells,
    spec: CleanSpec,
    writing: Writing,
    notes: tuple[str, ...],
    words: dict[str, int] | None = None,
) -> Reading:
    column = column_of(name, "number", spec)
    written: Written | None = column.written or writing.written
    if written is None and cells.binary and cells.binary == cells.given:
        written = TruthText()
    if words:
        shown = ", ".join(f"{word!r} {count}" for word, count in sorted(words.items(), key=lambda item: -item[1])[:5])
        notes = (*notes, f"is a number in {writing.numbers} of {cells.given} cells; read as missing: {shown}")
        column = replace(column, missing=(*column.missing, *sorted(words)))
    rivals = tuple(number_setting(name, rival) for rival in writing.rivals)
    return Reading(replace(column, written=written), notes, rivals)


def _dates(
    name: str, cells: scan.Cells, spec: CleanSpec, *, declared: bool, time: bool, notes: tuple[str, ...]
) -> Reading:
    share = 0.0 if declared else spec.numeric_share
    infinite = sum(count for word, count in cells.words.items() if word.lower() in dates.INFINITE)
    nothing = infinite + sum(count for word, count in cells.words.items() if word.lower() in MISSING_VALUES)
    needed = share * (cells.given - nothing) / max(sum(cells.days.values()) + sum(cells.bare.values()), 1)
    counts = {**cells.days, **cells.bare}
    found = learn_dates(counts, needed, declared=declared) if counts and needed <= 1 else learn_dates({})
    if not found.formats:
        if declared and (cells.given or not time):
            raise DataError(
                f"cannot tell how the dates of column {name!r} are written",
                where=name,
                seen=", ".join(map(repr, cells.shown)),
                expected="a known date format",
                cure=f"write its format in CLEAN: dates={{{name!r}: ('%d.%m.%Y %H:%M',)}}, for example",
            )
        return Reading(column_of(name, "date" if declared else "category", spec), notes)
    if found.rivals and not declared:
        reading = " and ".join((*found.formats[:1], *found.rivals))
        cure = f"dates={{{name!r}: ({found.formats[0]!r},)}} in CLEAN"
        note = f"taken as category: its dates read as {reading}; for dates, declare which: {cure}"
        return Reading(_category(name, cells, spec), (*notes, note), found.rivals)
    if found.rivals and not time:
        raise DataError(
            f"cannot tell how the dates of column {name!r} are written",
            where=name,
            seen=", ".join(map(repr, cells.shown)),
            expected=f"one of {', '.join((*found.formats[:1], *found.rivals))}",
            cure=f"write the one that is meant in CLEAN: dates={{{name!r}: ({found.formats[0]!r},)}}, for example",
        )
    formats = () if found.formats == (dates.ISO,) else found.formats
    if infinite:
        notes = (*notes, f"has {infinite} infinite dates; read as missing")
    return Reading(column_of(name, "date", spec, formats), notes, found.rivals)


def _category(name: str, cells: scan.Cells, spec: CleanSpec) -> Column:
    column = column_of(name, "category", spec)
    seen = {word.lower() for word in cells.words}
    absent = tuple(word for word in CLIENT_WORDS if word not in seen and cells.whole)
    return replace(column, missing=(*column.missing, *absent))


def truth_pair(cells: scan.Cells) -> tuple[str, str] | None:
    """Return the most common words for true and for false if a column holds nothing else, else None."""
    true, false, others = scan.truths(cells)
    if others or not (true or false) or not ((true and false) or cells.binary):
        return None
    words = [_commonest(kind) if kind else None for kind in (true, false)]
    return words[0] or "true", words[1] or "false"


def _forms(cells: scan.Cells) -> tuple[str, ...]:
    if not cells.odd_form:
        return ()
    return (f"has {cells.odd_form} texts in another Unicode form; they are compared in one (NFC)",)


def _commonest(spellings: dict[str, int]) -> str:
    counts: dict[str, int] = {}
    for word, count in spellings.items():
        text = canonical_text(word)
        counts[text] = counts.get(text, 0) + count
    return min(counts, key=lambda text: (-counts[text], text))


def number_setting(name: str, written: NumberText) -> str:
    """Return the setting of CLEAN that reads a column's numbers as written."""
    fields = []
    if written.decimal != ".":
        fields.append(f"decimal={written.decimal!r}")
    if written.thousands:
        fields.append(f"thousands={written.thousands!r}")
    if written.currency:
        fields.append("currency=True")
    suffixes = dict(written.suffixes)
    if "%" in suffixes:
        fields.append("percent=True")
    units = {unit: factor for unit, factor in suffixes.items() if unit != "%"}
    if units:
        fields.append(f"suffixes={units!r}")
    return f"numbers={{{name!r}: NumberText({', '.join(fields)})}}"
