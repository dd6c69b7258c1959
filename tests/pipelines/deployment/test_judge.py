"""What the judge of a canary lets pass and what it ends, on drawn traffic that is looked at again and again."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pipelines.deployment.judge import Counts, judge
from pipelines.deployment.spec import DeploySpec
from pipelines.errors import SpecError

SPEC = DeploySpec(canary=(5, 25, 50, 100))
LOOKS = 20


def traffic(rng, requests, *, errors=0.002, slower=0.0, move=0.0, labels=("no", "yes")):
    """Draw requests with a long tail of times and a share of errors that every service has."""
    failed = int(rng.binomial(requests, errors))
    good = requests - failed
    ms = rng.lognormal(1.0, 0.8, good) + slower
    values = np.clip(rng.beta(2, 5, good) + move, 0, 1)
    names = [labels[int(value > 0.3)] for value in values]
    return Counts(requests, failed, Counter({"502 the model failed": failed}), list(ms), list(values), Counter(names))


def watched(seed, spec=SPEC, share=0.05, **candidate):
    """Look at a growing canary as the deployer does; return the faults that ended it, or () once it has passed."""
    rng = np.random.default_rng(seed)
    control, test = Counts(), Counts()
    for _ in range(LOOKS):
        step = int(spec.canary_requests / LOOKS) + 1
        for total, requests, traits in ((control, int(step / share), {}), (test, step, candidate)):
            drawn = traffic(rng, requests, **traits)
            total.requests += drawn.requests
            total.errors += drawn.errors
            total.faults += drawn.faults
            total.ms += drawn.ms
            total.values += drawn.values
            total.labels += drawn.labels
        judged = judge(control, test, spec)
        if judged.faults:
            return judged.faults
    assert judged.enough
    return ()


def test_two_hundred_candidates_that_are_the_live_version_pass():
    for seed in range(200):
        assert watched(seed, share=(0.05, 0.25, 0.5)[seed % 3]) == ()


@pytest.mark.parametrize(
    ("traits", "named"),
    [
        ({"errors": 0.2}, "errors: "),
        ({"errors": 0.08}, "errors: "),
        ({"slower": 300.0}, "time: "),
        ({"move": 0.5}, "predictions: "),
        ({"labels": ("no", "maybe")}, "predictions: '"),
    ],
)
def test_a_worse_candidate_is_ended_and_the_reason_named(traits, named):
    for seed in range(20):
        faults = watched(seed, **traits)
        assert faults
        assert any(fault.startswith(named) for fault in faults), faults


def test_a_fifth_of_errors_is_seen_within_forty_requests():
    rng = np.random.default_rng(0)
    faults = judge(traffic(rng, 800), traffic(rng, 40, errors=0.2), SPEC).faults
    assert faults
    assert "502 the model failed" in faults[0]


def test_small_differences_within_the_limits_pass():
    assert watched(1, errors=0.004, slower=5.0, move=0.02) == ()


def test_few_requests_are_not_enough_and_no_fault():
    rng = np.random.default_rng(0)
    judged = judge(traffic(rng, 5_000), traffic(rng, 299, errors=0.0), SPEC)
    assert not judged.faults
    assert not judged.enough
    assert judge(Counts(), Counts(), SPEC).figures["candidate"]["p50_ms"] is None


def test_with_all_callers_the_control_is_of_the_shares_before():
    rng = np.random.default_rng(0)
    before, now = traffic(rng, 200), traffic(rng, 300)
    assert not judge(before, now, SPEC).enough
    assert judge(before, now, SPEC, alone=True).enough


def test_gateways_are_added_up():
    part = {"requests": 2, "errors": 1, "faults": {"a": 1}, "ms": [1.0], "values": [0.5], "labels": {"x": 1}}
    total = Counts.of([{**part, "compared": 4, "flips": 1}] * 3)
    assert (total.requests, total.errors, total.faults, total.labels) == (6, 3, {"a": 3}, {"x": 3})
    assert judge(Counts(), total, SPEC).figures["flips"] == 0.25


@pytest.mark.parametrize("shares", [(25, 5), (5, 5), (5, 101), (-1, 5)])
def test_shares_that_do_not_rise_are_refused(shares):
    with pytest.raises(SpecError, match=r"DeploySpec"):
        DeploySpec(canary=shares)
