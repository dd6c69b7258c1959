"""Which members become nodes of an ONNX graph, and how; the others say why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pipelines.exchange.onnx_builder import Builder, Tree
from pipelines.inference.ensemble.combine import SUMS
from pipelines.inference.ensemble.ensemble import Ensemble
from pipelines.inference.members.boosters import LightGBMMember, XGBoostMember
from pipelines.inference.members.combination_nodes import BAG, EnsembleNode
from pipelines.inference.members.linear import LinearMember, softmax
from pipelines.inference.members.mlp import NetworkMember
from pipelines.inference.members.registry import Rescaled
from pipelines.inference.trees.forests import TreesMember


class NotConvertedError(Exception):
    """A member has no form in ONNX here; the text says which part and why."""


def why_not(ensemble: Ensemble) -> list[str]:
    """Return why an ensemble cannot become a graph, one line for each member or part; empty if it can."""
    faults = []
    for place, node in enumerate(ensemble.nodes):
        builder = Builder()
        try:
            _node(builder, node, "X", ["P"] * place)
        except NotConvertedError as reason:
            faults.append(f"member {place} ({node.family}): {reason}")
    kind = ensemble.combine["kind"]
    if kind not in SUMS:
        faults.append(f"the combination {kind!r} is no weighted sum")
    if ensemble.calibration and ensemble.calibration["kind"] not in ("temperature", "platt"):
        faults.append(f"the calibration {ensemble.calibration['kind']!r} is a curve, which ONNX has no operator for")
    return faults


def convert(builder: Builder, ensemble: Ensemble, X: str) -> str:
    """Add an ensemble; return the name of its output, (n, 1) numbers or (n, classes) probabilities."""
    outputs: list[str] = []
    for node in ensemble.nodes:
        outputs.append(_node(builder, node, X, outputs))
    weights = ensemble.combine["weights"]
    total = builder.weighted_sum([(w, made) for w, made in zip(weights, outputs, strict=True) if w != 0.0])
    calibration = ensemble.calibration
    if calibration is None:
        return total
    clipped = builder.node("Clip", total, builder.constant(1e-7), builder.constant(1.0))
    scores = builder.node("Mul", builder.node("Log", clipped), builder.constant(calibration["scale"]))
    if calibration["kind"] == "platt":
        scores = builder.node("Add", scores, builder.constant([calibration["shift"]]))
    return builder.node("Softmax", scores, axis=1)


def _node(builder: Builder, node: EnsembleNode, X: str, before: list[str]) -> str:
    if node.reads or node.base is not None:
        raise NotConvertedError("it reads the predictions of other members")
    if node.kind not in ("member", BAG):
        raise NotConvertedError(f"a {node.kind} node is not converted")
    parts = [_member(builder, part, X) for part in node.parts]
    if len(parts) == 1:
        return parts[0]
    return builder.node("Div", builder.weighted_sum([(1.0, part) for part in parts]), builder.constant(len(parts)))


def _member(builder: Builder, member: Any, X: str) -> str:
    if isinstance(member, Rescaled):
        raw = builder.node("Div", _member(builder, member.member, X), builder.constant([member.weights]))
        return builder.node("Div", raw, builder.node("ReduceSum", raw, builder.constant([1], np.int64), keepdims=1))
    for kind, made in CONVERTERS.items():
        if isinstance(member, kind):
            return made(builder, member, X)
    raise NotConvertedError(f"there is no conversion of the family {member.family!r}")


def _booster(builder: Builder, member: LightGBMMember, X: str) -> str:
    convert_scores = member._convert
    if convert_scores is None:
        raise NotConvertedError("only LightGBM itself has its objective")
    if isinstance(member, XGBoostMember):
        X = _single(builder, X)
    dumped = member.booster.dump_model()
    sums = builder.trees(X, [_tree(each) for each in dumped["tree_info"]], int(dumped["num_tree_per_iteration"]))
    if member.classes == 2:
        return builder.both(builder.node("Sigmoid", sums))
    if convert_scores is softmax:
        return builder.node("Softmax", sums, axis=1)
    return builder.node("Exp", sums) if convert_scores is np.exp else sums


def _single(builder: Builder, X: str) -> str:
    """Add rows rounded to single precision."""
    rounded = builder.node("Cast", X, to=builder.onnx.TensorProto.FLOAT)
    return builder.node("Cast", rounded, to=builder.onnx.TensorProto.DOUBLE)


def _tree(info: Mapping[str, Any]) -> Tree:
    """Return one tree of LightGBM's dump."""
    split: list[Any] = []
    leaves: list[float] = []

    def number(node: Mapping[str, Any]) -> int:
        if "leaf_value" in node:
            leaves.append(float(node["leaf_value"]))
            return ~(len(leaves) - 1)
        place = len(split)
        split.append(None)
        missing, threshold = node["missing_type"], node["threshold"]
        if node["decision_type"] == "==":
            codes: Any = [int(code) for code in str(threshold).split("||")]
            nan_left = missing != "NaN" and 0 in codes
        elif missing == "Zero":
            raise NotConvertedError("LightGBM learned it with zero_as_missing")
        else:
            codes = float(threshold)
            nan_left = bool(node["default_left"]) if missing == "NaN" else codes >= 0.0
        left, right = number(node["left_child"]), number(node["right_child"])
        split[place] = (int(node["split_feature"]), codes, left, right, nan_left)
        return place

    number(info["tree_structure"])
    return Tree(split, leaves)


