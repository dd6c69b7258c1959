"""Which domain a model belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipelines.ledger import Ledger

EVERYWHERE = "*"
"""The domain of all models: the whole installation."""


def domains_of(ledger: Ledger, models: Iterable[str], said: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the domain of each model.

    It is the one that the catalog names; else the longest one with roles that the model's name begins with: once
    ``sales`` is one, ``sales`` and ``sales_churn`` belong to it; else the whole installation.

    Parameters
    ----------
    said
        Domain by model, in place of what the catalog names.
    """
    said = ledger.catalog_domains() if said is None else said
    known = sorted(ledger.role_domains() - {EVERYWHERE}, key=len, reverse=True)
    written = {each.casefold(): each for each in known}  # Sales and sales are one domain
    return {
        model: written.get(said[model].casefold(), said[model])
        if model in said
        else next((each for each in known if model == each or model.startswith(f"{each}_")), EVERYWHERE)
        for model in models
    }


def domain_of(ledger: Ledger, model: str) -> str:
    """Return the domain of a model."""
    return domains_of(ledger, [model])[model]
