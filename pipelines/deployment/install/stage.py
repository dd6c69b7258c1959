"""Step install: bento in the store in, bento that can be started out."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipelines.artifacts import Artifact, Night, Outcome, write_json
from pipelines.deployment.release import candidate, withdrawn_on_failure
from pipelines.deployment.serve import find_bento
from pipelines.deployment.spec import DeploySpec
from pipelines.inference.manifest import verify_manifest
from pipelines.ledger import Ledger
from pipelines.settings import Settings, public_key

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
            differing = differences(folder / REQUIREMENTS)
    for line in differing:
        log.warning(f"the bento of version {released.version} {line}")
    found = {"bento": upload.ref.meta["bento"], "digest": digest, "other_libraries": differing}
    write_json(out / "install.json", found)
    log.info(f"bento {found['bento']} is whole, signed by this home")
    return Outcome(meta={"version": released.version}, stats=found)


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
