"""One hash per text: whatever the layout, the chunks and the neighbours."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.row_hash import LONG, PART, key_hash

GOLDEN = {
    "": "b992b056e7d8a844",
    "a": "438f06429592eb7c",
    "12345678": "8427008c28530048",
    "123456789": "d13f6d519eaee219",
    "ключ": "8bdf9feeb9e61f86",
    "x" * LONG: "3bcacc2d11a2110e",
    "x" * (LONG + 1): "4c3c424f9dbeee56",
    None: "2b41a3df57773629",
}


def test_golden_vectors() -> None:
    found = key_hash(pa.array(list(GOLDEN), pa.string()), 0)
    assert {text: format(int(value), "016x") for text, value in zip(GOLDEN, found, strict=True)} == GOLDEN
    assert format(int(key_hash(pa.array(["a"]), 7)[0]), "016x") == "3eb8551d9b175839"


@given(st.lists(st.one_of(st.none(), st.text(max_size=40), st.integers(200, 300).map("é".__mul__)), max_size=30))
def test_layouts_chunks_and_neighbours_do_not_matter(texts: list[str | None]) -> None:
    whole = pa.array(texts, pa.string())
    expected = [int(key_hash(pa.array([text], pa.string()), 3)[0]) for text in texts]
    layouts = [
        whole,
        whole.cast(pa.large_string()),
        whole.cast(pa.string_view()),
        whole.dictionary_encode(),
        pa.chunked_array([whole[:7], whole[7:]], pa.string()),
        pa.array(["before", *texts], pa.string())[1:],
        pa.DictionaryArray.from_arrays(pa.array(range(len(texts)), pa.int32()), whole),
    ]
    for layout in layouts:
        assert key_hash(layout, 3).tolist() == expected


def test_numbers_are_their_text_and_other_kinds_are_refused() -> None:
    assert key_hash(pa.array([12, -3]), 0).tolist() == key_hash(pa.array(["12", "-3"]), 0).tolist()
    assert len(key_hash(pa.chunked_array([], pa.string()), 0)) == 0
    with pytest.raises(TypeError, match="not double"):
        key_hash(pa.array([1.0]), 0)


def test_evenly_spread_and_independent_between_seeds() -> None:
    count = 3 * PART + 5
    texts = pa.array([f"order-{number:07d}" for number in range(count)])
    one, two = key_hash(texts, 0), key_hash(texts, 1)
    assert len(np.unique(one)) == count
    for bits in (one >> np.uint64(56), one & np.uint64(255), two >> np.uint64(56)):
        seen = np.bincount(bits.astype(np.int64), minlength=256)
        chi = ((seen - count / 256) ** 2 / (count / 256)).sum()
        assert 150 < chi < 380  # 255 degrees of freedom: beyond 1 in 10,000 on both sides
    both = np.bincount(
        ((one >> np.uint64(60)) * np.uint64(16) + (two >> np.uint64(60))).astype(np.int64), minlength=256
    )
    assert 150 < ((both - count / 256) ** 2 / (count / 256)).sum() < 380
    flips = key_hash(pa.array([f"order-{number:07d}" for number in range(count)]), 0) ^ key_hash(
        pa.array([f"order-{number:07d}" for number in range(1, count + 1)]), 0
    )
    assert abs(np.unpackbits(flips.view(np.uint8)).mean() - 0.5) < 0.001
