"""What can be published: the table that a stage of a night left, or any source that a model could read."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import storage
from pipelines.errors import DataError, SpecError
from pipelines.ledger import Ledger
from pipelines.ledger.rows import NightRow, StageRow
from pipelines.mart.address import is_address
from pipelines.mart.masking import DROP
from pipelines.mart.tables import known_version
from pipelines.reserved_columns import LABEL, RESERVED
from pipelines.settings import Settings
from pipelines.spec import did_you_mean
from pipelines.storage.tables import batch_rows

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = {"ingest": "raw", "sample": "sampled", "clean": "cleaned", "split": "train", "features": "train"}
"""By stage, the folder of its table."""


@dataclass(frozen=True)
class Origin:
    """Rows to be published.

    Parameters
    ----------
    schema, batches
        The rows, without the columns that stages add.
    facts
        Where they are from, for the manifest.
    private
        Columns that must not be published as they are: ``drop`` or ``hash``.
    because
        Of private columns that the spec does not name: why they are.
    """

    schema: pa.Schema
    batches: Iterable[pa.RecordBatch]
    facts: dict[str, Any]
    private: Mapping[str, str] = field(default_factory=dict)
    because: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def of_night(settings: Settings, ledger: Ledger, model: str, night: str | None, stage: str) -> Iterator[Origin]:
    """Yield the table of a stage of a night; without a night, of the newest that has one.

    The target comes back under its own name; the columns that stages add are left out. What is computed from private
    columns is private, too.

    Raises
    ------
    SpecError
        If model, night or stage is unknown, or the stage did not finish.
    DataError
        If its result is damaged or was removed.
    """
    chosen, row = _result(settings, ledger, model, night, stage)
    folder, _ = storage.open_folder(settings, row.ref["uri"] if row.ref else "")
    table = storage.dataset(folder / TABLES[stage])
    spec = (row.made_of or {}).get("model") or getattr(ledger.model(model), "spec", {})
    target = str(spec.get("target") or "")
    names = {name: name for name in table.schema.names if name not in RESERVED}
    if target and LABEL in table.schema.names and target not in names:
        names[LABEL] = target
    private, because = _private(settings, ledger, chosen, spec, folder if stage == "features" else None)
    schema = _named(table.schema, names)
    batches = table.scanner(columns=list(names), batch_size=batch_rows(len(names)), batch_readahead=2).to_batches()
    facts = {
        "model": model,
        "night": chosen.night,
        "as_of": chosen.as_of.isoformat(),
        "stage": stage,
        "uri": row.ref["uri"] if row.ref else None,
        "left_out": [name for name in table.schema.names if name not in names],
    }
    yield Origin(schema, (_renamed(batch, schema) for batch in batches), facts, private, because)


def _named(schema: pa.Schema, names: Mapping[str, str]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([pa.field(final, schema.field(name).type) for name, final in names.items()])


def _renamed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_arrays(batch.columns, schema=schema)


def _result(settings: Settings, ledger: Ledger, model: str, night: str | None, stage: str) -> tuple[NightRow, StageRow]:
    if stage not in TABLES:
        raise SpecError(
            "a stage without such a table",
            where="--stage",
            seen=f"{stage}{did_you_mean(stage, TABLES)}",
            expected=", ".join(TABLES),
        )
    nights = {row.night: row for row in ledger.nights(model)}
    if night is not None and night not in nights:
        raise SpecError(
            "no such night",
            where=model,
            seen=f"{night}{did_you_mean(night, nights)}",
            expected=", ".join(list(nights)[-3:]) or "a night: there was none",
            cure=f"aimass nights {model} lists them",
        )
    for chosen in [nights[night]] if night is not None else reversed(nights.values()):
        rows = [row for row in ledger.stages(model, chosen.night) if row.stage == stage and row.state == "done"]
        row = rows[-1] if rows and rows[-1].ref else None
        if row is not None and row.ref is not None and storage.is_published(settings, row.ref["uri"]):
            return chosen, row
        if night is not None and row is not None:
            raise DataError(
                "the table of this night was tidied away",
                where=f"{model}@{night}, {stage}",
                seen="no such folder",
                cure="take a newer night; housekeeping keeps the newest ones",
            )
    raise SpecError(
        "no night with such a table",
        where=model if night is None else f"{model}@{night}",
        seen=f"no finished stage {stage} whose result is there",
        cure=f"aimass nights {model} lists the nights; aimass run {model} --local runs one",
    )


def _private(
    settings: Settings, ledger: Ledger, night: NightRow, spec: Mapping[str, Any], features: Path | None
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the private columns, as the night's spec or the newest says, and those that are made of them."""
    newest = getattr(ledger.model(night.model), "spec", None) or {}
    rules: dict[str, str] = {}
    for declared in (newest, spec):
        rules |= {name: rule for name, rule in (declared.get("private") or {}).items() if rules.get(name) != DROP}
    if not rules:
        return {}, {}
    because: dict[str, str] = {}
    for name, columns in _computed(ledger, night):
        of = sorted(column for column in columns if column in rules)
        if of and name != spec.get("target"):
            rules[name], because[name] = DROP, f"computed from {', '.join(of)}"
    if features is not None:
        from pipelines.inference.plan.feature_plan import FeaturePlan

        tainted = {name: name for name in rules}
        for operation in FeaturePlan.load(features / "plan").operations:
            of = sorted(tainted[name] for name in operation.inputs if name in tainted)
            for output in operation.outputs:
                if of:
                    tainted[output.name] = of[0]
                elif output.name not in rules:
                    tainted.pop(output.name, None)
        for name, of_column in tainted.items():  # a number or a code that was learned: a hash of it is of no use
            rules[name], because[name] = DROP, f"made of {of_column}"
    return rules, because


