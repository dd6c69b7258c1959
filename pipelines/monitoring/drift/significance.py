"""How surely a distance is more than chance: null distributions of any number of bins, and many columns at once."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pipelines.population_stability import FLOOR

Array = npt.NDArray[np.float64]
DRAWS = 1_000
EXCEEDED = 10
"""Draws beyond a distance from which their share is its p-value; with fewer, it is that of a fitted gamma tail."""
PRIOR = 0.5
"""Rows that each bin of a reference has besides its own when it is drawn from (Jeffreys)."""
CELLS = 2_000_000
"""Cells of draws that are held at a time."""


def psi(expected: Array, actual: Array) -> Array:
    """Return the population stability index over the last axis; see :mod:`pipelines.population_stability`."""
    e, a = np.maximum(expected, FLOOR), np.maximum(actual, FLOOR)
    return np.asarray(((a - e) * np.log(a / e)).sum(axis=-1))


def jensen_shannon(expected: Array, actual: Array) -> Array:
    """Return the Jensen-Shannon divergence in bits, from 0 to 1, over the last axis (Lin 1991)."""
    middle = (expected + actual) / 2.0
    return np.asarray((_relative(expected, middle) + _relative(actual, middle)) / 2.0)


def p_values(shares: Array, actual: Array, rows: float, reference_rows: float | None, name: str) -> tuple[float, float]:
    """Return the p-values of PSI and Jensen-Shannon divergence if nothing has changed.

    Both sides are drawn ``DRAWS`` times from the expected shares, the reference too where its size is known.

    Parameters
    ----------
    shares, actual
        (bins,) expected and seen.
    rows
        Independent rows that the window is worth.
    reference_rows
        Rows of the reference; None: taken as exact.
    name
        Of the column: the draws are the same whenever it is judged.
    """
    random = np.random.default_rng(zlib.crc32(name.encode("utf-8", "surrogatepass")))
    even = shares / shares.sum()
    if reference_rows is not None:  # a bin that no training row was in is rare, not impossible
        even = (even * reference_rows + PRIOR) / (reference_rows + PRIOR * len(even))
    found: dict[str, list[Array]] = {"psi": [], "js": []}
    size = max(1, min(DRAWS, CELLS // len(even)))
    for start in range(0, DRAWS, size):
        many = min(size, DRAWS - start)
        drawn = _drawn(random, rows, even, many)
        expected = even if reference_rows is None else _drawn(random, reference_rows, even, many)
        found["psi"].append(psi(expected, drawn))
        found["js"].append(jensen_shannon(np.broadcast_to(expected, drawn.shape), drawn))
    return (
        _tail(np.concatenate(found["psi"]), float(psi(shares, actual))),
        _tail(np.concatenate(found["js"]), float(jensen_shannon(shares, actual))),
    )


def surge_p_value(share: float, expected: float, rows: float, reference_rows: float | None) -> float:
    """Return the p-value of a share that large, by the beta-binomial distribution of what the reference knows."""
    from scipy.stats import betabinom, binom

    seen, n = round(share * rows), max(1, round(rows))
    if seen == 0:
        return 1.0
    if reference_rows is None:
        return float(binom.sf(seen - 1, n, expected))
    known = expected * reference_rows
    return float(betabinom.sf(seen - 1, n, known + 0.5, reference_rows - known + 0.5))


def discoveries(p: Mapping[str, float], rate: float) -> set[str]:
    """Return the names whose p-values pass at this false discovery rate (Benjamini and Hochberg 1995)."""
    ordered: Sequence[tuple[float, str]] = sorted((value, name) for name, value in p.items())
    last = 0
    for rank, (value, _) in enumerate(ordered, start=1):
        if value <= rate * rank / len(ordered):
            last = rank
    return {name for _, name in ordered[:last]}


def _drawn(random: np.random.Generator, rows: float, shares: Array, many: int) -> Array:
    whole = max(2, round(rows))
    return np.asarray(random.multinomial(whole, shares, size=many) / whole)


def _relative(one: Array, middle: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(one > 0, one * np.log2(one / middle), 0.0)
    return np.asarray(terms.sum(axis=-1))


def _tail(drawn: Array, seen: float) -> float:
    from scipy.stats import gamma

    beyond = int((drawn >= seen).sum())
    share = (beyond + 1) / (len(drawn) + 1)
    mean, variance = float(drawn.mean()), float(drawn.var())
    if beyond >= EXCEEDED:
        return share
    if variance <= 0:
        return 0.0
    return float(min(share, gamma.sf(seen, mean**2 / variance, scale=variance / mean)))
