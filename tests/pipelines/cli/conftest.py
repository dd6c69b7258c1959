"""Shares the fixtures of the deployment tests: a tiny real model, registered and packaged."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_path = Path(__file__).parents[1] / "deployment" / "conftest.py"
_spec = importlib.util.spec_from_file_location("deployment_fixtures", _path)
_shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shared)
packaged, served, tiny = _shared.packaged, _shared.served, _shared.tiny