def _computed(ledger: Ledger, night: NightRow) -> Iterator[tuple[str, tuple[str, ...]]]:
    from pipelines.ingestion.derived_columns import parse
    from pipelines.ingestion.spec import IngestSpec

    for row in ledger.stages(night.model, night.night):
        if row.stage == "ingest" and row.spec:
            spec = IngestSpec(**row.spec)
            for name, expression in parse(spec).items():
                yield name, expression.columns


@contextmanager
def of_source(settings: Settings, declared: Any) -> Iterator[Origin]:
    """Yield the rows of files, a query or another published table, read as a night reads them.

    Raises
    ------
    SpecError, DataError
        Whatever keeps it from being read whole.
    """
    from pipelines.ingestion.database.sql import fetch
    from pipelines.ingestion.files import sources
    from pipelines.ingestion.files.read import connect, load
    from pipelines.ingestion.spec import Files, Sql
    from pipelines.ingestion.tables import stream_source

    out = storage.stage_folder(settings, "mart-source")
    try:
        with storage.scratch(out) as work, closing(connect(work, settings.cores, settings.memory_gb)) as connection:
            facts: dict[str, Any]
            if isinstance(declared, Sql):
                spec, facts = Files(path=f"connection {declared.connection!r}"), {"query": declared.query}
                files, before = fetch(declared, work / "rows").files, {}
            else:
                spec, facts = declared, {"path": declared.path}
                if is_address(declared.path):  # who may see it is as before
                    row = known_version(settings, declared.path, datetime.now(UTC))
                    spec = declared.model_copy(update={"path": row.address})
                    facts = {"path": row.address, "model": row.origin.get("model")}
                files = sources.find_files(spec, datetime.now(UTC), settings)
                before = sources.sizes(files)
                facts |= {"files": len(files), "bytes": sum(size for size, _ in before.values())}
            source = load(connection, files, spec, partitions=_partitions(spec, files, settings))
            schema, batches = stream_source(source)
            facts |= {"notices": source.notices, "rejected": source.rejected}
            yield Origin(schema, _whole(batches, before), facts)
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _whole(batches: Iterable[pa.RecordBatch], before: dict[Path, tuple[int, int]]) -> Iterator[pa.RecordBatch]:
    """Yield all rows; raise at their end if a file was changed meanwhile."""
    from pipelines.ingestion.files.sources import refuse_changed

    yield from batches
    refuse_changed(before)


def _partitions(spec: Any, files: list[Path], settings: Settings) -> Any:
    from pipelines.ingestion.files import sources

    return {} if spec.path.startswith("connection ") else sources.partitions(files, sources.root_of(spec, settings))
