"""# housekeeping

Every day: removes the folders of old nights, old versions, what killed stages left, old logs and days of the prediction
log, and old rows of Airflow and MLflow, so that the home stays within its size. Whatever is live, served, in a release,
or may be rolled back to stays, and so do backups and what was read of growing sources. The log names each thing that
went, with size and reason. *Trigger* with `dry_run` lists what would go.

**Owner** data-engineering · **Schedule** 04:30 UTC · **Runbook** `docs/runbooks/housekeeping.md`

## When it fails
1. The log ends with the error. Nothing that is live or kept is touched by any failure.
2. Do what it says, then clear the task. To try it by hand: `aimass housekeeping --dry-run`.
"""

from datetime import timedelta

from aimass_airflow.operations import operation_dag
from airflow.sdk import Param

from pipelines.housekeeping.spec import HousekeepingSpec

HOUSEKEEPING = HousekeepingSpec(nights=14, versions=50, log_days=30, max_gb=50)

FORM = {
    "dry_run": Param(
        False,
        type="boolean",
        title="Dry run",
        description="List what would go, with size and reason, and remove nothing.",
    )
}

dag = operation_dag(
    "housekeeping", spec=HOUSEKEEPING, params=FORM, schedule="30 4 * * *", timeout=timedelta(minutes=30), doc_md=__doc__
)
