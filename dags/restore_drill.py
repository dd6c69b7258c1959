"""# restore_drill

Every week: restores the newest backup to a scratch folder, opens the ledger and MLflow there, serves every live version
from it and sends stored requests again: golden rows, and logged requests as they were sent. Each prediction must be
byte for byte what it was. Its result holds recovery time and recovery point. Nothing of it stays. In a new
installation, where nothing was ever live and there is no backup, it is skipped.

**Owner** data-engineering · **Schedule** Sundays 05:30 UTC · **Runbook** `docs/runbooks/restore_drill.md`

## When it fails
1. The log ends with one error: what, where, seen, expected, cure. What is live is untouched. An alert is open until a
   drill succeeds.
2. Until then the backups are not to be trusted: run `aimass backups verify --all`, which names the last good one.
3. Do what `cure` says, run the DAG `backup`, then clear this task.
"""

from datetime import timedelta

from aimass_airflow.operations import operation_dag

from pipelines.drill.spec import DrillSpec

DRILL = DrillSpec(max_age_hours=36)

dag = operation_dag("restore_drill", spec=DRILL, schedule="30 5 * * 0", timeout=timedelta(hours=2), doc_md=__doc__)
