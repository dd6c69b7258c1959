"""Publishes a table: private columns masked, checked against the version before, written once, given its number."""

from __future__ import annotations

import getpass
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import storage
from pipelines.artifacts import write_json
from pipelines.errors import DataError, SpecError
from pipelines.ledger import Ledger
from pipelines.ledger.mart import MartRow
from pipelines.mart.address import NAME
from pipelines.mart.masking import masked_schema, masker, rules_of
from pipelines.mart.origin import Origin
from pipelines.mart.tables import FOLDER, PREVIEW, TABLE
from pipelines.private_columns import hashing_key
from pipelines.settings import Settings
from pipelines.storage.tables import table_facts

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN, WIDE = 20, 120
"""Rows of a preview, and characters of a cell in it."""
LONGEST = 2_000
"""Characters of a description."""


@dataclass(frozen=True)
class Wish:
    """What is asked for besides the rows.

    Parameters
    ----------
    description
        For people; empty: that of the version before.
    drop, hash
        Columns that are left out or hashed, besides those that the model's spec calls private.
    new_schema
        Whether columns of the version before may be gone or of another type.
    """

    description: str = ""
    drop: tuple[str, ...] = ()
    hash: tuple[str, ...] = ()
    new_schema: bool = False


def publish(
    settings: Settings, ledger: Ledger, name: str, origin: Origin, wish: Wish, actor: str = ""
) -> tuple[MartRow, bool]:
    """Publish a table as the next version of its name; return it, and whether it is a new one.

    Equal content is not published twice: the newest version is returned then.

    Raises
    ------
    SpecError
        If the name or the wish does not fit.
    DataError
        If there is no row, or the schema conflicts with that of the version before.
    """
    _check(name, wish)
    rules = rules_of(origin.schema.names, origin.private, wish.drop, wish.hash, where=name)
    schema = masked_schema(origin.schema, rules)
    before = next((row for row in reversed(ledger.mart_tables(name)) if row.expired_at is None), None)
    if before is not None and not wish.new_schema:
        _refuse_conflict(before, schema)
    staging = storage.stage_folder(settings, f"mart-{name}")
    try:
        with storage.disk_errors(settings.storage):
            seen = _Seen(schema)
            mask = masker(origin.schema, rules, hashing_key(settings) if rules else b"")
            rows = storage.write_table(seen.through(map(mask, origin.batches)), staging / TABLE, schema)
            if not rows:
                raise DataError("the table holds no row", where=name, expected="at least one row", cure="check --from")
            digest = table_facts(staging / TABLE)["digest"]
            facts = origin.facts | {"private": _told(rules, origin, wish)}
            description = wish.description or (before.description if before else "")
            if before is not None and (before.digest, before.description) == (digest, description):
                return before, False
            write_json(staging / PREVIEW, seen.first)
            columns = seen.columns(rows, rules)
            uri = f"{FOLDER}/{name}/{digest[:16]}-{secrets.token_hex(4)}"
            manifest = {"name": name, "description": description, "origin": facts, "columns": columns}
            size = _bytes(staging)
            target = storage.local_path(settings, uri)
            storage.publish(staging, target, stage=FOLDER, rows=rows, facts=manifest, settings=settings)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    fields = {"uri": uri, "digest": digest, "rows": rows, "bytes": size, "columns": columns, "origin": facts}
    who = (actor or f"publish:{getpass.getuser()}")[:120]
    return ledger.publish_table(name, **fields, description=description, actor=who), True


def _check(name: str, wish: Wish) -> None:
    if not re.fullmatch(NAME, name):
        raise SpecError(
            "a table cannot have this name",
            seen=repr(name),
            expected="lower-case letters, digits and underscores, a letter first, at most 63",
            cure="choose another name",
        )
    if len(wish.description) > LONGEST:
        raise SpecError(
            "the description is too long", where=name, seen=f"{len(wish.description)} characters", expected=LONGEST
        )


def _refuse_conflict(before: MartRow, schema: pa.Schema) -> None:
    """Refuse a table that whoever reads the version before could not read."""
    now = {field.name: str(field.type) for field in schema}
    faults = [
        f"{column['name']!r}: gone, was {column['type']}"
        if column["name"] not in now
        else f"{column['name']!r}: {now[column['name']]}, was {column['type']}"
        for column in before.columns
        if now.get(column["name"]) != column["type"]
    ]
    if faults:
        raise DataError(
            "the schema conflicts with that of the version before",
            where=before.address,
            seen=f"{len(faults)} of {len(before.columns)} columns gone or of another type",
            expected="all its columns, of the same types; further ones may be added",
            cure="publish it under another name, or say --new-schema: who reads the newest version gets it",
            faults=faults,
        )


def _told(rules: Mapping[str, str], origin: Origin, wish: Wish) -> dict[str, dict[str, str]]:
    """Return what was done to private columns, and at whose word."""
    return {
        name: {
            "rule": rule,
            "by": origin.because.get(name, "the model's spec") if name in origin.private else "--drop or --hash",
        }
        for name, rule in rules.items()
    }


class _Seen:
    """Looks at the rows as they stream by: the first ones, and how many cells are missing."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.first: list[list[str | None]] = []
        self._missing = [0] * len(schema)

    def through(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        import pyarrow.compute as pc

        for batch in batches:
            if len(self.first) < SHOWN:
                rows = batch.slice(0, SHOWN - len(self.first))
                self.first += [list(cells) for cells in zip(*map(_texts, rows.columns), strict=True)]
            for index, column in enumerate(batch.columns):
                nan = pa.types.is_floating(column.type)
                self._missing[index] += pc.sum(pc.is_null(column, nan_is_null=nan)).as_py() or 0
            yield batch

    def columns(self, rows: int, rules: Mapping[str, str]) -> list[dict[str, Any]]:
        return [
            {"name": field.name, "type": str(field.type), "missing": round(missing / rows, 6)}
            | ({"private": rules[field.name]} if field.name in rules else {})
            for field, missing in zip(self.schema, self._missing, strict=True)
        ]


def _texts(column: pa.Array) -> Sequence[str | None]:
    cells = column.to_pylist()
    texts = [None if cell is None or cell != cell else str(cell) for cell in cells]  # NaN
    return [text if text is None or len(text) <= WIDE else f"{text[: WIDE - 1]}…" for text in texts]


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
