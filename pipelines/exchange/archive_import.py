"""Import of an archive: the version that another installation exported becomes a version here."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.artifacts import canonical_json, write_atomic
from pipelines.errors import DataError
from pipelines.exchange.archive import MAX_GB, open_archive, read_key, unpack
from pipelines.exchange.publish import Published, publish_version, require_same_task
from pipelines.exchange.trust import fingerprint, remember_key, require_trusted
from pipelines.inference.manifest import write_manifest
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger import Ledger
from pipelines.secret_files import signing_key
from pipelines.settings import Settings
from pipelines.spec import ModelSpec
from pipelines.storage import file_sha256, stage_folder


@dataclass(frozen=True)
class ImportedArchive:
    """What became of an archive.

    Parameters
    ----------
    origin
        ``model``, ``version`` and ``key`` of where it came from.
    """

    published: Published
    origin: dict[str, Any]


def import_archive(
    settings: Settings,
    ledger: Ledger,
    file: Path,
    *,
    name: str | None = None,
    trust_key: str | None = None,
    max_gb: float = MAX_GB,
    actor: str,
) -> ImportedArchive:
    """Make the version in an archive the next version of a model; it is kept until somebody promotes it.

    Parameters
    ----------
    name
        Of the model here; default: as where it came from.
    trust_key
        Fingerprint of the key that it is signed with; that is trusted from then on.

    Raises
    ------
    SpecError
        The key is not trusted, or the archive is too large.
    DataError
        The archive was changed, or is none; nothing is left behind.
    DeployError
        The service does not repeat the golden predictions.
    """
    key = read_key(file, max_gb)
    require_trusted(settings, key, trust_key, str(file))
    opened = open_archive(file, key, max_gb)
    if trust_key is not None:  # what is not whole makes no key trusted
        remember_key(settings, key, file.name)
    work = stage_folder(settings, "archive-import")
    try:
        facts = unpack(opened, work, max_gb)
        model = work / "model"
        came = ModelDirectory.open(model, key)
        if came.digest != facts["digest"]:
            raise DataError("the archive holds another model than it says", where=str(file), expected=facts["digest"])
        target = name or str(facts["model"])
        spec = ModelSpec(**{**facts["spec"], "name": target})
        require_same_task(ledger, spec)
        if target != came.facts["model"]:
            _rename(model, target)
        write_manifest(model, signing_key(settings).read_bytes())
        origin = {
            "file": file.name, "sha256": file_sha256(file), "format": "archive", "key": fingerprint(key),
            "model": facts["model"], "version": facts["version"],
        }  # fmt: skip
        evaluation = work / "evaluation"
        told = {name: facts.get(name) for name in ("metric", "score", "baseline")}
        sentence = f"Imported from {file.name}: version {facts['version']} of {facts['model']}."
        published = publish_version(
            settings, ledger, spec, model, actor=actor, evaluation=evaluation if evaluation.is_dir() else None,
            facts={**facts["verdict"], "verdict": "kept", **told, "sentence": sentence, "imported": origin},
        )  # fmt: skip
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return ImportedArchive(published, origin)


def _rename(model: Path, name: str) -> None:
    for file in ("model.json", "schema.json"):
        content = json.loads((model / file).read_bytes())
        write_atomic(model / file, canonical_json({**content, "model": name}))
