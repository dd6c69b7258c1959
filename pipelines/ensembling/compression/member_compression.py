"""Smaller members with nearly the same predictions: fewer trees, and fewer digits in leaves and thresholds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from pipelines.algorithms.base import Array
from pipelines.inference.members.boosters import LightGBMMember
from pipelines.inference.members.catboost import CatBoostMember
from pipelines.inference.members.registry import Member
from pipelines.inference.trees.forests import TreesMember

LEAF_DIGITS = 5
"""Significant digits of a leaf."""
NOTE_DIGITS = 3
"""Significant digits of what LightGBM notes for its own reports."""
NOTES = ("split_gain", "leaf_weight", "internal_value", "internal_weight")
ZERO = 1e-30
"""LightGBM writes a threshold of about 1e-35 to tell zero from the numbers below; it stays as it is."""
LONGEST = 17
"""Digits that write any float exactly."""


def has_trees(member: Member) -> bool:
    """Whether the member can be made smaller here."""
    if isinstance(member, TreesMember):
        return member.rule == "mean"
    return isinstance(member, LightGBMMember | CatBoostMember)


def fewer_trees(member: Member, share: float) -> Member | None:
    """Return the member with the first ``share`` of its trees; None if it has no trees to spare."""
    if isinstance(member, LightGBMMember):
        grown = int(member.booster.current_iteration())
        left = max(1, round(grown * share))
        return _booster(member, member.booster.model_to_string(num_iteration=left)) if left < grown else None
    if isinstance(member, CatBoostMember):
        grown = int(member.model.tree_count_)
        left = max(1, round(grown * share))
        return _catboost(member, left) if left < grown else None
    if not isinstance(member, TreesMember) or member.rule != "mean":
        return None
    grown = len(member.roots)
    left = max(1, round(grown * share))
    if left >= grown:
        return None
    nodes = int(member.roots[left])
    leaves = int((member.left[:nodes] == np.arange(nodes)).sum())
    return type(member)(
        member.feature[:nodes],
        member.threshold[:nodes],
        member.left[:nodes],
        member.right[:nodes],
        member.nan_left[:nodes],
        member.leaf_values[:leaves],
        member.roots[:left],
        member.depth,
        member.classes,
        member.rule,
    )


def shorter_numbers(member: Member, X: Array) -> Member | None:
    """Return the member with leaves of ``LEAF_DIGITS`` digits and the shortest thresholds that send all rows alike.

    Parameters
    ----------
    X
        (n, p) rows; thresholds of columns from p on stay as they are.
    """
    if isinstance(member, LightGBMMember):
        return _booster(member, _shorter_text(member.booster.model_to_string(num_iteration=-1), member.read(X)))
    if not isinstance(member, TreesMember) or member.rule != "mean":
        return None
    # Rows are compared in single precision: rounding a threshold down to it changes no comparison.
    with np.errstate(over="ignore"):
        single = member.threshold.astype(np.float32)
    single = np.where(single > member.threshold, np.nextafter(single, np.float32(-np.inf)), single)
    leaves = _significant(member.leaf_values, LEAF_DIGITS).astype(np.float32)
    thresholds, values = cast(Array, single), cast(Array, leaves)  # half the bytes; they count as any other float
    return type(member)(
        member.feature,
        thresholds,
        member.left,
        member.right,
        member.nan_left,
        values,
        member.roots,
        member.depth,
        member.classes,
        member.rule,
    )


def _catboost(member: CatBoostMember, left: int) -> CatBoostMember:
    model = member.model.copy()
    model.shrink(left)
    return type(member)(model, member.numbers, member.codes, member.present, member.classes, member.link)


def _booster(member: LightGBMMember, text: str) -> LightGBMMember:
    import lightgbm  # a member without it needs no LightGBM here either

    return type(member)(lightgbm.Booster(model_str=text), member.classes)


def _shorter_text(text: str, X: Array) -> str:
    """Shorten every tree of LightGBM's text; the list of the trees' lengths is made again."""
    head, *trees = re.split(r"(?m)^(?=Tree=\d+$)", text)
    last, end, tail = trees[-1].partition("end of trees")
    columns = [np.unique(column[np.isfinite(column)]) for column in X.T]
    known: dict[tuple[int, str], str] = {}  # trees split a column at the same few thresholds
    trees = [_shorter_tree(tree, columns, known) for tree in (*trees[:-1], last)]
    sizes = " ".join(str(len(tree.encode())) for tree in trees)
    return re.sub(r"(?m)^tree_sizes=.*$", f"tree_sizes={sizes}", head) + "".join(trees) + end + tail


def _shorter_tree(tree: str, columns: list[Array], known: dict[tuple[int, str], str]) -> str:
    rows = dict(line.split("=", 1) for line in tree.splitlines() if "=" in line)

    def change(name: str, how: Callable[[list[str]], list[str]]) -> None:
        nonlocal tree
        if rows.get(name):
            tree = tree.replace(f"\n{name}={rows[name]}\n", f"\n{name}={' '.join(how(rows[name].split()))}\n")

    for name in NOTES:
        change(name, lambda values: [_digits(float(value), NOTE_DIGITS) for value in values])
    if "leaf_features" not in rows:  # linear trees keep their numbers
        change("leaf_value", lambda values: [_digits(float(value), LEAF_DIGITS) for value in values])
    if rows.get("threshold"):
        kinds = [int(value) for value in rows["decision_type"].split()]
        features = [int(value) for value in rows["split_feature"].split()]
        given = rows["threshold"].split()
        shortened = list(given)
        for index, (value, kind, feature) in enumerate(zip(given, kinds, features, strict=True)):
            if kind & 1 or feature >= len(columns):
                continue
            if (feature, value) not in known:
                known[feature, value] = _between(value, columns[feature])
            shortened[index] = known[feature, value]
        change("threshold", lambda values: shortened)
    return tree


def _between(text: str, values: Array) -> str:
    """Return the shortest number that parts the sorted distinct values as the given one does."""
    value = float(text)
    if abs(value) < ZERO or not np.isfinite(value):
        return text
    above = int(np.searchsorted(values, value, side="right"))
    low = values[above - 1] if above else -np.inf
    high = values[above] if above < len(values) else np.inf
    for digits in range(1, LONGEST):
        short = _digits(value, digits)
        if low <= float(short) < high:
            return short
    return text


def _digits(value: float, digits: int) -> str:
    return f"{value:.{digits}g}"


def _significant(values: Array, digits: int) -> Array:
    with np.errstate(divide="ignore"):
        size = np.where(values == 0.0, 0.0, np.floor(np.log10(np.abs(values))))
    unit: Any = 10.0 ** (digits - 1 - size)
    return np.asarray(np.round(values * unit) / unit)
