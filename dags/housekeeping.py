"""# housekeeping

Every day: removes the folders of old nights, what killed stages left, and old days of the prediction log and of the
task logs. Versions, their model directories and bentos, and backups stay.

**Owner** data-engineering · **Schedule** 04:30 UTC · **Runbook** `docs/runbooks/housekeeping.md`

## When it fails
1. The log ends with the error. Nothing that is live or kept is touched by any failure.
2. Do what it says, then clear the task. To try it by hand: `python -m pipelines housekeeping`.
"""

from datetime import timedelta

from aimass_airflow.operations import operation_dag

from pipelines.housekeeping.spec import HousekeepingSpec

HOUSEKEEPING = HousekeepingSpec(nights=14, log_days=30)

dag = operation_dag(
    "housekeeping", spec=HOUSEKEEPING, schedule="30 4 * * *", timeout=timedelta(minutes=30), doc_md=__doc__
)
