"""# promote

Makes a version of a model live that its night kept, or whose canary paused: its service repeats its golden predictions
and what it predicted for logged requests, then callers are switched. The history keeps who asked and why.

**Owner** data-engineering · **Schedule** by hand, with a form · **Runbook** `docs/runbooks/promote.md`

## When it fails
1. The log ends with one error: what, where, seen, expected, cure. Nothing was switched: what was live is live.
2. Do what `cure` says, or choose another version; `aimass versions NAME` lists them.
3. By hand: `aimass promote NAME V --why TEXT`.
"""

from datetime import timedelta

from aimass_airflow.operations import operation_dag
from aimass_airflow.params import model_param, reason_param
from airflow.sdk import Param

FORM = {
    "model": model_param(),
    "to": Param(
        type="integer",
        minimum=1,
        title="Version",
        description="Number of the version that goes live, as `aimass versions NAME` lists it.",
        examples=[3],
    ),
    "why": reason_param("Why; the history of what was live keeps it.", "better for new customers"),
}

dag = operation_dag(
    "promote", operation="rollback", params=FORM, schedule=None, timeout=timedelta(minutes=5), doc_md=__doc__
)
