"""Rows that belong together: sums over blocks, and how much is held at one time while blocks or rows are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CELLS = 4_000_000
"""Resampled weights held at one time."""


def sums_by_block(block: NDArray[np.intp], blocks: int) -> Any:
    """Return the sparse matrix, (blocks, n), that adds up the rows of each block.

    Parameters
    ----------
    block
        (n,) the block of each row, from 0 to ``blocks`` - 1.
    """
    from scipy import sparse

    return sparse.csr_array((np.ones(len(block)), (block, np.arange(len(block)))), shape=(blocks, len(block)))
