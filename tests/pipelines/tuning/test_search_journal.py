from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from pipelines.settings import Settings
from pipelines.tuning.search_journal import FILE, Journal, open_journal
from pipelines.tuning.trial_runner import oof_path
from pipelines.tuning.trials import Proposal, TrialOutcome, TrialResult


def outcome(number: int, **result: float) -> TrialOutcome:
    changed = TrialResult(
        "done", **{"loss": 0.1 + 0.2, "fold_losses": (0.3, math.nan), "learned": ({"trees": 7.0},), **result}
    )  # type: ignore[arg-type]
    return TrialOutcome(Proposal(number, "linear", {"strength": 1e-17, "numbers": "pieces"}, False), changed)


def test_what_was_added_is_found_again_to_the_bit(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "key")
    assert journal.found == {}
    journal.add(outcome(4), 12.5)
    journal.close()
    again = Journal(tmp_path, "key")
    found = again.found[4]
    assert found.describes("linear", {"numbers": "pieces", "strength": 1e-17})
    assert not found.describes("linear", {"numbers": "pieces", "strength": 2e-17})
    assert (found.result.loss, found.result.learned, again.spent) == (0.1 + 0.2, ({"trees": 7.0},), 12.5)
    assert math.isnan(found.result.fold_losses[1])
    again.add(outcome(5, loss=math.nan), 13.0)
    again.close()
    assert math.isnan(Journal(tmp_path, "key").found[5].result.loss)


def test_a_torn_last_line_is_cut_off_and_another_key_begins_anew(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "key")
    for number in range(3):
        journal.add(outcome(number), 1.0)
    journal.close()
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:-20])
    torn = Journal(tmp_path, "key")
    assert sorted(torn.found) == [0, 1]
    torn.add(outcome(2), 2.0)
    torn.close()
    assert sorted(Journal(tmp_path, "key").found) == [0, 1, 2]
    assert Journal(tmp_path, "other").found == {}


def test_one_folder_per_search_and_the_next_search_tidies_up(home: Settings, tmp_path: Path) -> None:
    first = open_journal(home, "demo", "a" * 64, tmp_path)
    assert first.folder.is_relative_to(home.staging)
    np.save(oof_path(first.folder, 0), np.zeros(3))
    other = open_journal(home, "demo", "a" * 64, tmp_path)
    assert other.folder.is_relative_to(tmp_path), "two processes never write into one journal"
    open_journal(home, "demo", "b" * 64, tmp_path).close()
    assert first.folder.exists(), "a search that goes on is left alone"
    first.close()
    neighbour = open_journal(home, "demo_two", "c" * 64, tmp_path)
    open_journal(home, "demo", "c" * 64, tmp_path).close()
    assert not first.folder.exists()
    assert neighbour.folder.exists(), "another model's search is left alone"
    neighbour.close()
