"""Judges a candidate against the live version by what callers' requests showed of both: errors, times, predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.deployment.spec import DeploySpec

ALPHA = 1e-4
"""Level of each test. It is small, for the arms are looked at every second: a candidate as good as the live version
must pass."""
TAIL = 0.05
"""Share of the live version's requests that are slower than its 95th percentile."""
SLOW_SHARE = 0.10
"""A candidate is slow if more of its requests than this are slower than the limit."""
FEW = 20
"""Requests of the live version from which its times are a measure."""


@dataclass
class Counts:
    """What all gateways counted of one arm; see :class:`pipelines.gateway.canary.Arm`."""

    requests: int = 0
    errors: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    ms: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    flips: int = 0

    @classmethod
    def of(cls, parts: Iterable[Mapping[str, Any]]) -> Counts:
        """Add up what gateways counted."""
        total = cls()
        for part in parts:
            total.requests += part["requests"]
            total.errors += part["errors"]
            total.faults.update(part["faults"])
            total.ms += part["ms"]
            total.values += part["values"]
            total.labels.update(part["labels"])
            total.compared += part["compared"]
            total.flips += part["flips"]
        return total


@dataclass(frozen=True)
class Judgement:
    """What the requests so far say.

    Parameters
    ----------
    faults
        Why the candidate is worse, one line each; empty if it is not seen to be.
    enough
        Whether both arms have the requests that are asked for.
    figures
        What was compared, for people.
    """

    faults: tuple[str, ...]
    enough: bool
    figures: dict[str, Any]


def judge(control: Counts, candidate: Counts, spec: DeploySpec, *, alone: bool = False) -> Judgement:
    """Compare a candidate with the live version.

    A fault needs both: a difference that matters, by the limits of the spec, and one that chance does not explain, by
    an exact or a rank test at level 1e-4.

    Parameters
    ----------
    alone
        All callers reach the candidate: the control is of the shares before.
    """
    figures: dict[str, Any] = {
        name: {
            "requests": arm.requests,
            "errors": arm.errors,
            "p50_ms": _quantile(arm.ms, 0.5),
            "p95_ms": _quantile(arm.ms, 0.95),
        }
        for name, arm in (("control", control), ("candidate", candidate))
    }
    if candidate.compared:
        figures["flips"] = round(candidate.flips / candidate.compared, 4)
    faults = [
        *_more_errors(control, candidate, spec),
        *_slower(control, candidate, spec),
        *_other_predictions(control, candidate, spec, figures),
    ]
    enough = candidate.requests >= spec.canary_requests and (alone or control.requests >= spec.canary_requests)
    return Judgement(tuple(faults), enough, figures)


def _more_errors(control: Counts, candidate: Counts, spec: DeploySpec) -> list[str]:
    from scipy.stats import fisher_exact

    rate, before = _share(candidate.errors, candidate.requests), _share(control.errors, control.requests)
    if rate - before <= spec.canary_errors:
        return []
    good, good_before = candidate.requests - candidate.errors, control.requests - control.errors
    p = fisher_exact([[candidate.errors, good], [control.errors, good_before]], alternative="greater").pvalue
    # without a control the failures speak for themselves: each was one that the live version then answered
    if p > ALPHA and not (control.requests < FEW and candidate.errors >= FEW):
        return []
    why = "; ".join(f"{count} × {text}" for text, count in candidate.faults.most_common(2))
    shares = f"{candidate.errors} of {candidate.requests} requests, live {control.errors} of {control.requests}"
    return [f"errors: {shares} ({why})"]


def _slower(control: Counts, candidate: Counts, spec: DeploySpec) -> list[str]:
    from scipy.stats import binomtest

    if len(control.ms) < FEW or not candidate.ms:
        return []
    usual = float(np.quantile(control.ms, 1 - TAIL))
    limit = max(usual * spec.canary_latency_ratio, usual + spec.canary_latency_ms)
    slow = sum(1 for ms in candidate.ms if ms > limit)
    if (
        slow / len(candidate.ms) <= SLOW_SHARE
        or binomtest(slow, len(candidate.ms), SLOW_SHARE, "greater").pvalue > ALPHA
    ):
        return []
    return [
        f"time: {slow} of {len(candidate.ms)} predictions took more than {limit:.1f} ms; "
        f"95 of 100 of the live version take at most {usual:.1f} ms"
    ]


def _other_predictions(control: Counts, candidate: Counts, spec: DeploySpec, figures: dict[str, Any]) -> list[str]:
    from scipy.stats import chi2_contingency, ks_2samp

    faults = []
    if min(len(control.values), len(candidate.values)) >= spec.canary_requests:
        found = ks_2samp(control.values, candidate.values)
        distance, p = float(found.statistic), float(found.pvalue)
        figures["shift"] = round(distance, 4)
        if distance > spec.canary_shift and p < ALPHA:
            medians = f"median {np.median(candidate.values):.6g}, live {np.median(control.values):.6g}"
            faults.append(f"predictions: their distribution moved by {distance:.2f} ({medians})")
    if min(control.labels.total(), candidate.labels.total()) >= spec.canary_requests:
        names = sorted({*control.labels, *candidate.labels})
        table = np.array([[arm.labels[name] for name in names] for arm in (control, candidate)], dtype=float)
        shares = table / table.sum(axis=1, keepdims=True)
        distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
        figures["label_shift"] = round(distance, 4)
        if distance > spec.canary_shift and chi2_contingency(table).pvalue < ALPHA:
            most = names[int(np.argmax(np.abs(shares[0] - shares[1])))]
            index = names.index(most)
            faults.append(f"predictions: {most!r} in {shares[1][index]:.0%} of rows, live {shares[0][index]:.0%}")
    return faults


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _quantile(numbers: list[float], share: float) -> float | None:
    return round(float(np.quantile(numbers, share)), 3) if numbers else None
