"""What stages take where no night of the model has been measured, on two cores.

Up to ``features`` as ``benchmarks/data_path.py`` finds it on 10 million rows × 20 columns, rounded up; from ``tune`` on
as nights of 20,000 to 45,000 rows × 14 columns took with two families and four trials. Other columns and families take
more or less; the interval says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.planning.growth import Curve

GROWS_WITH = {
    "ingest": "ingest",
    "sample": "ingest",
    "clean": "sample",
    "validate": "clean",
    "split": "clean",
    "features": "split",
    "tune": "features",
    "ensemble": "features",
    "evaluate": "features",
}
"""Stage → the stage whose rows are its work; the others take the same whatever the rows."""
SORTS = ("clean",)
"""Stages whose work grows as n log n: to find rows that repeat a key, they are put into its order."""
REUSED_SECONDS = 2.0
"""A stage whose result is taken from an earlier night: a process that starts and checks it."""
BETWEEN_SECONDS = 20.0
"""Of a whole night, outside its stages."""


SOME_MEMORY, SOME_BYTES = Curve(3e8), Curve(1e6)
"""Of a stage that reads little."""


@dataclass(frozen=True)
class Curves:
    """Of one stage; work is in rows.

    Parameters
    ----------
    seconds
        Wall clock, the start of the process included.
    cores
        CPU seconds per second.
    memory, written
        Bytes.
    """

    seconds: Curve
    cores: float = 1.0
    memory: Curve = SOME_MEMORY
    written: Curve = SOME_BYTES


DEFAULT = Curves(Curve(3.0))
CURVES: Mapping[str, Curves] = {
    "ingest": Curves(Curve(2.0, 1.7e-6), 1.8, Curve(5e8, 20.0), Curve(1e6, 100.0)),
    "sample": Curves(Curve(1.5, 0.5e-6), 1.6, Curve(4e8, 10.0), Curve(1e6, 12.0)),
    "clean": Curves(Curve(1.5, 4.2e-6), 1.8, Curve(4e8, 100.0), Curve(1e6, 110.0)),
    "validate": Curves(Curve(2.5, 1.5e-6), 1.2, Curve(3e8, 50.0)),
    "split": Curves(Curve(1.5, 3.0e-6), 1.5, Curve(4e8, 50.0), Curve(1e6, 110.0)),
    "features": Curves(Curve(2.0, 4.0e-6), 1.8, Curve(4e8, 100.0), Curve(1e6, 80.0)),
    "tune": Curves(Curve(8.0, 2.5e-5), 1.8, Curve(8e8, 500.0)),
    "ensemble": Curves(Curve(5.0, 1.0e-4), 1.8, Curve(6e8, 500.0)),
    "evaluate": Curves(Curve(8.0, 2.0e-5), 1.2, Curve(5e8, 100.0)),
    "register": Curves(Curve(5.0)),
    "package": Curves(Curve(4.0)),
    "deploy": Curves(Curve(6.0)),
}
"""``tune`` is per row and trial."""
BUDGETED: Mapping[str, Curves] = {
    "tune": Curves(Curve(4.0, 0.75), 1.8, Curve(1e9)),
    "ensemble": Curves(Curve(4.0, 0.2), 1.8, Curve(8e8)),
}
"""Per second of the budget, where the search has one in seconds."""


def curves_of(stage: str, *, budgeted: bool = False) -> Curves:
    """Return the curves of a stage; ``budgeted``: its search has a budget in seconds."""
    return (BUDGETED if budgeted else {}).get(stage) or CURVES.get(stage, DEFAULT)
