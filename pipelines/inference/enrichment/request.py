"""What serving adds to a request row before the row recipe reads it: looked-up and computed columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

import pandas as pd
import pyarrow as pa

from pipelines.artifacts import canonical_json, write_atomic
from pipelines.errors import DataError, SpecError
from pipelines.inference.enrichment.lookup import Lookup
from pipelines.inference.enrichment.lookup_keys import key_texts
from pipelines.inference.expressions.columns import Expression
from pipelines.inference.recipe.columns import Kind as ReadKind
from pipelines.inference.recipe.row_recipe import check_columns

__all__ = ["EMPTY", "FILE", "Computed", "Enrichment", "Lookup", "Serve", "key_texts"]

FORMAT: Final = 1
FILE: Final = "enrichment.json"
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
MAX_STEPS: Final = 1_000
Serve = Literal["compute", "caller", "never"]
_READ_AS: Final[dict[str, ReadKind]] = {"number": "number", "text": "category", "bool": "category", "moment": "date"}


@dataclass(frozen=True)
class Computed:
    """A column computed from the same row; ``serve`` says whether it is computed, sent or unknown at serving."""

    name: str
    expression: str
    serve: Serve = "compute"


@dataclass(frozen=True)
class Enrichment:
    """Look-ups and computed columns, run in the order that their inputs allow.

    Parameters
    ----------
    lookups
        Embedded tables.
    computed
        All computed columns in their declared order, those that serving does not compute too.
    hidden
        Columns that are not known at serving: not for the learner.
    optional
        Columns that some files of the source lack: callers may leave them out.

    Raises
    ------
    SpecError
        Two steps add one column, a step needs a column that is not known at serving, or steps wait for each other.
    """

    lookups: tuple[Lookup, ...] = ()
    computed: tuple[Computed, ...] = ()
    hidden: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    _steps: tuple[_Step, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        steps = [_Step(lookup.columns, lookup.on, lookup) for lookup in self.lookups]
        for column in self.computed:
            expression = Expression.parse(column.expression)
            if column.serve == "compute":
                steps.append(_Step((column.name,), expression.columns, expression))
        added = [name for step in steps for name in step.gives]
        faults = [f"{name!r} is added twice" for name in sorted({name for name in added if added.count(name) > 1})]
        for step in steps:
            unknown = [name for name in step.needs if name in self.hidden]
            faults += [f"{step.gives[0]!r} needs {name!r}, which is not known at serving" for name in unknown]
        if faults:
            raise SpecError(
                "the added columns do not fit together",
                where="ingest.joins, ingest.derived",
                faults=faults,
                cure="rename, or declare serve='never' or serve='caller' for what a request cannot have",
            )
        object.__setattr__(self, "_steps", _ordered(steps))

    def __bool__(self) -> bool:
        return bool(self._steps)

    @property
    def added(self) -> list[str]:
        """Names of the columns that serving adds, in the order they are added."""
        return [name for step in self._steps for name in step.gives]

    @property
    def made(self) -> frozenset[str]:
        """Names of the columns that no source holds: looked-up and computed ones, those that serving lacks too."""
        return frozenset((*self.added, *(column.name for column in self.computed), *self.hidden))

    @property
    def reads(self) -> dict[str, ReadKind]:
        """Inputs of computed columns, and as what each is read first; keys of look-ups are read as categories."""
        found: dict[str, ReadKind] = {name: "category" for lookup in self.lookups for name in lookup.on}
        for step in self._steps:
            if isinstance(step.what, Expression):
                for name, kind in step.what.reads:
                    found.setdefault(name, _READ_AS[kind])
        return found

    def requested(self, columns: Iterable[str]) -> list[str]:
        """Return what a caller must send so that these columns exist: each added one is replaced by its inputs."""
        sent: dict[str, None] = {}
        source = {name: step for step in self._steps for name in step.gives}
        visited: set[int] = set()

        def ask(name: str, asking: _Step | None) -> None:
            step = source.get(name)
            if step is None or step is asking:
                sent[name] = None
            elif id(step) not in visited:
                visited.add(id(step))
                for need in step.needs:
                    ask(need, step)

        for name in columns:
            ask(name, None)
        return list(sent)

    def subset(self, columns: Iterable[str]) -> Enrichment:
        """Return only what these columns need."""
        wanted, kept = set(columns), list[_Step]()
        for step in reversed(self._steps):
            if wanted & set(step.gives):
                kept.append(step)
                wanted |= set(step.needs)
        lookups = tuple(lookup.subset(tuple(wanted)) for lookup in self.lookups if any(s.what is lookup for s in kept))
        names = {step.gives[0] for step in kept if isinstance(step.what, Expression)}
        return Enrichment(lookups, tuple(c for c in self.computed if c.serve == "compute" and c.name in names))

    def apply(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Return the raw frame with the added columns; the given one is left as it is.

        Parameters
        ----------
        raw
            Holds what :meth:`requested` names for :attr:`added`, as raw cells; its own values of added columns are
            replaced.

        Raises
        ------
        DataError
            A needed column is absent or stands twice.
        """
        if not self._steps:
            return raw
        check_columns(list(raw.columns), self.requested(self.added))
        columns: dict[str, Any] = {}

        def of(name: str) -> Any:
            return columns[name] if name in columns else raw[name]

        for step in self._steps:
            inputs = {name: of(name) for name in step.needs}
            for name, array in zip(step.gives, step.run(inputs, len(raw)), strict=True):
                columns[name] = pd.Series(pd.arrays.ArrowExtensionArray(array), index=raw.index, name=name)
        kept = raw.loc[:, [name not in columns for name in raw.columns]]
        return cast(pd.DataFrame, pd.concat([kept, *columns.values()], axis=1))

    def apply_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return one raw row with the added columns; an absent input counts as null."""
        full = dict(row)
        for step in self._steps:
            if isinstance(step.what, Lookup):
                full.update(step.what.find_row(full))
            else:
                full[step.gives[0]] = step.what.evaluate_row(full)
        return full

    def describe(self) -> list[dict[str, Any]]:
        """Return name, key, columns, stated age, kind and rows of every look-up, without its content."""
        return [lookup.facts() for lookup in self.lookups]

    def save(self, folder: Path) -> None:
        """Write ``enrichment.json`` and one ``<name>.parquet`` per look-up into ``folder``; nothing if empty.

        Raises
        ------
        SpecError, DataError
            A look-up is too large to travel with a model, or its keys are not unique.
        """
        if not (self.lookups or self.computed or self.hidden or self.optional):
            return
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for lookup in self.lookups:
            lookup.save(folder)
        computed = [{"name": c.name, "expression": c.expression, "serve": c.serve} for c in self.computed]
        content = {"format": FORMAT, "lookups": self.describe(), "computed": computed, "hidden": list(self.hidden)}
        content |= {"optional": list(self.optional)} if self.optional else {}
        write_atomic(folder / FILE, canonical_json(content))

    @classmethod
    def load(cls, folder: Path) -> Enrichment:
        """Read what :meth:`save` wrote; an absent folder is :data:`EMPTY`.

        Raises
        ------
        DataError
            The folder's content is damaged, too large or of an unknown format.
        """
        if not folder.exists():
            return EMPTY
        try:
            if (folder / FILE).stat().st_size > MAX_FILE_BYTES:
                raise DataError("the file is too large", where=str(folder / FILE), expected=f"{MAX_FILE_BYTES} bytes")
            data = cast(dict[str, Any], json.loads((folder / FILE).read_bytes()))
            if data.get("format") != FORMAT:
                raise DataError("unknown format of an enrichment", where=str(folder), seen=data.get("format"))
            if len(data["lookups"]) + len(data["computed"]) > MAX_STEPS:
                raise DataError("too many added columns", where=str(folder), expected=f"at most {MAX_STEPS}")
            lookups = tuple(Lookup.load(folder, facts) for facts in data["lookups"])
            computed = tuple(Computed(c["name"], c["expression"], c["serve"]) for c in data["computed"])
            if strange := [c.name for c in computed if c.serve not in get_args(Serve)]:
                raise DataError("an unknown way to serve a column", where=str(folder), seen=", ".join(strange))
            return cls(lookups, computed, tuple(data["hidden"]), tuple(data.get("optional", ())))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(
                "an enrichment cannot be read",
                where=str(folder / FILE),
                seen=f"{type(error).__name__}: {str(error)[:200]}",
                expected="what ingest wrote",
                cure="restore the folder from a backup, or run the night again",
            ) from None


@dataclass(frozen=True, eq=False)
class _Step:
    gives: tuple[str, ...]
    needs: tuple[str, ...]
    what: Lookup | Expression

    def run(self, inputs: Mapping[str, Any], rows: int) -> list[pa.Array]:
        if isinstance(self.what, Lookup):
            return self.what.find(inputs)
        return [self.what.evaluate(inputs, rows)]


def _ordered(steps: Sequence[_Step]) -> tuple[_Step, ...]:
    """Put every step behind those that give what it needs; else the order stays."""
    waiting, done = list(steps), list[_Step]()
    while waiting:
        pending = {id(step): set(step.gives) for step in waiting}
        ready = [
            step for step in waiting if not any(set(step.needs) & pending[id(o)] for o in waiting if o is not step)
        ]
        if not ready:
            raise SpecError(
                "added columns wait for each other",
                where="ingest.joins, ingest.derived",
                seen=", ".join(step.gives[0] for step in waiting),
                cure="compute one of them from columns of the main table alone",
            )
        done.append(ready[0])
        waiting.remove(ready[0])
    return tuple(done)


EMPTY: Final = Enrichment()
"""Nothing is added."""
