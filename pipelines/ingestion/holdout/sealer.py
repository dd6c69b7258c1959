"""Scores the units of a model without time in a first pass over its rows, and decides which of them are sealed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from pipelines.errors import DataError
from pipelines.holdout import seal_scores
from pipelines.ingestion.holdout import holdout_bounds
from pipelines.ingestion.holdout.holdout_bounds import Bounds, Seal
from pipelines.ingestion.holdout.tallies import Classes, Scores, Sizes
from pipelines.ingestion.spec import IngestSpec


class Sealer:
    """Scores every row by its unit: its key, or its entity if one is declared.

    Parameters
    ----------
    salt
        The model's name.
    classifies
        Whether labels are classes, each of which should have a sealed row.
    """

    def __init__(self, salt: str, spec: IngestSpec, bounds: Bounds, *, classifies: bool) -> None:
        self._salt, self._spec, self._bounds = salt, spec, bounds
        self._sizes = Sizes() if spec.seal_group else None
        self._classes = Classes()
        self._first = classifies and bounds.extra is None

    @property
    def wants_labels(self) -> bool:
        """Whether the decision depends on the labels."""
        return self._first or self._sizes is not None

    def score(self, keys: pa.Array, groups: pa.Array | None, labels: pa.Array | None) -> Scores:
        """Score some rows.

        Parameters
        ----------
        groups
            The rows' entities; null: the row is one of its own.
        labels
            Null where a row has none; None: all count as labelled.
        """
        scores = seal_scores(self._salt, keys) if groups is None else self._by_group(keys, groups)
        if labels is not None and self._first:
            self._classes.add(scores, labels)
        if self._sizes is not None:
            known = np.ones(len(scores), np.bool_)
            self._sizes.add(scores, known if labels is None else labels.is_valid().to_numpy(zero_copy_only=False))
        return scores

    def _by_group(self, keys: pa.Array, groups: pa.Array) -> Scores:
        coded = groups.dictionary_encode()
        known = np.append(seal_scores(self._salt, coded.dictionary), 0.0)
        scores = known[coded.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)]
        alone = groups.is_null()
        scores[alone.to_numpy(zero_copy_only=False)] = seal_scores(self._salt, keys.filter(alone))
        return np.asarray(scores)

    def decide(self, scores: Iterable[Scores], notices: list[str]) -> Seal:
        """Decide on the sealed rows from the scores.

        Parameters
        ----------
        scores
            All scores once more, in parts.
        notices
            Takes what a reader should know.

        Raises
        ------
        DataError
            If entities are declared and none of them can be sealed.
        """
        if self._sizes is None:
            return holdout_bounds.by_key(scores, self._classes, self._spec, self._bounds)
        units, sizes = self._sizes.units()
        found = holdout_bounds.by_group(units, sizes, self._classes, self._spec, self._bounds)
        held = found.holds(units)
        rows, sealed = int(sizes.sum()), int(sizes[held].sum())
        if rows and not sealed:
            raise DataError(
                "no entity can be sealed, so nothing can judge a model",
                where=f"SplitSpec.group: {_names(self._spec.seal_group)}",
                seen=f"{int((sizes > 0).sum())} entities with labelled rows, the largest with {int(sizes.max()):,} of "
                f"{rows:,}" + ("" if self._bounds.threshold is None else "; the others may have trained models before"),
                expected="at least two, one of which trained no model",
                cure="correct SplitSpec.group, read more data, or begin anew under another model name",
            )
        large = len(found.passed)
        notices.append(
            f"sealed by {_names(self._spec.seal_group)}: {int((held & (sizes > 0)).sum()):,} of "
            f"{int((sizes > 0).sum()):,} entities, {sealed:,} of {rows:,} labelled rows"
            + (f"; {large} passed over, for they are or were too large" if large else "")
        )
        return found


def _names(group: Sequence[str]) -> str:
    return ", ".join(map(repr, group))


def begins_anew(group: Sequence[str]) -> str:
    """Return the notice that earlier nights sealed by another unit."""
    by = f"by {_names(group)}" if group else "by key"
    return (
        f"rows are sealed {by} from this night on, by something else before: versions of those nights trained on rows "
        "that are sealed now, so tonight's version is judged as a first one"
    )
