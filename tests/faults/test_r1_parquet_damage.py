"""R1: Parquet with flipped bits, truncation, zero bytes, wrong magic, a swapped file: detected before use, always."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines import storage
from pipelines.errors import DataError

FLIPS = 300


def table(seed: int = 1) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "number": rng.normal(size=2000),
            "integer": rng.integers(0, 1_000_000, size=2000),
            "text": [f"row {value}" for value in rng.integers(0, 500, size=2000)],
            "missing": pa.array([None if i % 7 == 0 else i for i in range(2000)]),
        }
    )


@pytest.fixture
def published(tmp_path: Path) -> Path:
    folders = []
    for seed in (1, 2):
        staging = tmp_path / f"staging-{seed}"
        storage.write_table(table(seed), staging / "rows")
        storage.publish(staging, tmp_path / f"published-{seed}", stage="clean", rows=2000)
        folders.append(tmp_path / f"published-{seed}")
    return folders[0]


def file_of(folder: Path) -> Path:
    return folder / "rows" / "part-00000.parquet"


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.fault
def test_every_flipped_bit_is_detected(published: Path) -> None:
    path = file_of(published)
    content, expected = path.read_bytes(), table(1)
    assert storage.read_table(published / "rows").equals(expected)
    bits = np.random.default_rng(3).integers(0, len(content) * 8, size=FLIPS)
    undetected, wrong = [], []
    for bit in bits.tolist():
        path.write_bytes(flipped(content, bit))
        try:
            storage.verify(published)
            undetected.append(bit)
        except DataError:
            pass
        try:  # the second line of defence: page checksums, where a file is read without its manifest
            if not storage.read_table(published / "rows").equals(expected):
                wrong.append(bit)
        except DataError:
            pass
    assert undetected == []
    assert len(wrong) <= FLIPS // 100  # bits of the footer: the manifest covers these, no page checksum does


@pytest.mark.fault
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[: len(content) // 2], id="truncated"),
        pytest.param(lambda content: content[:-1], id="one byte short"),
        pytest.param(lambda _content: b"", id="zero bytes"),
        pytest.param(lambda content: b"\0" * len(content), id="all zero"),
        pytest.param(lambda content: b"NOPE" + content[4:], id="wrong magic"),
        pytest.param(lambda content: content[:-4] + b"NOPE", id="wrong closing magic"),
        pytest.param(lambda content: content + b"\0", id="one byte more"),
    ],
)
def test_damaged_file_is_detected_and_named(published: Path, damage: Callable[[bytes], bytes]) -> None:
    path = file_of(published)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="damaged") as caught:
        storage.verify(published)
    assert "rows/part-00000.parquet" in caught.value.faults[0]


@pytest.mark.fault
def test_sound_file_of_another_table_is_detected(published: Path) -> None:
    file_of(published).write_bytes(file_of(published.with_name("published-2")).read_bytes())
    storage.read_table(published / "rows")  # it is sound, only not the one that was published
    with pytest.raises(DataError, match="damaged"):
        storage.verify(published)


@pytest.mark.fault
def test_missing_and_added_files_are_detected_at_once(published: Path) -> None:
    file_of(published).rename(published / "rows" / "part-00001.parquet")
    with pytest.raises(DataError) as caught:
        storage.verify(published)
    assert caught.value.faults == ["rows/part-00000.parquet: missing", "rows/part-00001.parquet: not in the manifest"]
