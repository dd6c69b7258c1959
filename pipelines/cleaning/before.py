"""Columns that a release before this one read otherwise: told in the first night that reads them anew."""

from __future__ import annotations

import json

from pipelines import storage
from pipelines.cleaning.reading import number_setting
from pipelines.cleaning.table import reading
from pipelines.errors import AimassError
from pipelines.inference.recipe.number_parsing import NumberText
from pipelines.inference.recipe.row_recipe import FORMAT, Column, RowRecipe
from pipelines.ledger import Ledger
from pipelines.settings import Settings


def read_before(settings: Settings, model: str) -> RowRecipe | None:
    """Return the recipe of the model's newest version, if an earlier release made it."""
    with Ledger.open(settings) as ledger:
        uris = [row.model_uri for row in ledger.versions(model) if row.model_uri]
    if not uris:
        return None
    try:
        text = (storage.resolve(settings, uris[-1]) / "plan" / "recipe.json").read_bytes()
        return RowRecipe.from_json(text) if json.loads(text).get("format") != FORMAT else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AimassError):
        return None  # tidied away or damaged: nothing to compare with


def changes(before: RowRecipe, now: RowRecipe) -> list[str]:
    """Return one line per column that is read otherwise now, with the setting that keeps the old reading."""
    known = {column.name: column for column in before.columns}
    lines = []
    for column in now.columns:
        old = known.get(column.name)
        if old is None or _same(old, column):
            continue
        lines.append(
            f"column {column.name!r} was read as {reading(old)} by the release before, and from now on as "
            f"{reading(column)}; to keep the old reading: {_setting(old)} in CLEAN"
        )
    return lines


def _same(old: Column, new: Column) -> bool:
    if old.kind != new.kind:
        return False
    if old.kind == "number":
        return reading(old) == reading(new) or (old.written is None and not isinstance(new.written, NumberText))
    if old.kind == "date":
        return not old.formats or not new.formats or old.formats[0] == new.formats[0] or _day(old) == _day(new)
    return True  # the words of truth values are those that the column has


def _day(column: Column) -> str:
    """Return a date format without its time of day, which is read of itself now."""
    return column.formats[0].split(" %H")[0].split(" %I")[0].split("T%H")[0]


def _setting(old: Column) -> str:
    if old.kind == "number":
        written = old.written if isinstance(old.written, NumberText) else NumberText()
        return number_setting(old.name, written)
    if old.kind == "date":
        return f"dates={{{old.name!r}: {old.formats or ('iso',)!r}}}"
    return f"kinds={{{old.name!r}: {old.kind!r}}}"
