"""R6: planted leaks are refused, and the column or the key is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines import storage
from pipelines.artifacts import Artifact
from pipelines.errors import GateError
from pipelines.settings import Settings
from pipelines.splitting import stage
from pipelines.splitting.spec import SplitSpec

ROWS = 1_000
DAY = 86_400_000_000


def honest() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=ROWS)
    moments = (20_000 + np.arange(ROWS) // 20) * DAY + 3_600_000_000
    return {
        "_key": pa.array([f"order {number}" for number in range(ROWS)]),
        "_time": pa.array(moments, pa.timestamp("us", "UTC")),
        "_sealed": pa.array(np.arange(ROWS) >= 900),
        "_weight": np.ones(ROWS),
        "_y": np.where(signal + rng.normal(size=ROWS) > 0, "yes", "no"),
        "signal": signal,
        "ordered": pa.array(moments - DAY, pa.timestamp("us")),
        "shop": [f"s{number}" for number in np.arange(ROWS) // 10],
    }


@pytest.fixture
def split(home: Settings, tmp_path: Path, make_night: Any, publish_stage: Callable[..., Artifact]) -> Any:
    def build(columns: dict[str, Any], **spec: Any) -> None:
        staging, out = storage.stage_folder(home, "t"), tmp_path / "out"
        storage.write_table(pa.table(columns), staging / "cleaned")
        cleaned = publish_stage("clean", staging, ROWS)
        out.mkdir()
        night = make_night(time="moment", key=("order",))
        stage.run(SplitSpec(**spec), night=night, settings=home, out=out, cleaned=cleaned)

    return build


@pytest.mark.fault
def test_nothing_planted_is_not_refused(split: Any) -> None:
    split(honest(), group=("shop",))


@pytest.mark.fault
def test_the_target_copied_into_a_feature(split: Any) -> None:
    columns = honest()
    columns["status"] = np.where(columns["_y"] == "yes", "settled", "open")
    with pytest.raises(GateError, match="'status' gives the target away") as caught:
        split(columns)
    assert "copy of the target" in caught.value.faults[0]


@pytest.mark.fault
def test_future_timestamps(split: Any) -> None:
    columns = honest()
    late = columns["_time"].cast(pa.int64()).to_numpy() + np.where(np.arange(ROWS) % 4 == 0, 5, -5) * DAY
    columns["delivered"] = pa.array(late, pa.timestamp("us"))
    with pytest.raises(GateError, match="'delivered'") as caught:
        split(columns)
    assert "lies in the future" in caught.value.faults[0]
    assert "25." in caught.value.faults[0]


@pytest.mark.fault
def test_an_entity_in_both_splits(split: Any) -> None:
    columns = honest()
    columns["shop"] = ["s7" if number in (100, 950) else f"s{number}" for number in range(ROWS)]
    with pytest.raises(GateError, match="judged on them") as caught:
        split(columns, group=("shop",))
    assert caught.value.faults == ["shop = 's7'"]
    assert "1 of" in caught.value.seen


@pytest.mark.fault
def test_a_key_in_both_splits(split: Any) -> None:
    columns = honest()
    columns["_key"] = pa.array([f"order {number % 960}" for number in range(ROWS)])
    with pytest.raises(GateError, match="both sides") as caught:
        split(columns)
    assert caught.value.where == "'order 0'"
    assert caught.value.seen.startswith("40 keys")
