"""Windows by count: the rows that no window has yet make the next one once they are enough; each is judged once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from pipelines.ledger.rows import WindowRow
from pipelines.monitoring.drift.bins import Bins
from pipelines.monitoring.drift.findings import drift_finding, surge_finding
from pipelines.monitoring.drift.judge import Column, Limits, judge
from pipelines.monitoring.drift.verdict import verdict
from pipelines.monitoring.findings import Finding
from pipelines.monitoring.live_model import LiveModel
from pipelines.monitoring.on_drift import what_follows
from pipelines.monitoring.seen import PREDICTIONS, Seen
from pipelines.monitoring.spec import MonitorSpec
from pipelines.monitoring.traffic import Traffic

KIND = "inputs"
PREDICTION = "(prediction)"
COLUMNS = ("number", "category", "growing")
"""Kinds of reference entries that are of a column."""
PAST = 20
"""Earlier windows that tell how much the model's own traffic varies."""


@dataclass(frozen=True)
class Inputs:
    """What is compared of a model, and the windows so far.

    Parameters
    ----------
    bins
        By column; private and left out ones are not there.
    not_compared
        What is said about the latter.
    """

    bins: Mapping[str, Bins]
    not_compared: str
    windows: list[WindowRow]

    @classmethod
    def of(cls, spec: MonitorSpec, live: LiveModel) -> Inputs:
        """Read the reference of the live version, and the ledger."""
        omitted = {entry.removeprefix(f"{live.name}:") for entry in spec.leave_out}
        entries = live.reference
        private = [name for name in entries if name in live.private]
        left = [name for name in entries if name in omitted and name not in private]
        texts = [
            f"; {len(names)} {word} left out" for names, word in ((private, "private"), (left, "declared")) if names
        ]
        known = (*COLUMNS, *PREDICTIONS)
        kept = {name: one for name, one in entries.items() if one["kind"] in known and name not in {*private, *left}}
        sealed = {"rows": live.expected.get("sealed_rows")}
        bins = {name: Bins.of(one | sealed if one["kind"] in PREDICTIONS else one) for name, one in kept.items()}
        return cls(bins, "".join(texts), live.ledger.windows(live.name, KIND, PAST))

    @property
    def ended_at(self) -> datetime | None:
        """End of the newest window."""
        return self.windows[-1].ended_at if self.windows else None


def new_rows(traffic: Traffic, inputs: Inputs, most: int) -> pd.DataFrame:
    """Return the rows that no window has, the newest ``most`` of them; those of any version count, and of batches."""
    rows = traffic.answered
    if inputs.ended_at is not None:
        rows = rows[rows["at"] > inputs.ended_at]
    return rows.tail(most)


def columns_of(inputs: Inputs, seen: Seen, inside: Any, least: int) -> tuple[dict[str, Column], str]:
    """Return the columns of a window, and what is said of predictions that are too few.

    Parameters
    ----------
    inside
        (n,) which of the seen rows are in it.
    least
        Predictions of the live version below which they are not compared; where the window has fewer, older ones that
        were seen count too.
    """
    found: dict[str, Column] = {}
    said = ""
    own = seen.own
    few = int((own & inside).sum()) < least
    for name, bins in inputs.bins.items():
        if name not in seen.codes:
            continue
        codes = seen.codes[name]
        if bins.kind in PREDICTIONS:
            codes = codes if few else codes[inside[own]]
            if len(codes) < least:
                said = f"; predictions are not compared: {len(codes)} rows of the live version, {least} are needed"
                continue
            found[name] = Column(bins, codes)
        else:
            values = seen.values.get(name)
            found[name] = Column(bins, codes[inside], None if values is None else values[inside])
    return found, said


def judged(spec: MonitorSpec, live: LiveModel, inputs: Inputs, seen: Seen, inside: Any) -> list[Finding]:
    """Judge a window, keep it in the ledger, and return its findings."""
    rows = seen.rows[inside]
    columns, said = columns_of(inputs, seen, inside, spec.psi_min_rows)
    limits = Limits(spec.psi_threshold, spec.psi_gross, spec.false_discovery_rate, spec.surge)
    past = [window.figures for window in inputs.windows]
    figures = judge(columns, [window["columns"] for window in past], limits)
    window = {"version": live.champion.version, "columns": figures, "verdict": verdict(figures, past)}
    live.ledger.add_window(
        live.name,
        KIND,
        started_at=rows["at"].iloc[0].to_pydatetime(),
        ended_at=rows["at"].max().to_pydatetime(),
        rows=len(rows),
        figures=window,
    )
    before = past[-1]["verdict"]["drift"] if past else ()
    return [
        drift_finding(
            live.name,
            window,
            before,
            len(rows),
            spec.named_columns,
            inputs.not_compared + said,
            what_follows(live.settings, live.name),
        ),
        *(surge_finding(live.name, kind, window, len(rows), spec.named_columns) for kind in ("nulls", "unseen")),
    ]


def predictions_effect(live: LiveModel) -> float:
    """Return the design effect of the predictions in the newest window."""
    windows = live.ledger.windows(live.name, KIND, 1)
    entries = windows[-1].figures["columns"] if windows else {}
    return max((one["effect"] for name, one in entries.items() if name == PREDICTION), default=1.0)


def waiting(
    spec: MonitorSpec, live: LiveModel, inputs: Inputs, rows: int, since: datetime, now: datetime
) -> list[Finding]:
    """Return the findings while rows are too few for a window: the last one's verdict stands.

    An alert that the last window asked for and that is not open was lost with its process: it is told now.

    Parameters
    ----------
    rows
        So far.
    since
        The end of the last window, else when the model first went live.
    """
    model = live.name
    message = f"insufficient data: {rows} rows since {since:%Y-%m-%d %H:%M}, {spec.psi_min_rows} make a window"
    lost = False
    if inputs.windows:
        last = inputs.windows[-1].figures
        follows = what_follows(live.settings, model)
        stands = drift_finding(model, last, (), inputs.windows[-1].rows, spec.named_columns, follows=follows)
        message += f"; the last one: {stands.message}"
        lost = stands.state == "alert" and (model, stands.key) not in {(a.model, a.key) for a in live.ledger.alerts()}
    findings = [stands if lost else Finding(model=model, kind="drift", state="unknown", message=message)]
    quiet = now - since > timedelta(days=spec.quiet_days)
    if quiet:
        text = f"not enough traffic for {spec.quiet_days:g} days: {rows} rows since {since:%Y-%m-%d}, "
        text += f"{spec.psi_min_rows} are needed to judge drift"
        findings.append(
            Finding(
                model=model,
                kind="traffic",
                state="alert",
                message=text,
                value=float(rows),
                advice="Is the model still asked? If not, retire it; `aimass models` tells what is live",
            )
        )
    return findings
