"""The steps of a release in a process of its own, to be killed: ``python deployer.py FACTS.json``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HELPERS = Path(__file__).parent


def start(folder: Path, **facts: Any) -> subprocess.Popen[bytes]:
    """Start a release: ``home``, ``name``, ``day``, ``fence``, ``spec``, and ``metas`` of register and upload."""
    file = folder / f"facts-{facts['fence']}.json"
    file.write_text(json.dumps({**facts, "folder": str(folder)}))
    with (folder / f"deployer-{facts['fence']}.log").open("wb") as log:
        return subprocess.Popen([sys.executable, __file__, str(file)], stdout=log, stderr=log)


def main(file: Path) -> None:
    """Release the version."""
    sys.path.insert(0, str(HELPERS))
    import tiny
    from packaged import night_of

    from pipelines import settings as settings_module
    from pipelines.artifacts import Artifact, Ref
    from pipelines.deployment.spec import DeploySpec

    facts = json.loads(file.read_text())
    settings = settings_module.load(home=Path(facts["home"]), mlflow_port=1024, gateway_port=facts["port"])
    night = night_of(facts["name"], day=facts["day"], fence=facts["fence"], platform=True)
    folder = Path(facts["folder"])
    done = {
        name: Artifact(ref=Ref(uri=name, digest=name, stage=name, meta=meta), path=folder)
        for name, meta in facts["metas"].items()
    }
    tiny.release(DeploySpec(**facts["spec"]), night, settings, folder, done)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
