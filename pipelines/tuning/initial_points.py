"""What is tried before anything is searched: last night's, then configurations that are good everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution, CategoricalDistribution

from pipelines.algorithms.base import Family, Params, TaskInfo

MOST_WARM = 6


class Start(NamedTuple):
    """A configuration to try; ``origin`` is warm or portfolio."""

    family: str
    params: Params
    origin: str


def starts(families: Mapping[str, Family], shape: TaskInfo, warm: Sequence[Mapping[str, Any]] = ()) -> list[Start]:
    """Return the first trials in order.

    Last night's come first: they were found better than the rest of their families' portfolios, which is left out.
    Then each other family's own first configuration, then the seconds, and so on; none is tried twice.

    Parameters
    ----------
    warm
        ``{"family": …, "params": …}``, in order; those that today's families or spaces no longer hold are left out.
    """
    spaces = {name: family.space(shape) for name, family in families.items()}
    first: list[Start] = []
    for entry in warm:
        params = fitted_into(spaces.get(str(entry.get("family"))), entry.get("params"))
        if params is not None and len(first) < MOST_WARM:
            first.append(Start(str(entry["family"]), params, "warm"))
    known = {start.family for start in first}
    portfolios = {name: family.portfolio(shape) for name, family in families.items() if name not in known}
    for rank in range(max((len(portfolio) for portfolio in portfolios.values()), default=0)):
        first += [Start(name, dict(all_[rank]), "portfolio") for name, all_ in portfolios.items() if rank < len(all_)]
    return [start for index, start in enumerate(first) if start[:2] not in [earlier[:2] for earlier in first[:index]]]


def fitted_into(space: Mapping[str, BaseDistribution] | None, params: Any) -> Params | None:
    """Return a configuration as the space has it, numbers moved to its nearest end; None when it has other settings.

    A setting without a choice takes the value that it has today.
    """
    if space is None or not isinstance(params, Mapping) or set(params) != set(space):
        return None
    fitted: Params = {}
    for name, distribution in space.items():
        kind: Any = distribution
        value = params[name]
        if isinstance(distribution, CategoricalDistribution):
            if value not in kind.choices and len(kind.choices) > 1:
                return None
            fitted[name] = value if value in kind.choices else kind.choices[0]
        elif isinstance(value, bool) or not isinstance(value, int | float):
            return None
        else:
            inside = min(max(value, kind.low), kind.high)
            fitted[name] = round(inside) if isinstance(kind.low, int) else float(inside)
    return fitted
