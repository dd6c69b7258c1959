"""Candidates that go wrong: the real bento of a version with a fault built into its service, signed like any other."""

from __future__ import annotations

from pathlib import Path

from pipelines.inference.manifest import write_manifest
from pipelines.secret_files import signing_key
from pipelines.settings import Settings

PROVED = 80
"""Calls after which a fault begins that the steps before the canary do not meet."""

_WRAP = """

_sound, _calls = predict_columns, 0


def predict_columns(predictor, columns, rows):
    global _calls
    _calls += 1
    found = _sound(predictor, columns, rows)
    {fault}
    return found
"""

FAULTS = {
    "errors": _WRAP.format(
        fault=f"if _calls > {PROVED} and _calls % 5 == 0: raise RuntimeError('every fifth request fails')"
    ),
    "slow": _WRAP.format(fault=f"if _calls > {PROVED}: __import__('time').sleep(0.3)"),
    "nan": _WRAP.format(fault=f"if _calls > {PROVED}: found['outputs']['probability'] = [float('nan')] * rows"),
    "schema": """

_described = describe


def describe(predictor):
    facts = _described(predictor)
    return {**facts, "requested": [*facts["requested"], "zone"], "required": [*facts["required"], "zone"]}
""",
    "crashes": _WRAP.format(fault=f"if _calls > {PROVED}: Path(__file__ + '.crashed').touch(); os._exit(1)")
    + "\nif Path(__file__ + '.crashed').exists():\n    os._exit(1)\n",
    "never ready": "\n__import__('time').sleep(600)\n",
    "wrong": _WRAP.format(
        fault="if _calls > 1: found['outputs']['probability'] = [p + 0.001 for p in found['outputs']['probability']]"
    ),
    "none": "\n# as it is\n",
}
"""Code that is added to the service's module, by the name of the fault."""


def spoil(settings: Settings, version: int, fault: str) -> None:
    """Build a fault into the bento of a version of the demo model, and sign it again."""
    (folder,) = settings.bentoml_home.glob(f"bentos/demo/v{version}-*/")
    server = folder / "src" / "pipelines" / "inference" / "service" / "server.py"
    for path in (folder, server.parent, server, *folder.glob("manifest.*")):
        path.chmod(0o700)
    server.write_text(server.read_text() + FAULTS[fault])
    write_manifest(Path(folder), signing_key(settings).read_bytes())
