from __future__ import annotations

import numpy as np
import pytest
from moto_store import keys_of, proxy

from pipelines import settings as configuration
from pipelines.settings import Settings
from pipelines.tuning import shared_search
from pipelines.tuning.search_journal import open_journal
from pipelines.tuning.trial_runner import oof_path
from pipelines.tuning.trials import Proposal, TrialOutcome, TrialResult

KEY = "a" * 64
URI = f"p/searches/demo/{KEY[:24]}"


@pytest.fixture
def here(home: Settings, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("AIMASS_STORAGE", f"s3://{bucket}/p")
    monkeypatch.setattr(shared_search, "PATIENCE_S", 0.0)
    return configuration.load().ensure()


def add(journal, number: int) -> None:
    np.save(oof_path(journal.folder, number), np.full(3, number))
    journal.add(TrialOutcome(Proposal(number, "linear", {}, False), TrialResult("done", loss=0.5)), 1.0)


def test_another_machine_takes_the_search_up(here: Settings, tmp_path, bucket: str, s3_endpoint: str) -> None:
    journal = open_journal(here, "demo", KEY, tmp_path)
    for number in range(3):
        add(journal, number)
    journal.forget(1)
    journal.forget(1)
    other = here.model_copy(update={"home": tmp_path / "other"}).ensure()
    again = open_journal(other, "demo", KEY, tmp_path)
    assert sorted(again.found) == [0, 1, 2]
    assert sorted(path.name for path in again.folder.glob("*.npy")) == ["00000.npy", "00002.npy"]
    assert np.load(oof_path(again.folder, 2)).tolist() == [2, 2, 2]
    add(again, 3)
    journal.close()
    back = open_journal(here, "demo", KEY, tmp_path)
    assert sorted(back.found) == [0, 1, 2, 3], "the store knows more"
    open_journal(other, "demo", "b" * 64, tmp_path).close()
    assert [key for key in keys_of(s3_endpoint, bucket) if key.startswith(URI)] == []


def test_a_store_that_is_away_does_not_end_the_search(here: Settings, tmp_path, s3_endpoint: str, bucket: str) -> None:
    with proxy(s3_endpoint) as between:
        behind = here.model_copy(update={"s3_endpoint": between.url})
        journal = open_journal(behind, "demo", KEY, tmp_path)
        between.refuse = lambda *_: (503, "SlowDown")
        add(journal, 0)
        assert keys_of(s3_endpoint, bucket) == []
        between.refuse = lambda *_: None
        add(journal, 1)
        journal.close()
    assert keys_of(s3_endpoint, bucket) == [f"{URI}/00000.npy", f"{URI}/00001.npy", f"{URI}/journal.jsonl"]
