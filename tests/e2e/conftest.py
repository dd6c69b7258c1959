"""End-to-end tests prove what users see; their processes are not measured for coverage."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def end_to_end(unmeasured: None) -> None:
    """Measure nothing."""
