"""# backup

Every night, and after each night that put a version into service: one verified backup of the databases, model
directories, bentos, MLflow's artifacts, DAG files and expectation suites, into `$AIMASS_HOME/backups`. It reads and
stores what is new since the last one. Kept are the newest 7, and the last of 7 days, 4 weeks and 6 months. Keys and
passwords are not in it.

**Owner** data-engineering · **Schedule** 03:30 UTC, asset `aimass_version_live` · **Runbook** `docs/runbooks/backup.md`

## When it fails
1. The log ends with one `BackupError`: what, where, seen, expected, cure. Earlier backups are untouched.
2. Do what `cure` says, then clear the task, or run `aimass backup`.
3. To get something back: `aimass restore latest --into DIR`, an empty folder.
"""

from datetime import timedelta

from aimass_airflow.assets import VERSION_LIVE
from aimass_airflow.operations import operation_dag

from pipelines.backup.spec import BackupSpec

BACKUP = BackupSpec(keep=7, daily=7, weekly=4, monthly=6)

dag = operation_dag(
    "backup", spec=BACKUP, schedule="30 3 * * *", after=VERSION_LIVE, timeout=timedelta(hours=1), doc_md=__doc__
)
