from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learning import FakeFamily, make_columns

from pipelines.algorithms.base import TaskInfo
from pipelines.tuning.memory import TooLargeError, check_estimate, memory_cap
from pipelines.tuning.trial_runner import oof_path, run_trial

COLUMNS = make_columns(rows=200)


def trial(mode: str, folder: Path, **work: Any) -> dict[str, Any]:
    fields = {
        "number": 3,
        "family": mode,
        "params": {"strength": 1.0},
        "soft": None,
        "hard": None,
        "rival": (),
        "rival_loss": 0.0,
        "bars": (),
        "kill_after": None,
        "device": "cpu",
        "gpu_share": 1.0,
        "memory_mb": None,
        "sized": False,
        "rows": None,
    }
    return run_trial({**fields, **work}, {mode: FakeFamily(mode)}, COLUMNS, folder, 0)


def test_a_good_trial_leaves_its_predictions_and_its_size(tmp_path: Path) -> None:
    result = trial("good", tmp_path, sized=True)
    assert (result["state"], result["error"], result["device"]) == ("done", "", "cpu")
    assert np.load(oof_path(tmp_path, 3), allow_pickle=False).shape == (200, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["00003.npy"]
    assert 100 < result["size"] < 100_000
    given_up = trial("constant", tmp_path, number=4, sized=True, bars=(-0.9,) * 3)
    assert given_up["state"] == "pruned"
    assert 100 < given_up["size"] < 100_000


@pytest.mark.fault
@pytest.mark.parametrize(
    ("mode", "work", "state", "why"),
    [
        ("raise", {}, "failed", "RuntimeError: planted failure"),
        ("nan", {}, "failed", "not finite"),
        ("good", {"hard": 1.0}, "cut", "out of time"),
        ("greedy", {"memory_mb": 500}, "failed", "more than its 500 MB of memory"),
        ("gpu_broken", {"device": "gpu"}, "done", "no kernel image is available; so it was fitted on the cpu"),
    ],
)
def test_what_goes_wrong_is_in_the_result(
    tmp_path: Path, mode: str, work: dict[str, Any], state: str, why: str
) -> None:
    result = trial(mode, tmp_path, **work)
    assert result["state"] == state
    assert why in result["error"]
    assert oof_path(tmp_path, 3).exists() == (state == "done")


def test_a_fit_that_needs_too_much_is_not_begun(tmp_path: Path) -> None:
    class Huge(FakeFamily):
        def memory(self, shape: TaskInfo) -> int:
            return 2**40

    work = {
        "number": 0,
        "family": "huge",
        "params": {},
        "soft": None,
        "kill_after": None,
        "device": "cpu",
        "memory_mb": 1000,
    }
    result = run_trial(work, {"huge": Huge("good")}, COLUMNS, tmp_path, 0)
    assert result["error"] == "it needs about 1048576 MB of memory, more than its 1000 MB"
    with pytest.raises(TooLargeError):
        check_estimate(2**40, 10)


def test_the_cap_is_lifted_afterwards() -> None:
    with pytest.raises(TooLargeError), memory_cap(100):
        np.ones(2**25)
    assert np.ones(2**25).nbytes == 2**28
    with pytest.raises(ValueError, match="other"), memory_cap(100):
        raise ValueError("other")
