"""Stage package: registered version in, signed bento out."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from pipelines.artifacts import Artifact, Night, Outcome
from pipelines.packaging.build import bento_tag, build_bento, stored_bento
from pipelines.packaging.spec import PackageSpec
from pipelines.settings import Settings
from pipelines.storage import resolve

BENTO = "bento"
"""Folder of what was built; absent where the store has the bento already."""

log = logging.getLogger(__name__)


def run(
    spec: PackageSpec, *, night: Night, settings: Settings, out: Path, configure: Artifact, register: Artifact
) -> Outcome:
    """Build the bento of the registered version; leaves ``bento/``."""
    started = time.monotonic()
    facts = register.ref.meta
    name, version, digest = night.model.name, int(facts["version"]), str(facts["model_digest"])
    tag = bento_tag(name, version, digest)
    if stored_bento(settings, name, version, digest) is None:
        build_bento(
            settings,
            model=name,
            version=version,
            model_dir=resolve(settings, str(facts["model_uri"])),
            digest=digest,
            folder=out / BENTO,
        )
    seconds = time.monotonic() - started
    log.info(f"bento {tag} in {seconds:.1f} s")
    return Outcome(meta={"version": version, "bento": tag}, stats={"build_seconds": round(seconds, 3)})
