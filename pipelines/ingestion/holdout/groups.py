"""The entity of a row, such as a customer: all its rows are on one side of the seal."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import SpecError
from pipelines.holdout import MISSING, SEPARATOR
from pipelines.ingestion.derived_columns import near
from pipelines.ingestion.files.read import Source
from pipelines.ingestion.keys import declared_keys


def check_group(source: Source, group: Sequence[str], target: str) -> None:
    """Raise if the table lacks a group column, or the target is one of them.

    Raises
    ------
    SpecError
        Names every column, and the nearest that there is.
    """
    faults = [f"{name!r} is no column{near(name, source.columns)}" for name in group if name not in source.columns]
    if target in group:
        faults.append(f"{target!r} is the target: whole classes would be sealed")
    if faults:
        raise SpecError(
            "rows cannot be grouped by these columns",
            where="SplitSpec.group",
            seen=", ".join(map(repr, group)),
            expected="columns of the table that is read, joined or derived; ModelSpec.drop may name them too",
            cure="correct the names at the top of the DAG file",
            faults=faults,
        )


def group_texts(columns: Sequence[pa.Array]) -> pa.Array:
    """Return the canonical text of each row's entity: 1, 1.0 and "1" are one; null where every column is empty."""
    texts = [declared_keys([column]) for column in columns]
    empty = [pc.is_in(text, value_set=pa.array(["", MISSING])) for text in texts]
    alone = empty[0]
    for other in empty[1:]:
        alone = pc.and_(alone, other)
    joined = texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, SEPARATOR)
    return pc.if_else(alone, pa.scalar(None, pa.string()), joined)
