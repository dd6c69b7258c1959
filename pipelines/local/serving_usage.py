"""What the services took of the machine: asked of each process every half minute, kept by day in the ledger."""

from __future__ import annotations

from pipelines.inference.service.client import usage_of
from pipelines.inference.service.tls import Certificates
from pipelines.ledger import Ledger
from pipelines.local.serving_host import ServingHost

TRIES = 3


def keep_serving_usage(
    ledger: Ledger | ServingHost, unable: dict[str, int], certificates: Certificates | None = None
) -> None:
    """Ask every service that is ready for its counters, and keep them; what a process took after the last look is lost.

    The counters are the process's own, so that no time is missed or counted twice when this loop is started again.

    Parameters
    ----------
    unable
        How often an address could not tell, kept by the caller: that of an earlier release never can, and logs each
        question as a failure, so it is asked three times.
    """
    for row in ledger.serving():
        for address in row.addresses if row.actual == "ready" else ():
            if unable.get(address, 0) >= TRIES:
                continue
            usage = usage_of(address, certificates=certificates)
            if usage is None:
                unable[address] = unable.get(address, 0) + 1
            else:
                unable.pop(address, None)
                counters = {name: usage[name] for name in ("cpu_seconds", "rows", "memory")}
                ledger.observe_serving(row.model, row.version, usage["process"], **counters)
