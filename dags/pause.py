"""# pause

Lets a model answer no caller, with the reason, until it is resumed. Its nights go on, and its services keep running, so
that it answers again at once. The ledger keeps who asked and why.

**Owner** data-engineering · **Schedule** by hand, with a form · **Runbook** `docs/runbooks/pause.md`

## When it fails
1. The log ends with one error: what, where, seen, expected, cure. Nothing was changed.
2. Do what `cure` says. By hand: `aimass pause NAME --why TEXT`, `aimass resume NAME --why TEXT`.
"""

from datetime import timedelta

from aimass_airflow.operations import operation_dag
from aimass_airflow.params import model_param, reason_param
from airflow.sdk import Param

FORM = {
    "model": model_param(),
    "action": Param(
        "pause",
        type="string",
        enum=["pause", "resume"],
        title="Action",
        description="pause: callers get status 503 with the reason. resume: they get predictions again.",
    ),
    "why": reason_param(
        "Why; the ledger keeps it, and callers of a paused model are told.", "prices are wrong since the import of noon"
    ),
}

dag = operation_dag("pause", params=FORM, schedule=None, timeout=timedelta(minutes=5), doc_md=__doc__)
