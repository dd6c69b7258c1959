"""The families by name. A family is added by one file and one line here, and a loader if it has a format of its own."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from pipelines.algorithms.base import Family
from pipelines.errors import SpecError

FAMILIES: dict[str, str] = {
    "lightgbm": "pipelines.algorithms.lightgbm:LightGBM",
    "xgboost": "pipelines.algorithms.xgboost:XGBoost",
    "catboost": "pipelines.algorithms.catboost:CatBoost",
    "random_forest": "pipelines.algorithms.random_forest:RandomForest",
    "extra_trees": "pipelines.algorithms.extra_trees:ExtraTrees",
    "decision_tree": "pipelines.algorithms.decision_tree:DecisionTree",
    "adaboost": "pipelines.algorithms.adaboost:AdaBoost",
    "svm": "pipelines.algorithms.svm:Svm",
    "nearest_neighbours": "pipelines.algorithms.nearest_neighbours:NearestNeighbours",
    "mlp": "pipelines.algorithms.mlp:Mlp",
    "linear": "pipelines.algorithms.linear:Linear",
}
UNSUPERVISED: dict[str, str] = {
    "kmeans": "pipelines.algorithms.kmeans:KMeans",
    "dbscan": "pipelines.algorithms.dbscan:Dbscan",
    "pca": "pipelines.algorithms.pca:Pca",
}
"""Families for rows without a target; their contract is the same, ``y`` is not read."""


def family(name: str) -> Family:
    """Give the family called ``name``; its library is looked for but not imported.

    Raises
    ------
    SpecError
        If no family has that name, or its library is not installed.
    """
    known = {**FAMILIES, **UNSUPERVISED}
    if name not in known:
        raise SpecError(
            "unknown estimator family",
            where="TuneSpec.families",
            seen=name,
            expected=", ".join(known),
            cure="name families of pipelines/algorithms",
        )
    module, _, attribute = known[name].partition(":")
    made: Family = getattr(import_module(module), attribute)()
    missing = [need for need in made.needs if find_spec(need) is None]
    if missing:
        raise SpecError(
            f"the family {name} needs a library that is not installed",
            where="TuneSpec.families",
            seen=f"no module {', '.join(missing)}",
            expected=f"the package {made.extra or missing[0]}",
            cure=f"pip install {made.extra or missing[0]}, or leave {name} out of TuneSpec.families",
        )
    return made


def families_for(task: str) -> tuple[str, ...]:
    """Name the families that can learn a task, in the order of the catalogue; installed or not."""
    named = {name: path.partition(":") for name, path in {**FAMILIES, **UNSUPERVISED}.items()}
    return tuple(
        name
        for name, (module, _, attribute) in named.items()
        if task in getattr(import_module(module), attribute).tasks
    )