def _forest(builder: Builder, member: TreesMember, X: str) -> str:
    if member.rule == "median":
        raise NotConvertedError("the weighted median of its trees has no operator in ONNX")
    outputs, ends = member.leaf_values.shape[1], [*member.roots[1:].tolist(), len(member.feature)]
    leaf_number = np.cumsum(member._is_leaf) - 1
    trees = []
    for start, end in zip(member.roots.tolist(), ends, strict=True):
        inner = {node: place for place, node in enumerate(i for i in range(start, end) if not member._is_leaf[i])}
        first = int(leaf_number[next(i for i in range(start, end) if member._is_leaf[i])])

        def child(node: int, inner: dict[int, int] = inner, first: int = first) -> int:
            return inner[node] if node in inner else ~(int(leaf_number[node]) - first)

        split = [
            (int(member.feature[i]), float(member.threshold[i]), child(int(member.left[i])),
             child(int(member.right[i])), bool(member.nan_left[i]))
            for i in inner
        ]  # fmt: skip
        own = [int(leaf_number[i]) for i in range(start, end) if member._is_leaf[i]]
        trees += [Tree(split, member.leaf_values[own, output].tolist()) for output in range(outputs)]
    total = builder.trees(_single(builder, X), trees, outputs)
    if member.rule == "mean":
        total = builder.node("Div", total, builder.constant(float(len(member.roots))))
    elif member.bias is not None:
        total = builder.node("Add", total, builder.constant([member.bias]))
    if member.classes == 0:
        return total
    if member.rule == "scores":
        total = builder.node("Sigmoid", total) if member.classes == 2 else builder.node("Softmax", total, axis=1)
    return builder.both(total) if member.classes == 2 else total


def _linear(builder: Builder, member: LinearMember, X: str) -> str:
    scores = builder.layer(builder.design(X, member.adapters), member.coefficients, member.intercept)
    return _predictions(builder, member, scores)


def _network(builder: Builder, member: NetworkMember, X: str) -> str:
    design, parts = builder.design(X, member.adapters), []
    for weights, biases in member.networks:
        rows = design
        for index, (layer, bias) in enumerate(zip(weights, biases, strict=True)):
            rows = builder.layer(rows, layer, bias)
            rows = rows if index == len(weights) - 1 else builder.node("Relu", rows)
        parts.append(_predictions(builder, member, rows))
    return builder.node("Div", builder.weighted_sum([(1.0, part) for part in parts]), builder.constant(len(parts)))


def _predictions(builder: Builder, member: LinearMember | NetworkMember, scores: str) -> str:
    if member.classes:
        if len(member.present) < 2:
            raise NotConvertedError("it knows one class only")
        return builder.probabilities(scores, member.present, member.classes)
    if member.span is None:
        return scores
    return builder.node("Clip", scores, builder.constant(member.span[0]), builder.constant(member.span[1]))


CONVERTERS: dict[type, Callable[[Builder, Any, str], str]] = {
    LightGBMMember: _booster,
    TreesMember: _forest,
    LinearMember: _linear,
    NetworkMember: _network,
}
"""Kind of member → what adds it."""
