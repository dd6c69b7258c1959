"""Step install: bento in the store in, bento that can be started out."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipelines.artifacts import Artifact, Night, Outcome, write_json
from pipelines.deployment.release import candidate, withdrawn_on_failure
from pipelines.deployment.serve import find_bento
from pipelines.deployment.spec import DeploySpec
from pipelines.errors import DeployError
from pipelines.inference.explain import explain_row
from pipelines.inference.golden import first_difference, parted_feature
from pipelines.inference.manifest import verify_manifest
from pipelines.inference.model_directory import ModelDirectory
from pipelines.ledger import Ledger
from pipelines.ledger.rows import VersionRow
from pipelines.secret_files import public_key
from pipelines.settings import Settings
from pipelines.storage import resolve

REQUIREMENTS = Path("env", "python", "requirements.txt")

log = logging.getLogger(__name__)


def run(
    spec: DeploySpec, *, night: Night, settings: Settings, out: Path, upload: Artifact, register: Artifact
) -> Outcome:
    """Verify signature and files of the bento and compare its requirements with what is installed.

    Leaves ``install.json``. Other library versions are named; whether they predict alike is for the later steps to see.

    Raises
    ------
    DeployError
        The bento is missing, or is not what was signed.
    """
    with Ledger.open(settings) as ledger:
        released = candidate(ledger, night, register)
        with withdrawn_on_failure(ledger, night, released.version):
            folder = find_bento(settings, night.model.name, released.version)
            digest = verify_manifest(folder, public_key(settings))
            same_model(folder / "src" / "model", released.row, settings)
            differing = differences(folder / REQUIREMENTS)
    for line in differing:
        log.warning(f"the bento of version {released.version} {line}")
    found = {"bento": upload.ref.meta["bento"], "digest": digest, "other_libraries": differing}
    write_json(out / "install.json", found)
    log.info(f"bento {found['bento']} is whole, signed by this home")
    return Outcome(meta={"version": released.version}, stats=found)


def same_model(path: Path, row: VersionRow, settings: Settings) -> None:
    """Check that a bento holds the model directory that was registered.

    Raises
    ------
    DeployError
        It is signed, but another one; names the feature and column where they part.
    """
    held = ModelDirectory.open(path, public_key(settings))
    if held.digest == row.model_digest:
        return
    registered = ModelDirectory.open(resolve(settings, row.model_uri), public_key(settings))
    parted = parted_feature(held.predictor) or "they predict the golden rows alike"
    for sent, due in zip(registered.golden["rows"], registered.golden["answers"], strict=True):
        if held.predictor.predict_rows([sent]) != [due]:
            served, right = explain_row(held.predictor, sent), explain_row(registered.predictor, sent)
            parted = first_difference(served, right)
            break
    raise DeployError(
        "the bento holds another model than the registered one",
        where=f"{row.model} version {row.version}",
        seen=f"{held.digest}; {parted}",
        expected=row.model_digest,
        cure="clear the tasks from package on: the bento is built again",
    )


def differences(requirements: Path) -> list[str]:
    """Return the requirements that are installed in another version or not at all, one line each."""
    lines = []
    for text in requirements.read_text().split() if requirements.is_file() else ():
        name, _, wanted = text.partition("==")
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "none"
        if wanted and installed != wanted:
            lines.append(f"wants {text}; installed: {installed}")
    return lines
