"""Members as nodes of an ONNX graph, in double precision: the same numbers in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.exchange.onnx_graph import needed
from pipelines.inference.members.linear import ColumnAdapter

Array = NDArray[np.float64]
OPSET, ML_OPSET = 21, 5
LESS_OR_EQUAL, MEMBER = 0, 6
"""Numbers of the modes of ``TreeEnsemble``: ``x <= split``, and ``x`` in a set."""


class Builder:
    """Collects the nodes of a graph; every method returns the name of what it adds."""

    def __init__(self) -> None:
        self.onnx = needed("onnx")
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def name(self, what: str) -> str:
        """Return a name that nothing has yet."""
        return f"{what}_{len(self.nodes) + len(self.constants)}"

    def constant(self, value: Any, dtype: Any = np.float64) -> str:
        """Add a constant."""
        made = self.onnx.numpy_helper.from_array(np.asarray(value, dtype=dtype), self.name("constant"))
        self.constants.append(made)
        return str(made.name)

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add an operator with one output."""
        output = self.name(operator.lower())
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), [output], domain=domain, **attributes))
        return output

    def weighted_sum(self, parts: Sequence[tuple[float, str]]) -> str:
        """Add the sum of weight × part, in order."""
        scaled = [part if weight == 1.0 else self.node("Mul", part, self.constant(weight)) for weight, part in parts]
        total = scaled[0]
        for part in scaled[1:]:
            total = self.node("Add", total, part)
        return total

    def columns(self, X: str, indices: Sequence[int]) -> str:
        """Add columns of (n, p) as (n, k)."""
        return self.node("Gather", X, self.constant(indices, np.int64), axis=1)

    def both(self, upper: str) -> str:
        """Add probabilities (n, 2) from those of class 1, (n, 1)."""
        return self.node("Concat", self.node("Sub", self.constant(1.0), upper), upper, axis=1)

    def probabilities(self, scores: str, present: Sequence[int], classes: int) -> str:
        """Add probabilities (n, classes) from scores (n, 1) of two classes, or (n, k)."""
        known = self.both(self.node("Sigmoid", scores)) if len(present) == 2 else self.node("Softmax", scores, axis=1)
        if len(present) == classes:
            return known
        place = np.zeros((len(present), classes))
        place[np.arange(len(present)), list(present)] = 1.0
        return self.node("MatMul", known, self.constant(place))

    def design(self, X: str, adapters: Sequence[ColumnAdapter]) -> str:
        """Add the design matrix (n, width) of adapters, see :class:`pipelines.inference.members.linear.Design`."""
        parts = []
        for adapter in adapters:
            cell = self.columns(X, [adapter.column])
            if adapter.kind == "code":
                same = self.node("Equal", cell, self.constant([[float(level) for level in adapter.levels]]))
                parts.append(self.node("Cast", same, to=self.onnx.TensorProto.DOUBLE))
                continue
            missing = self.node("IsNaN", cell)
            number = self.node("Where", missing, self.constant(adapter.fill), cell)
            if len(adapter.knots) > 2:
                low, size, bounds = adapter.knots[:-1], np.diff(np.asarray(adapter.knots)), (0.0, 1.0)
            else:
                low, size, bounds = [adapter.mean], np.array([adapter.scale]), (-adapter.cut, adapter.cut)
            ramp = self.node("Div", self.node("Sub", number, self.constant([low])), self.constant(size[None, :]))
            parts.append(self.node("Clip", ramp, self.constant(bounds[0]), self.constant(bounds[1])))
            if adapter.flag:
                parts.append(self.node("Cast", missing, to=self.onnx.TensorProto.DOUBLE))
        return self.node("Concat", *parts, axis=1)

    def layer(self, rows: str, weights: Array, bias: Array) -> str:
        """Add ``rows @ weights + bias``."""
        return self.node("Add", self.node("MatMul", rows, self.constant(weights)), self.constant(bias))

    def trees(self, X: str, trees: Sequence[Tree], targets: int) -> str:
        """Add the sums of leaves (n, targets); tree i counts for target ``i % targets``."""
        return self.node("TreeEnsemble", X, domain="ai.onnx.ml", **_ensemble(self.onnx, trees, targets))

    def model(self, inputs: Sequence[Any], outputs: Sequence[Any], doc: str) -> Any:
        """Return the finished model, checked."""
        graph = self.onnx.helper.make_graph(self.nodes, "aimass", list(inputs), list(outputs), self.constants)
        opsets = [self.onnx.helper.make_opsetid("", OPSET), self.onnx.helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        made = self.onnx.helper.make_model(graph, opset_imports=opsets, producer_name="aimass", doc_string=doc)
        made.ir_version = 10
        self.onnx.checker.check_model(made)
        return made


class Tree:
    """One decision tree: nodes in order of their numbers, leaves apart.

    Parameters
    ----------
    split
        (feature, threshold or codes, left, right, nan_left) of each inner node; a child below 0 is the leaf ``~child``.
    leaves
        Value of each leaf.
    """

    def __init__(self, split: Sequence[tuple[int, Any, int, int, bool]], leaves: Sequence[float]) -> None:
        self.split, self.leaves = list(split), list(leaves)


def _ensemble(onnx: Any, trees: Sequence[Tree], targets: int) -> dict[str, Any]:
    """Return the attributes of one ``TreeEnsemble`` (version 5 of ai.onnx.ml)."""
    features: list[int] = []
    modes: list[int] = []
    splits: list[float] = []
    children: dict[bool, list[int]] = {True: [], False: []}
    is_leaf: dict[bool, list[int]] = {True: [], False: []}
    missing: list[int] = []
    members: list[float] = []
    weights: list[float] = []
    target_of: list[int] = []
    roots: list[int] = []
    for number, tree in enumerate(trees):
        first, first_leaf = len(features), len(weights)
        weights += tree.leaves
        target_of += [number % targets] * len(tree.leaves)
        roots.append(first)
        # a tree of one leaf has no inner node: both sides of a split that decides nothing are that leaf
        for feature, threshold, left, right, nan_left in tree.split or [(0, 0.0, ~0, ~0, True)]:
            features.append(feature)
            codes = threshold if isinstance(threshold, list) else None
            modes.append(LESS_OR_EQUAL if codes is None else MEMBER)
            splits.append(float(threshold) if codes is None else 0.0)
            members += [] if codes is None else [*map(float, codes), np.nan]
            missing.append(int(nan_left))
            for side, child in ((True, left), (False, right)):
                is_leaf[side].append(int(child < 0))
                children[side].append(first_leaf + ~child if child < 0 else first + child)

    def tensor(values: Any, dtype: Any) -> Any:
        return onnx.numpy_helper.from_array(np.asarray(values, dtype=dtype))

    found = {
        "n_targets": targets,
        "aggregate_function": 1,
        "post_transform": 0,
        "tree_roots": roots,
        "nodes_featureids": features,
        "nodes_modes": tensor(modes, np.uint8),
        "nodes_splits": tensor(splits, np.float64),
        "nodes_truenodeids": children[True],
        "nodes_trueleafs": is_leaf[True],
        "nodes_falsenodeids": children[False],
        "nodes_falseleafs": is_leaf[False],
        "nodes_missing_value_tracks_true": missing,
        "leaf_targetids": target_of,
        "leaf_weights": tensor(weights, np.float64),
    }
    return found | ({"membership_values": tensor(members, np.float64)} if members else {})
