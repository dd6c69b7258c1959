"""Faults are planted in whole stages; they are not measured for coverage."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def unmeasured(untraced: None) -> None:
    """Measure nothing."""
