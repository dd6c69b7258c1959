"""Stage package: registered version in, signed bento out."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from pipelines.artifacts import Artifact, Night, Outcome, write_json
from pipelines.ledger import Ledger
from pipelines.packaging.build import bento_tag, build_bento
from pipelines.packaging.spec import PackageSpec
from pipelines.settings import Settings
from pipelines.storage import resolve

log = logging.getLogger(__name__)

# The bento lies in BENTOML_HOME, outside what a re-use key covers; building adopts it there when it is whole.


def run(spec: PackageSpec, *, night: Night, settings: Settings, out: Path, register: Artifact) -> Outcome:
    """Build or adopt the bento of the registered version; leaves ``bento.json``."""
    started = time.monotonic()
    facts = register.ref.meta
    name, version, digest = night.model.name, int(facts["version"]), str(facts["model_digest"])
    path, bento_digest = build_bento(
        settings, model=name, version=version, model_dir=resolve(settings, str(facts["model_uri"])), digest=digest
    )
    tag = bento_tag(name, version, digest)
    with Ledger.open(settings) as ledger:
        ledger.advance(name, night.night, night.fence, bento_uri=tag)
    bento = {"tag": tag, "path": path.relative_to(settings.home).as_posix(), "digest": bento_digest}
    write_json(out / "bento.json", bento)
    seconds = time.monotonic() - started
    log.info(f"bento {tag} in {seconds:.1f} s")
    return Outcome(meta={"version": version, "bento": tag}, stats={"build_seconds": round(seconds, 3)})
