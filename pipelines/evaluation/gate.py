"""The gate: promoted or kept, by a rule that is the same every night."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.algorithms.metrics import sign
from pipelines.errors import GateError
from pipelines.evaluation.spec import EvaluateSpec

ABSOLUTE_MARGIN = {"roc_auc": 0.01, "accuracy": 0.01}
RELATIVE_MARGIN = 0.02
NOT_BETTER = "the model is not better than the baseline, and there is no champion to keep"


@dataclass(frozen=True)
class Champion:
    """What is live tonight, judged on the same sealed rows.

    ``improvements`` are resampled improvements of the candidate over it. ``unfit`` says why it could not be judged;
    then ``score`` is None.
    """

    version: int
    as_of: datetime | None
    score: float | None = None
    improvements: NDArray[np.float64] | None = None
    unfit: str = ""


@dataclass(frozen=True)
class Verdict:
    """``verdict.json``: every number of the decision, and the decision in one sentence."""

    verdict: str
    sentence: str
    metric: str
    score: float
    baseline: float
    rows: int
    floor: float | None = None
    champion_version: int | None = None
    champion_score: float | None = None
    improvement: float | None = None
    lower_bound: float | None = None
    confidence: float | None = None
    margin: float | None = None
    detectable: float | None = None
    """Smallest difference that these rows can tell from none."""

    def to_dict(self) -> dict[str, Any]:
        """Give the content of ``verdict.json``."""
        return asdict(self)


def margin_of(spec: EvaluateSpec, metric: str, champion_score: float) -> float:
    """Give the largest loss accepted, in the metric."""
    if spec.margin is not None:
        return spec.margin
    return ABSOLUTE_MARGIN.get(metric, RELATIVE_MARGIN * abs(champion_score))


def judge(
    spec: EvaluateSpec,
    metric: str,
    score: float,
    baseline: float,
    rows: int,
    as_of: datetime,
    champion: Champion | None,
) -> Verdict:
    """Decide.

    Promoted: with a champion, when the lower bound of the improvement on the same sealed rows lies above minus the
    margin; without one, when the score is better than the baseline. Kept: everything else that is fit.

    Raises
    ------
    GateError
        Without a champion, if the score is not better than the baseline: there is nothing to keep in service.
    """
    better = sign(metric) * (score - baseline) > 0
    facts: dict[str, Any] = {
        "metric": metric, "score": score, "baseline": baseline, "rows": rows, "floor": spec.floor,
    }  # fmt: skip
    below_floor = spec.floor is not None and sign(metric) * (score - spec.floor) < 0
    if champion is None:
        if not better:
            raise GateError(
                NOT_BETTER,
                where=f"{metric} on {rows} sealed rows",
                seen=f"{score:.6g}",
                expected=f"better than {baseline:.6g}, which a constant answer reaches",
                cure="check target and columns for a mistake; give the search more rows or more time",
            )
        if below_floor:
            why = f"Kept out of service: {metric} {score:.6g} does not reach the floor {spec.floor:.6g}."
            return Verdict("kept", why, **facts)
        why = f"Promoted as first version: {metric} {score:.6g} against {baseline:.6g} of the baseline on {rows} rows."
        return Verdict("promoted", why, **facts)
    facts["champion_version"] = champion.version
    if champion.as_of is not None and as_of < champion.as_of:
        return Verdict(
            "kept", f"Kept: this night is older than version {champion.version}, which a backfill never moves.", **facts
        )
    if not better:
        why = f"{metric} {score:.6g} is not better than the baseline's {baseline:.6g}"
        return Verdict("kept", f"Kept the champion: {why}.", **facts)
    if below_floor:
        why = f"{metric} {score:.6g} does not reach the floor {spec.floor:.6g}"
        return Verdict("kept", f"Kept the champion: {why}.", **facts)
    if champion.score is None:
        why = f"{metric} {score:.6g} against {baseline:.6g} of the baseline"
        return Verdict("promoted", f"Promoted: {why}; version {champion.version} {champion.unfit}.", **facts)
    return _compare(spec, facts, score, champion.version, champion.score, champion.improvements)


def _compare(
    spec: EvaluateSpec,
    facts: dict[str, Any],
    score: float,
    version: int,
    old: float,
    improvements: NDArray[np.float64] | None,
) -> Verdict:
    metric = facts["metric"]
    margin = margin_of(spec, metric, old)
    improvement = sign(metric) * (score - old) + 0.0  # no minus zero
    lower = None
    if improvements is not None and len(improvements):
        lower = float(np.quantile(improvements, 1.0 - spec.confidence)) + 0.0
    facts |= {
        "champion_score": old, "improvement": improvement, "lower_bound": lower, "confidence": spec.confidence,
        "margin": margin, "detectable": None if lower is None else max(0.0, improvement - lower),
    }  # fmt: skip
    against = f"{metric} {score:.6g} against {old:.6g} of version {version}"
    if lower is None:
        return Verdict("kept", f"Kept the champion: {against}, but these rows do not bound the difference.", **facts)
    bound = f"improvement {improvement:+.4g}, lower bound {lower:+.4g}, margin {margin:.4g}, {facts['rows']} rows"
    if lower > -margin:
        return Verdict("promoted", f"Promoted: {against}; {bound}.", **facts)
    return Verdict("kept", f"Kept the champion: {against}; {bound}.", **facts)
