"""The link of a regression on numbers that are never negative: they are learned as they are, or by their logarithm."""

from __future__ import annotations

from optuna.distributions import BaseDistribution, CategoricalDistribution

from pipelines.algorithms.base import Params, TaskInfo

LINK = "link"
"""Name of the setting."""


def link_space(shape: TaskInfo) -> dict[str, BaseDistribution]:
    """Return the choice of a link for numbers that are never negative: their mean, or its logarithm (Poisson)."""
    return {LINK: CategoricalDistribution(("identity", "log"))} if shape.nonnegative else {}


def with_links(shape: TaskInfo, portfolio: tuple[Params, ...]) -> tuple[Params, ...]:
    """Return the portfolio with the first configuration under both links, where there is a choice."""
    if not shape.nonnegative:
        return portfolio
    first, *others = portfolio
    return {**first, LINK: "identity"}, {**first, LINK: "log"}, *({**other, LINK: "log"} for other in others)
