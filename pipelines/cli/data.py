"""`aimass data`: the table that a night read, from its snapshot or rebuilt from the history."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines import storage
from pipelines.artifacts import Night
from pipelines.cli.console import note, say, show_columns, table
from pipelines.cli.diff_tables import compare, opened
from pipelines.cli.show import require_model
from pipelines.errors import AimassError, DataError, SpecError
from pipelines.ledger import Ledger
from pipelines.settings import Settings
from pipelines.spec import ModelSpec, spec_error
from pipelines.storage.tables import table_facts

Say = Callable[[str], None]
SHOWN = 10
"""Most sources that are listed as text."""


@dataclass(frozen=True)
class State:
    """The table of a model at a date, and the folder it is in."""

    folder: Path
    """Folder of the ingest stage, with ``raw/`` and ``report.json``."""
    facts: dict[str, Any]


def end_of(text: str | None) -> datetime | None:
    """Parse a date; a day without a time means the end of that day, UTC.

    >>> end_of("2026-03-01").isoformat()
    '2026-03-01T23:59:59.999999+00:00'
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SpecError(
            "not a date", where="--at, --diff", seen=text, expected="2026-03-01 or 2026-03-01T02:00"
        ) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment + timedelta(days=1, microseconds=-1) if len(text.strip()) == len("2026-03-01") else moment


@contextmanager
def state_at(settings: Settings, ledger: Ledger, name: str, at: datetime | None, tell: Say) -> Iterator[State]:
    """Yield the table of the latest night up to ``at`` (None: of the last night).

    Its snapshot is used where it still is. Else, or where no night is that old, the table is built again in a
    temporary folder from what was known then, with the night's spec, and its digest is compared with the recorded one.

    Raises
    ------
    SpecError
        If there is no such model, or it has had no night.
    DataError
        If the snapshot is damaged, or the table cannot be built again.
    """
    model = require_model(ledger, name)
    nights = [(row, stage) for row in ledger.nights(name) for stage in _ingests(ledger, name, row.night)]
    if not nights:
        raise SpecError(
            "no night of this model has read its data", where=name, cure=f"run one: aimass run {name} --local"
        )
    nights.sort(key=lambda pair: (pair[0].as_of, pair[0].started_at))
    known = [pair for pair in nights if at is None or pair[0].as_of <= at]
    row, stage = known[-1] if known else nights[-1]
    as_of: datetime = row.as_of if known or at is None else at
    facts = {
        "model": name,
        "night": row.night if known else None,
        "as_of": as_of.isoformat(),
        "recorded_digest": (stage.stats or {}).get("digest") if known else None,
    }
    folder = storage.resolve(settings, stage.ref["uri"])
    if known and (folder / storage.MANIFEST).is_file():
        folder, _ = storage.open_folder(settings, stage.ref["uri"])
        yield State(folder, facts | {"from": "snapshot"} | _described(folder))
        return
    why = (
        "its snapshot was tidied away"
        if known
        else f"no night up to then; the first was on {nights[0][0].as_of:%Y-%m-%d}"
    )
    tell(f"{name} as known at {as_of:%Y-%m-%d %H:%M}: {why}; building it again from the history")
    night = Night(
        model=ModelSpec(**model.spec), night=row.night if known else f"data__{as_of:%Y%m%dT%H%M%S}", as_of=as_of
    )
    folder = storage.stage_folder(settings, f"{name}-data")
    try:
        _rebuild(stage.spec, night, settings, folder)
        built = facts | {"from": "history"} | _described(folder)
        if built["recorded_digest"] is not None and built["recorded_digest"] != built["digest"]:
            tell("warning: the table differs from the one that night saw: a source without history has changed since")
        yield State(folder, built)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ingests(ledger: Ledger, name: str, night: str) -> list[Any]:
    return [row for row in ledger.stages(name, night) if row.stage == "ingest" and row.state == "done" and row.ref]


def _rebuild(spec: dict[str, Any], night: Night, settings: Settings, folder: Path) -> None:
    from pipelines.ingestion import stage
    from pipelines.ingestion.history.replay import as_recorded
    from pipelines.ingestion.spec import IngestSpec

    try:
        declared = IngestSpec(**spec)
    except ValidationError as error:
        raise spec_error("IngestSpec", error) from None
    try:
        with as_recorded():
            stage.run(declared, night=night, settings=settings, out=folder)
    except AimassError as error:
        raise DataError(
            "the table cannot be built again",
            where=f"{night.model.name} as known at {night.as_of.isoformat()}",
            seen=error.what,
            expected="sources that are kept as history, or unchanged since",
            cure="declare Files(…, incremental=True) to keep what is read; a backup may hold the snapshot",
            faults=[line.strip() for line in str(error).splitlines()[1:]],
        ) from error


def _described(folder: Path) -> dict[str, Any]:
    report = json.loads((folder / "report.json").read_text())
    facts = table_facts(folder / "raw")
    schema = storage.dataset(folder / "raw").schema
    kinds = report.get("columns", {})
    sealed = int(report.get("sealed", 0))
    return {
        "rows": facts["rows"],
        "digest": facts["digest"],
        "sealed": sealed,
        "unsealed": facts["rows"] - sealed,
        "columns": {
            field.name: kinds.get(field.name, str(field.type)) for field in schema if not field.name.startswith("_")
        },
        "sources": report.get("sources", []),
        "increments": report.get("increments", {}),
        "notices": report.get("notices", []),
    }


