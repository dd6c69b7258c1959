"""Names of the columns that the stages add to a table; no source column may have one of them."""

from __future__ import annotations

KEY, TIME, SEALED = "_key", "_time", "_sealed"
GROUP = "_group"
"""The canonical text of a row's entity, by which it is sealed; null: the row is its own entity."""
WEIGHT = "_weight"
LABEL, FOLD, REASON = "_y", "_fold", "_reason"

INGESTED = (KEY, TIME, SEALED, GROUP)
"""Written by ingest: key, moment, whether the row is sealed, and its entity where one is declared."""
SAMPLED = (*INGESTED, WEIGHT)
"""After sample: with 1 / inclusion probability."""
LABELLED = (*SAMPLED, LABEL)
"""After clean: with the target as text or number."""
RESERVED = (*LABELLED, FOLD, REASON)
"""All reserved names; a source column with one of them is read with a ``_`` appended."""
