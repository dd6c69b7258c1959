"""The part of an industry template in `aimass init`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.cli.draw_up import Drawn
from pipelines.industry import template as named_template
from pipelines.industry.feed import write_feed
from pipelines.industry.own_table import for_columns
from pipelines.ingestion.spec import Files
from pipelines.settings import load as load_settings
from pipelines.spec import Spec
from pipelines.validation.suite import add_rules

DAYS = 60
"""Days of a generated feed."""


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

    def declared(
        self,
        target: str,
        task: str | None,
        positive: str | None,
        metric: str | None,
        key: tuple[str, ...],
        time: str | None,
        drop: tuple[str, ...],
    ) -> tuple[str, str | None, str | None, str | None, tuple[str, ...], str | None, tuple[str, ...]]:
        """Return the declaration, completed from the template.

        Target and label, and key, time and drop, are the template's only where the table is: names of a table of one's
        own are for its owner to say.
        """
        fields = self._template.model
        task, metric = task or fields["task"], metric or fields.get("metric")
        if self._path is None:
            return target, task, positive, metric, key, time, drop
        return (
            target or fields["target"], task, positive or fields.get("positive"), metric, key or fields["key"],
            time or fields["time"], drop or fields.get("drop", ()),
        )  # fmt: skip

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