def lines_of(facts: dict[str, Any]) -> Iterator[str]:
    """Return the text of ``aimass data NAME``, without the columns."""
    night = facts["night"] or "none; as it would have been"
    yield f"{facts['model']} as known at {facts['as_of']}"
    yield f"night     {night}"
    yield f"rows      {facts['rows']:,} ({facts['unsealed']:,} unsealed, {facts['sealed']:,} sealed)"
    same = {True: ", as recorded", False: f", NOT as recorded: {facts['recorded_digest']}", None: ""}
    equal = facts["recorded_digest"] == facts["digest"] if facts["recorded_digest"] else None
    yield f"digest    {facts['digest']}{same[equal] if facts['from'] == 'history' else ''}"
    yield f"from      {facts['from']}"
    for source in facts["sources"][:SHOWN]:
        yield "source    " + ", ".join(f"{name} {value}" for name, value in source.items())
    if len(facts["sources"]) > SHOWN:
        yield f"          … and {len(facts['sources']) - SHOWN} more (--json lists all)"
    if facts["increments"]:
        yield "increments " + ", ".join(f"{count} {name}" for name, count in facts["increments"].items())
    for notice in facts["notices"]:
        yield f"notice    {notice}"


def difference(settings: Settings, ledger: Ledger, name: str, dates: tuple[str, str], tell: Say) -> dict[str, Any]:
    """Return what changed between the tables at two dates: see `pipelines.cli.diff_tables.compare`."""
    moments = [end_of(date) for date in dates]
    with (
        state_at(settings, ledger, name, moments[0], tell) as before,
        state_at(settings, ledger, name, moments[1], tell) as after,
    ):
        key = require_model(ledger, name).spec.get("key")
        short = [
            {field: state.facts[field] for field in ("night", "as_of", "rows", "digest")} for state in (before, after)
        ]
        facts: dict[str, Any] = {"model": name, "before": short[0], "after": short[1]}
        facts["matched_by"] = ", ".join(key) if key else "the columns that identify a row"
        facts["identical"] = before.facts["digest"] == after.facts["digest"]
        if facts["identical"]:
            rows = before.facts["rows"]
            facts["rows"] = {"before": rows, "after": rows, "added": 0, "removed": 0, "changed": 0}
            return facts | {"columns": {"added": [], "removed": [], "kinds": {}}, "values": []}
        work = storage.stage_folder(settings, f"{name}-diff")
        try:
            tell("comparing")
            with opened(before.folder / "raw", after.folder / "raw", work, settings.cores) as connection:
                return facts | compare(connection)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def difference_lines(facts: dict[str, Any]) -> Iterator[str]:
    """Yield the text of ``aimass data NAME --diff A B``, without the table of values."""
    before, after, rows = facts["before"], facts["after"], facts["rows"]
    yield f"{facts['model']}: {before['as_of']} ({before['rows']:,} rows) to {after['as_of']} ({after['rows']:,} rows)"
    if facts["identical"]:
        yield "identical"
        return
    counts = ", ".join(f"{rows[name]:,} {name}" for name in ("added", "removed", "changed"))
    yield f"rows      {counts}, matched by {facts['matched_by']}"
    for name in ("added", "removed"):
        if facts["columns"][name]:
            yield f"columns {name}: {', '.join(facts['columns'][name])}"
    for name, (one, other) in facts["columns"]["kinds"].items():
        yield f"column {name}: {one} became {other}"


def readings(settings: Settings, ledger: Ledger, name: str, night: str | None) -> list[dict[str, Any]]:
    """Return how a night read each column; empty if its clean stage did not finish or was removed by housekeeping."""
    for row in ledger.stages(name, night) if night else ():
        if row.stage == "clean" and row.state == "done" and row.ref:
            try:
                report = json.loads(
                    (storage.resolve(settings, row.ref["uri"], tables=False) / "report.json").read_bytes()
                )
            except OSError:
                return []
            return list(report.get("columns", ()))
    return []


def difference_rows(facts: dict[str, Any]) -> list[list[str]]:
    """Return the rows on changed columns: nulls, mean, the category that changed most."""

    def pair(values: list[float | None], form: str) -> str:
        one, other = (f"{value:{form}}" if value is not None else "-" for value in values)
        return one if one == other else f"{one} -> {other}"

    rows = []
    for change in facts["values"]:
        top = max(change.get("top", {}).items(), key=lambda item: abs(item[1][1] - item[1][0]), default=None)
        cells = [
            pair(change["nulls"], ".2%"),
            pair(change["mean"], ".4g") if "mean" in change else "",
            f"{top[0]!r} {pair(top[1], '.2%')}" if top else "",
        ]
        if any("->" in cell for cell in cells):
            rows.append([change["column"], *cells])
    return rows


def show(
    settings: Settings, ledger: Ledger, name: str, at: str | None, diff: tuple[str, str] | None, *, as_json: bool
) -> None:
    """Print the result of `aimass data`."""
    if diff is not None:
        facts = difference(settings, ledger, name, diff, note)
        lines, header, rows = difference_lines(facts), ["column", "nulls", "mean", "category"], difference_rows(facts)
    else:
        with state_at(settings, ledger, name, end_of(at), note) as state:
            facts = state.facts | {"reading": readings(settings, ledger, name, state.facts["night"])}
        lines, header = lines_of(facts), ["column", "kind"]
        rows = [] if facts["reading"] else [[column, kind] for column, kind in facts["columns"].items()]
    if as_json:
        say(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for line in lines:
        say(line)
    if rows:
        say("")
        table(header, rows)
    show_columns(facts.get("reading", ()))
