"""The part of an industry template in `aimass init`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.cli.draw_up import Declared, Drawn
from pipelines.industry import template as named_template
from pipelines.industry.feed import write_feed
from pipelines.industry.own_table import for_columns
from pipelines.ingestion.spec import Files
from pipelines.settings import load as load_settings
from pipelines.spec import Spec
from pipelines.validation.suite import add_rules

DAYS = 60
"""Days of a generated feed."""
GIVEN = ("target", "task", "positive", "metric", "key", "time", "drop")
"""Fields of a declaration that a template has values for."""


class Start:
    """What a template gives to a new model.

    Parameters
    ----------
    template, name
        Of the template, and of the model.
    own_source
        The model has a source; else a feed is generated for it.
    """

    def __init__(self, template: str, name: str, *, own_source: bool) -> None:
        self._template = named_template(template)
        self._path = None if own_source else f"home:feed/{name}/{template}-*.csv"
        self._name = name

    def feed(self) -> str | None:
        """Write the generated feed, to yesterday, and return its path; None: the model has its own source."""
        if self._path is None:
            return None
        folder = load_settings().ensure().feed / self._name
        write_feed(self._template, folder, datetime.now(UTC).date() - timedelta(days=1), DAYS)
        return self._path

    def complete(self, wanted: Declared) -> Declared:
        """Return the declaration, completed from the template.

        Target and label, key, time and drop are the template's only where the table is: the names of a table of one's
        own are for its owner to say.
        """
        names = ("task", "metric") if self._path is None else GIVEN
        missing = {name: self._template.model[name] for name in names if name in self._template.model}
        return replace(wanted, **{name: value for name, value in missing.items() if not getattr(wanted, name)})

    def apply(self, drawn: Drawn, specs: dict[str, Spec]) -> None:
        """Add the template's settings and rules to what was drafted, and lines on what was left out."""
        columns = [each["column"] for each in drawn.columns]
        chosen, rules, left = for_columns(self._template, [*columns, drawn.model.target])
        specs.update(chosen)
        drawn.suite = add_rules(drawn.suite, drawn.model.name, rules)
        drawn.found.lines.append(f"template {self._template.name}: {self._template.why}")
        drawn.found.warnings += [f"left out of the template, for the table lacks a column: {line}" for line in left]
        if self._path is not None:
            drawn.found.lines.append(f"generated feed of {DAYS} days: name your own data in INGEST")
            specs["INGEST"] = _at(self._path, specs["INGEST"])


def _at(path: str, ingest: Any) -> Spec:
    """Return the stage's settings with the feed named relative to the home, so that the DAG file can move."""
    source: Files = ingest.source
    moved: Spec = ingest.model_copy(update={"source": source.model_copy(update={"path": path})})
    return moved
