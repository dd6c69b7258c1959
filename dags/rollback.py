"""# rollback

Makes an earlier version of a model live again, in seconds: its service repeats its golden predictions and what it
predicted for logged requests, then callers are switched. The history keeps the reason.

**Owner** data-engineering · **Schedule** by hand, with a form · **Runbook** `docs/runbooks/rollback.md`

## When it fails
1. The log ends with one error: what, where, seen, expected, cure. Nothing was switched: what was live is live.
2. Do what `cure` says, or choose another version; `aimass show NAME` lists them.
3. By hand: `aimass rollback NAME --why TEXT`.
"""

from datetime import timedelta

from aimass_airflow.operations import operation_dag
from aimass_airflow.params import model_param, reason_param
from airflow.sdk import Param

FORM = {
    "model": model_param(),
    "to": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Version",
        description="Number of the version that goes live. Empty: the one that was live before the present one.",
        examples=[3],
    ),
    "why": reason_param("Why; the history of what was live keeps it.", "odd scores since noon"),
}

dag = operation_dag(
    "rollback", operation="rollback", params=FORM, schedule=None, timeout=timedelta(minutes=5), doc_md=__doc__
)
