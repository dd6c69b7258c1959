"""Step upload: built bento in, tagged bento in the store out."""

from __future__ import annotations

import logging
from pathlib import Path

from pipelines.artifacts import Artifact, Night, Outcome, write_json
from pipelines.ledger import Ledger
from pipelines.packaging.build import bento_folder, bento_tag, store_bento
from pipelines.packaging.spec import PackageSpec
from pipelines.packaging.stage import BENTO
from pipelines.settings import Settings

log = logging.getLogger(__name__)


def run(
    spec: PackageSpec, *, night: Night, settings: Settings, out: Path, package: Artifact, register: Artifact
) -> Outcome:
    """Put the bento into the store and its tag into the ledger; leaves ``bento.json``.

    Raises
    ------
    DeployError
        What was built is not what was signed.
    """
    facts = register.ref.meta
    name, version, digest = night.model.name, int(facts["version"]), str(facts["model_digest"])
    held = store_bento(settings, model=name, version=version, digest=digest, built=package.path / BENTO)
    tag = bento_tag(name, version, digest)
    with Ledger.open(settings) as ledger:
        ledger.advance(name, night.night, night.fence, bento_uri=tag)
    path = bento_folder(settings, name, version, digest)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    bento = {"tag": tag, "path": path.relative_to(settings.home).as_posix(), "digest": held, "bytes": size}
    write_json(out / "bento.json", bento)
    log.info(f"{tag} in the store, {size / 1e6:.1f} MB")
    return Outcome(meta={"version": version, "bento": tag}, stats=bento)
