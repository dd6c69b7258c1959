"""Which domain a model belongs to."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.ledger import Ledger

EVERYWHERE = "*"
"""The domain of all models: the whole installation."""


def domains_of(ledger: Ledger, models: Iterable[str]) -> dict[str, str]:
    """Return the domain of each model: the longest one that its name begins with, else the whole installation.

    Domains are those in which roles were granted: once ``sales`` is one, ``sales`` and ``sales_churn`` belong to it.
    """
    known = sorted(ledger.role_domains() - {EVERYWHERE}, key=len, reverse=True)
    return {
        model: next((each for each in known if model == each or model.startswith(f"{each}_")), EVERYWHERE)
        for model in models
    }


def domain_of(ledger: Ledger, model: str) -> str:
    """Return the domain of a model."""
    return domains_of(ledger, [model])[model]
