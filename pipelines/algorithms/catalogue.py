"""The families by name. A family is added by one file and one line here, and a loader if it has a format of its own."""

from __future__ import annotations

from importlib import import_module

from pipelines.algorithms.base import Family
from pipelines.errors import SpecError

FAMILIES: dict[str, str] = {
    "lightgbm": "pipelines.algorithms.lightgbm:LightGBM",
    "extra_trees": "pipelines.algorithms.extra_trees:ExtraTrees",
    "linear": "pipelines.algorithms.linear:Linear",
}


def family(name: str) -> Family:
    """Give the family called ``name``; only its own library is imported.

    Raises
    ------
    SpecError
        If no family has that name, or its library is not installed.
    """
    if name not in FAMILIES:
        raise SpecError(
            "unknown estimator family",
            where="TuneSpec.families",
            seen=name,
            expected=", ".join(FAMILIES),
            cure="name families of pipelines/algorithms",
        )
    module, _, attribute = FAMILIES[name].partition(":")
    try:
        made: Family = getattr(import_module(module), attribute)()
    except ModuleNotFoundError as error:
        raise SpecError(
            f"the family {name} needs a library that is not installed",
            where="TuneSpec.families",
            seen=str(error),
            cure=f"install it, or leave {name} out of TuneSpec.families",
        ) from None
    return made
