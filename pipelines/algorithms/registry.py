"""The algorithms by name: what must be known of each without importing it, and where it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from pipelines.spec import CLASSIFICATION

SUPERVISED = CLASSIFICATION | {"regression"}
CLUSTERING, REDUCTION = frozenset({"clustering"}), frozenset({"reduction"})


@dataclass(frozen=True)
class Algorithm:
    """One algorithm of the search and of a model directory; its modules are imported where they are used."""

    name: str
    learner: str
    """``module:Class`` of its family, :class:`pipelines.algorithms.base.Family`."""
    member: str
    """``module:Class`` of what predicts, with ``load``; it lies in ``pipelines.inference``, which a service carries."""
    tasks: frozenset[str] = SUPERVISED
    """What it can learn: of binary, multiclass, regression, clustering, reduction."""
    trees: bool = False
    """Whether what it learns is trees."""
    needs: tuple[str, ...] = ()
    """Modules that must be importable to fit it."""
    extra: str | None = None
    """Package to install where one of ``needs`` is missing; None: its modules come with this project."""
    runtime: str | None = None
    """Package that its members need to predict, beyond those that every version has."""
    stored_as: str = ""
    """Name of its members in ``model.json``; empty: its own."""

    @property
    def stored(self) -> str:
        """The name of its members in ``model.json``."""
        return self.stored_as or self.name

    def member_class(self) -> Any:
        """Return the class of its members."""
        return resolve_name(self.member)


ALGORITHMS: dict[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm(
            "lightgbm", "pipelines.algorithms.lightgbm:LightGBM", "pipelines.inference.members.boosters:LightGBMMember",
            trees=True, needs=("lightgbm",), extra="lightgbm",
        ),
        Algorithm(
            "xgboost", "pipelines.algorithms.xgboost:XGBoost", "pipelines.inference.members.boosters:XGBoostMember",
            trees=True, needs=("xgboost", "lightgbm"), extra="xgboost-cpu",
        ),
        Algorithm(
            "catboost", "pipelines.algorithms.catboost:CatBoost", "pipelines.inference.members.catboost:CatBoostMember",
            trees=True, needs=("catboost",), extra="catboost", runtime="catboost",
        ),
        Algorithm(
            "random_forest", "pipelines.algorithms.random_forest:RandomForest",
            "pipelines.inference.trees.forests:RandomForestMember", trees=True, needs=("sklearn", "lightgbm"),
        ),
        Algorithm(
            "extra_trees", "pipelines.algorithms.extra_trees:ExtraTrees",
            "pipelines.inference.trees.forests:TreesMember",
            trees=True, needs=("sklearn", "lightgbm"),
        ),
        Algorithm(
            "decision_tree", "pipelines.algorithms.decision_tree:DecisionTree",
            "pipelines.inference.trees.forests:DecisionTreeMember", trees=True, needs=("sklearn", "lightgbm"),
        ),
        Algorithm(
            "adaboost", "pipelines.algorithms.adaboost:AdaBoost", "pipelines.inference.trees.forests:AdaBoostMember",
            trees=True, needs=("sklearn", "lightgbm"),
        ),
        Algorithm(
            "linear", "pipelines.algorithms.linear:Linear", "pipelines.inference.members.linear:LinearMember",
            needs=("sklearn",),
        ),
        Algorithm(
            "svm", "pipelines.algorithms.svm:Svm", "pipelines.inference.members.svm:SvmMember",
            needs=("scipy", "sklearn"),
        ),
        Algorithm(
            "nearest_neighbours", "pipelines.algorithms.nearest_neighbours:NearestNeighbours",
            "pipelines.inference.members.neighbours:NeighboursMember",
        ),
        Algorithm(
            "mlp", "pipelines.algorithms.mlp:Mlp", "pipelines.inference.members.mlp:NetworkMember", needs=("sklearn",)
        ),
        Algorithm(
            "kmeans", "pipelines.algorithms.kmeans:KMeans", "pipelines.inference.members.unsupervised:ClustersMember",
            CLUSTERING, needs=("sklearn",), stored_as="clusters",
        ),
        Algorithm(
            "dbscan", "pipelines.algorithms.dbscan:Dbscan", "pipelines.inference.members.unsupervised:ClustersMember",
            CLUSTERING, needs=("sklearn",), stored_as="clusters",
        ),
        Algorithm(
            "pca", "pipelines.algorithms.pca:PcaFamily", "pipelines.inference.members.unsupervised:ProjectionMember",
            REDUCTION, stored_as="projection",
        ),
    )
}  # fmt: skip


IMPORTED = {
    "onnx": Algorithm(
        "onnx", "", "pipelines.inference.members.onnx:OnnxMember", extra="onnxruntime", runtime="onnxruntime"
    )
}
"""What no night learns: members of models that were made elsewhere."""


def algorithms_for(task: str) -> tuple[str, ...]:
    """Return the names of the algorithms that can learn a task, installed or not."""
    return tuple(name for name, algorithm in ALGORITHMS.items() if task in algorithm.tasks)


def stored_members() -> Mapping[str, Algorithm]:
    """Return an algorithm for each name that members have in ``model.json``."""
    return {algorithm.stored: algorithm for algorithm in (*ALGORITHMS.values(), *IMPORTED.values())}
