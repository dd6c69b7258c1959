"""The last known state of an entity, such as its delays of the last seven days, as of the end of the training rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pipelines.inference.operations.base import register
from pipelines.inference.operations.keys import Keyed


@register
@dataclass(frozen=True)
class EntityState(Keyed):
    """What was known of a row's entity when training ended; of an entity never seen, that nothing was.

    Parameters
    ----------
    as_of
        The stated age: the moment of the latest training row, ISO text in UTC.
    """

    as_of: str

    kind: ClassVar[str] = "entity_state"
