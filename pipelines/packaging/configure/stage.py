"""Step configure: registered version in, the settings of its release out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pipelines.artifacts import Artifact, Night, Outcome, write_json
from pipelines.inference.model_directory import ModelDirectory
from pipelines.inference.schema import ServeSchema
from pipelines.ledger import Ledger
from pipelines.packaging.bento_contents import requirements
from pipelines.packaging.build import bento_tag
from pipelines.packaging.spec import PackageSpec
from pipelines.secret_files import public_key
from pipelines.settings import Settings
from pipelines.storage import resolve

log = logging.getLogger(__name__)


def run(spec: PackageSpec, *, night: Night, settings: Settings, out: Path, register: Artifact) -> Outcome:
    """Write down what is released and what changes for callers; leaves ``release.json``.

    Raises
    ------
    DeployError
        The model directory is not what was signed.
    """
    facts, name = register.ref.meta, night.model.name
    version, digest = int(facts["version"]), str(facts["model_digest"])
    opened = ModelDirectory.open(resolve(settings, str(facts["model_uri"])), public_key(settings))
    with Ledger.open(settings) as ledger:
        live = ledger.champion(name)
    changes = (
        [] if live is None else contract_changes(ServeSchema.load(resolve(settings, live.model_uri)), opened.schema)
    )
    needed = requirements(opened.facts)
    release = {
        "model": name,
        "version": version,
        "live_version": None if live is None else live.version,
        "model_digest": digest,
        "bento": bento_tag(name, version, digest),
        "requirements": needed,
        "columns": {column.name: column.kind for column in opened.schema.columns},
        "changes_for_callers": changes,
    }
    write_json(out / "release.json", release)
    for line in changes:
        log.warning(f"callers of {name}: {line}")
    stats: dict[str, Any] = {"requirements": len(needed), "changes_for_callers": changes}
    return Outcome(meta={"version": version, "changes_for_callers": len(changes)}, stats=stats)


def contract_changes(before: ServeSchema, now: ServeSchema) -> list[str]:
    """Return what callers of a version must do otherwise with the next one, one line each."""
    known, wanted = {column.name: column for column in before.columns}, {column.name: column for column in now.columns}
    changes = [
        f"the column {name!r} is {'read' if column.optional else 'needed'} now, a {column.kind}"
        for name, column in wanted.items()
        if name not in known
    ]
    changes += [f"the column {name!r} is no longer read" for name in known if name not in wanted]
    changes += [
        f"the column {name!r} is read as {column.kind} now, as {known[name].kind} before"
        for name, column in wanted.items()
        if name in known and column.kind != known[name].kind
    ]
    changes += [
        f"the column {name!r} may no longer be absent"
        for name, column in wanted.items()
        if name in known and known[name].optional and not column.optional
    ]
    return changes
