"""Which suite judges the cleaned table."""

from __future__ import annotations

from pipelines.spec import Spec


class ValidateSpec(Spec):
    """Where the rules are, and whether they are shown."""

    suite: str = ""
    """JSON suite, or a folder with `suite.json`; empty: `expectations/<model>/suite.json` beside the DAG folder."""
    docs: bool = True
    """Write Data Docs, and show the latest under AIMASS_HOME/docs/<model>."""
