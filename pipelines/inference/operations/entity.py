"""The last known state of an entity, such as its delays of the last seven days, as of the end of the training rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pipelines.inference.operations.base import register
from pipelines.inference.operations.keys import Keyed


@register
@dataclass(frozen=True)
class EntityState(Keyed):
    """Last known state of a row's entity at the end of training; a new entity has the values of an unknown one.

    Parameters
    ----------
    as_of
        The stated age: the moment of the latest training row, ISO text in UTC.
    """

    as_of: str

    kind: ClassVar[str] = "entity_state"
