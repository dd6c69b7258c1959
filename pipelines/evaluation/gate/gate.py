"""The gate: promoted or kept, by a rule that is the same every night."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.errors import GateError
from pipelines.evaluation.comparison.compare import Comparison
from pipelines.evaluation.gate.untested_limits import capped, named
from pipelines.evaluation.gate.verdict import Candidate, Rival, Verdict
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.metrics import METRICS

ABSOLUTE_MARGIN = 0.01
RELATIVE_MARGIN = 0.02
NOT_BETTER = "the model is not better than the baseline, and there is no champion to keep"
LEAST_OF_LINEAR = 0.5
"""A first version that surely learned less than this share of what a linear model learns from the same rows is odd."""
MOST_REASONS = 4
"""Most reasons in the sentence; the verdict holds all."""


def margin_of(margin: float | None, metric: str, score: float) -> float:
    """Return the largest loss accepted against a score, in the metric."""
    if margin is not None:
        return margin
    return ABSOLUTE_MARGIN if METRICS[metric].greater_is_better else RELATIVE_MARGIN * abs(score)


def judge(
    spec: EvaluateSpec, metric: str, candidate: Candidate, champion: Rival | None, anchor: Rival | None = None
) -> Verdict:
    """Decide.

    Promoted, unless a limit is broken: with a champion, when the lower bound of the improvement on the same sealed
    rows lies above minus the margin (above 0, if the model learned from older rows or from far fewer), and nothing of
    the margin is lost to the best version ever; without one, when it is surely better than the baseline and did not
    surely learn less than half of what a linear model does. Kept: everything else that is fit.

    Raises
    ------
    GateError
        Without a champion, if the score is not better than the baseline: there is nothing to keep in service.
    """
    turn, rows = METRICS[metric].sign, candidate.rows
    better = turn * (candidate.score - candidate.baseline) > 0
    facts = _facts(spec, metric, candidate)
    if champion is None and not better:
        raise GateError(
            NOT_BETTER,
            where=f"{metric} on {rows} sealed rows",
            seen=f"{candidate.score:.6g}",
            expected=f"better than {candidate.baseline:.6g}, which {candidate.baseline_is}",
            cure="check the columns, and the target if there is one, for a mistake; give the search more rows or time",
            faults=list(candidate.blocks),
        )
    if champion is not None:
        facts["champion_version"] = champion.version
        if champion.as_of is not None and candidate.as_of < champion.as_of:
            why = f"this night is older than version {champion.version}, which a backfill never moves"
            return Verdict("kept", f"Kept: {why}.", reasons=[why], **facts)
    reasons: list[str] = []
    if not better:
        reasons.append(f"{metric} {candidate.score:.6g} is not better than the baseline's {candidate.baseline:.6g}")
    if spec.floor is not None and turn * (candidate.score - spec.floor) < 0:
        reasons.append(f"{metric} {candidate.score:.6g} does not reach the floor {spec.floor:.6g}")
    if spec.ceiling is not None and turn * (candidate.score - spec.ceiling) > 0:
        reasons.append(f"{metric} {candidate.score:.6g} is beyond {spec.ceiling:.6g}, too good to be believed")
    reasons += candidate.blocks
    on = _rows(rows, candidate.over_baseline)
    against = f"{metric} {candidate.score:.6g} against {candidate.baseline:.6g} of the baseline on {on}"
    if champion is None or champion.score is None:
        reasons += [*_unsure(candidate), *_below_linear(metric, candidate)] if better else []
        if champion is not None:
            facts["champion_unfit"] = champion.unfit
            against += f"; version {champion.version} {champion.unfit}"
    else:
        against = f"{metric} {candidate.score:.6g} against {champion.score:.6g} of version {champion.version}"
        more, text = _against_champion(spec, metric, candidate, champion, facts)
        reasons += more
        against += f"; {text}" if text else ""
    if anchor is not None:
        reasons += _against_anchor(spec, metric, anchor, facts)
    if candidate.lost_classes:
        against += f"; it lost classes that an earlier version knows: {named(candidate.lost_classes)}"
    if candidate.untested:
        against += f"; not tested: {named(candidate.untested)}"
    return _verdict(facts, reasons, against, champion)


def _facts(spec: EvaluateSpec, metric: str, candidate: Candidate) -> dict[str, Any]:
    over, simple = candidate.over_baseline, candidate.over_linear
    until = candidate.trained_until
    return {
        "metric": metric,
        "score": candidate.score,
        "baseline": candidate.baseline,
        "rows": candidate.rows,
        "floor": spec.floor,
        "confidence": spec.confidence,
        "baseline_improvement": METRICS[metric].sign * (candidate.score - candidate.baseline) + 0.0,
        "baseline_lower_bound": over.lower if over else None,
        "detectable": over.detectable if over else None,
        "test": over.how if over else None,
        "days": over.days if over else None,
        "groups": over.groups if over else None,
        "trained_until": until.isoformat() if until else None,
        "rows_trained": candidate.rows_trained,
        "linear": candidate.linear,
        "linear_improvement": simple.improvement if simple else None,
        "linear_lower_bound": simple.lower if simple else None,
        "lost_classes": capped(candidate.lost_classes),
        "untested": capped(candidate.untested),
    }


def _rows(rows: int, found: Comparison | None) -> str:
    """Say on how many rows a difference was bounded, and of how many days or entities where these were drawn."""
    if found is not None and found.days:
        return f"{rows} rows paired by day ({found.days} days)"
    if found is not None and found.groups:
        return f"{rows} rows paired by group ({found.groups} groups)"
    return f"{rows} rows"


def _unsure(candidate: Candidate) -> list[str]:
    over = candidate.over_baseline
    if over is None or over.lower > 0:
        return []
    return [
        f"it is not surely better than the baseline's {candidate.baseline:.6g}: lower bound of the improvement "
        f"{over.lower:+.4g} on {_rows(candidate.rows, over)}, smallest detectable difference {over.detectable:.3g}"
    ]


def _below_linear(metric: str, candidate: Candidate) -> list[str]:
    """Say that a linear model learned far more: labels, columns or rows of this one are wrong, however sure it is."""
    over, linear = candidate.over_linear, candidate.linear
    if over is None or linear is None or over.upper >= 0:
        return []
    gain, simple = (METRICS[metric].sign * (score - candidate.baseline) for score in (candidate.score, linear))
    if gain >= LEAST_OF_LINEAR * simple:
        return []
    return [f"a linear model with default settings reaches {linear:.6g}; it has learned {gain / simple:.0%} of that"]


def _against_champion(
    spec: EvaluateSpec, metric: str, candidate: Candidate, champion: Rival, facts: dict[str, Any]
) -> tuple[list[str], str]:
    assert champion.score is not None
    margin, found = margin_of(spec.margin, metric, champion.score), champion.comparison
    facts |= {
        "champion_score": champion.score,
        "margin": margin,
        "detectable": found.detectable if found else None,
        "improvement": METRICS[metric].sign * (candidate.score - champion.score) + 0.0,
    }
    if found is None:
        return ["these rows do not bound the difference to the champion"], ""
    facts |= {"lower_bound": found.lower, "upper_bound": found.upper, "test": found.how, "days": found.days}
    facts["groups"] = found.groups
    text = (
        f"improvement {found.improvement:+.4g}, lower bound {found.lower:+.4g}, margin {margin:.4g}, "
        f"{_rows(candidate.rows, found)}, smallest detectable difference {found.detectable:.3g}"
    )
    if not found.error:  # nothing varies: the rows say nothing of what they could show of another model
        facts["detectable"] = None
        text = f"no difference on {candidate.rows} rows, margin {margin:.4g}"
    lacking = _lacking(spec, candidate, champion)
    if lacking and found.lower <= 0:
        return [f"{lacking}, and it is not surely better"], text
    if found.lower <= -margin:
        return [f"it may be worse than version {champion.version} by more than the margin"], text
    return [], text


def _lacking(spec: EvaluateSpec, candidate: Candidate, champion: Rival) -> str:
    """Say why the model is not newer knowledge than the champion; empty if it is."""
    mine, theirs = candidate.trained_until, champion.trained_until
    if mine is not None and theirs is not None and mine < theirs:
        return f"its newest training row, of {mine:%Y-%m-%d %H:%M}, is older than version {champion.version}'s"
    rows, before = candidate.rows_trained, champion.rows_trained
    if rows is not None and before is not None and rows < spec.least_rows * before:
        return f"it was trained on {rows} rows, version {champion.version} on {before}"
    return ""


def _against_anchor(spec: EvaluateSpec, metric: str, anchor: Rival, facts: dict[str, Any]) -> list[str]:
    facts["anchor_version"] = anchor.version
    if anchor.score is None or anchor.comparison is None:
        facts["anchor_unfit"] = anchor.unfit or "these rows do not bound the difference"
        return []
    declared = spec.margin if spec.anchor_margin is None else spec.anchor_margin
    margin, found = margin_of(declared, metric, anchor.score), anchor.comparison
    facts |= {
        "anchor_score": anchor.score,
        "anchor_improvement": found.improvement,
        "anchor_lower_bound": found.lower,
        "anchor_margin": margin,
    }
    if found.improvement >= -margin:
        return []
    return [
        f"it has slid {-found.improvement:.4g} below version {anchor.version}, the best that ever was live, of which "
        f"{margin:.4g} is accepted"
    ]


def _verdict(facts: dict[str, Any], reasons: Sequence[str], against: str, champion: Rival | None) -> Verdict:
    if not reasons:
        how = "Promoted as first version" if champion is None else "Promoted"
        return Verdict("promoted", f"{how}: {against}.", **facts)
    kept = "Kept out of service" if champion is None else "Kept the champion"
    more = f"; and {len(reasons) - MOST_REASONS} more" if len(reasons) > MOST_REASONS else ""
    return Verdict(
        "kept", f"{kept}: {'; '.join(reasons[:MOST_REASONS])}{more}. {against}.", reasons=list(reasons), **facts
    )
