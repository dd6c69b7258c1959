"""What the services took of the machine: asked of each process every half minute, kept by day in the ledger."""

from __future__ import annotations

from pipelines.inference.service.client import usage_of
from pipelines.ledger import Ledger


def keep_serving_usage(ledger: Ledger) -> None:
    """Ask every service that is ready for its counters, and keep them; what a process took after the last look is lost.

    The counters are the process's own, so that no time is missed or counted twice when this loop is started again.
    """
    for row in ledger.serving():
        for address in row.addresses if row.actual == "ready" else ():
            usage = usage_of(address)
            if usage is not None:
                counters = {name: usage[name] for name in ("cpu_seconds", "rows", "memory")}
                ledger.observe_serving(row.model, row.version, usage["process"], **counters)
