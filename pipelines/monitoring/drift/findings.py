"""The findings on drift and on surges of odd cells, in words: column, figure, reference, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.monitoring.findings import Finding

Figures = Mapping[str, Any]
ADVICE = {
    "drift": "Ask the callers what changed, such as a unit, a new category or a default; a column that is meant to "
    "move goes into MonitorSpec.leave_out",
    "nulls": "Ask the callers why they leave these out; a renamed or a broken field is sent as missing",
    "unseen": "Ask the callers which categories are new or spelled anew; the model reads them as unknown until a night "
    "has learned them",
}
WORDS = {"nulls": "missing cells", "unseen": "categories that training did not have"}


def drift_finding(
    model: str, window: Figures, before: Iterable[str], rows: int, named: int, left_out: str = "", follows: str = ""
) -> Finding:
    """Return what a window says about the distributions.

    Parameters
    ----------
    window
        ``{"columns": …, "verdict": …}``.
    before
        Columns that counted in the window before: others are named first.
    left_out
        What is said about columns that were not compared.
    follows
        What follows without anybody's doing.
    """
    columns, shifted = window["columns"], window["verdict"]["drift"]
    worst = max((one["psi"] for one in columns.values()), default=0.0)
    if not shifted:
        doubtful = [name for name, one in columns.items() if "drift" in one["shows"]]
        wait = f"; {_listed(doubtful, named)} may be shifted, the next windows decide" if doubtful else ""
        message = f"{len(columns)} columns over {rows} rows, largest PSI {worst:.3f}{wait}{left_out}"
        return Finding(model=model, kind="drift", state="ok", message=message, value=worst)
    known = set(before)
    ordered = sorted(shifted, key=lambda name: (name in known, -columns[name]["psi"]))
    texts = [f"{name} (PSI {columns[name]['psi']:.2f}{_moved(columns[name])})" for name in ordered]
    message = f"{len(shifted)} of {len(columns)} columns shifted over {rows} rows: {_listed(texts, named)}{left_out}"
    return Finding(
        model=model,
        kind="drift",
        state="alert",
        message=message,
        value=worst,
        about=tuple(shifted),
        advice=". ".join(filter(None, (ADVICE["drift"], follows))),
    )


def surge_finding(model: str, kind: Any, window: Figures, rows: int, named: int) -> Finding:
    """Return what a window says about missing (``nulls``) or ``unseen`` cells."""
    columns, surging = window["columns"], window["verdict"][kind]
    field = "missing" if kind == "nulls" else "unseen"
    shares = {name: one[field] for name, one in columns.items() if field in one}
    worst = max((now - then for now, then in shares.values()), default=0.0)
    if not surging:
        message = f"{WORDS[kind]} are at most {max(worst, 0.0):.1%} above training over {rows} rows"
        return Finding(model=model, kind=kind, state="ok", message=message, value=worst)
    ordered = sorted(surging, key=lambda name: shares[name][1] - shares[name][0])
    texts = [f"{name} ({shares[name][0]:.1%}, in training {shares[name][1]:.1%})" for name in ordered]
    message = f"{WORDS[kind]} surge over {rows} rows: {_listed(texts, named)}"
    return Finding(
        model=model, kind=kind, state="alert", message=message, value=worst, about=tuple(surging), advice=ADVICE[kind]
    )


def _moved(column: Figures) -> str:
    """Return which bin's share grew most."""
    counts = np.asarray(column["counts"], dtype=np.float64)
    now, then = counts / max(counts.sum(), 1.0), np.asarray(column["shares"])
    worst = int((now - then).argmax())
    return f"; {column['bins'][worst]}: {then[worst]:.0%} in training, {now[worst]:.0%} now"


def _listed(texts: Sequence[str], named: int) -> str:
    more = f" and {len(texts) - named} more" if len(texts) > named else ""
    return ", ".join(texts[:named]) + more
