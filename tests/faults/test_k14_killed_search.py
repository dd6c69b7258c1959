"""K14: the driver of a search is killed at random moments; a retry finishes it and re-runs next to nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from killed_search import calm, found, kept

from pipelines.settings import Settings

PROGRAM = Path(__file__).parents[1] / "helpers" / "searching.py"
FULL = os.environ.get("AIMASS_FULL") == "1"
TRIALS, CORES = 12, 2
KILLS = 6 if FULL else 2


def start(home: Path, out: Path, runner: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(home), str(out), str(TRIALS), runner, str(home.parent / "log")],
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(home.parent)},  # what the killed leave there goes with the test
        stderr=(home.parent / "err").open("ab"),
    )


@pytest.mark.fault
@pytest.mark.timeout(300)
@pytest.mark.parametrize("runner", ["processes", "ray"] if FULL else ["processes"])
def test_a_killed_search_is_taken_up_where_it_was(
    runner: str, home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm(home, tmp_path / "calm", TRIALS, monkeypatch)
    stormy = tmp_path / "stormy" / "home"
    stormy.parent.mkdir()
    draw = random.Random(3)
    kills, log = 0, stormy.parent / "log"
    orphans: list[psutil.Process] = []
    for attempt in range(12):
        out = stormy.parent / f"out{attempt}"
        wanted = kept(stormy) + draw.randint(1, TRIALS // KILLS // 2)
        child = start(stormy, out, runner)
        if kills < KILLS:
            while child.poll() is None and kept(stormy) < wanted:
                time.sleep(0.02)
            children = psutil.Process(child.pid).children(recursive=True) if child.poll() is None else []
            kills += child.poll() is None
            child.send_signal(signal.SIGKILL)
            child.wait()
            orphans += children
        elif child.wait(120) == 0:
            break
    assert kills >= 2
    # Ray's agents look for their driver once a minute; who kills the whole process group, as Airflow does, sees none.
    _, alive = psutil.wait_procs(orphans, timeout=90 if runner == "ray" else 10)
    assert not alive, "nothing outlives the driver"
    assert found(out) == found(tmp_path / "calm"), "the same winner, the same trials"
    resumed = json.loads((out / "search.json").read_text())["resumed"]
    assert 0 < resumed < TRIALS
    calls = len(log.read_text().splitlines())
    assert TRIALS * 3 <= calls <= (TRIALS + kills * CORES) * 3, "no more is run twice than was running"
    assert sorted(path.name for path in (out / "oof").iterdir()) == [f"{n:05d}.npy" for n in range(TRIALS)]
