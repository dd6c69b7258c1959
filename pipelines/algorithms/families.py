"""A family by its name, imported when it is asked for."""

from __future__ import annotations

from importlib.util import find_spec
from pkgutil import resolve_name

from pipelines.algorithms.base import Family
from pipelines.algorithms.registry import ALGORITHMS
from pipelines.errors import SpecError


def family(name: str) -> Family:
    """Return the family called ``name``; its library is looked for but not imported.

    Raises
    ------
    SpecError
        If no family has that name, or its library is not installed.
    """
    algorithm = ALGORITHMS.get(name)
    if algorithm is None:
        raise SpecError(
            "unknown estimator family",
            where="TuneSpec.families",
            seen=name,
            expected=", ".join(ALGORITHMS),
            cure="name families of pipelines/algorithms",
        )
    missing = [need for need in algorithm.needs if find_spec(need) is None]
    if missing:
        package = algorithm.extra or missing[0]
        raise SpecError(
            f"the family {name} needs a library that is not installed",
            where="TuneSpec.families",
            seen=f"no module {', '.join(missing)}",
            expected=f"the package {package}",
            cure=f"pip install {package}, or leave {name} out of TuneSpec.families",
        )
    made: Family = resolve_name(algorithm.learner)()
    return made
