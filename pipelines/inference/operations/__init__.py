"""The operations of a feature plan, one module per family; importing this registers them all."""

from __future__ import annotations

from pipelines.inference.operations import categorical as _categorical
from pipelines.inference.operations import combine as _combine
from pipelines.inference.operations import dates_ops as _dates_ops
from pipelines.inference.operations import entity as _entity
from pipelines.inference.operations import numeric as _numeric
from pipelines.inference.operations import reduce as _reduce
from pipelines.inference.operations import target as _target
from pipelines.inference.operations import text as _text

FAMILIES = (_categorical, _combine, _dates_ops, _entity, _numeric, _reduce, _target, _text)
