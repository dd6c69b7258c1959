"""# backup

Every night: one verified backup of the databases, model directories, bentos, DAG files and expectation suites, into
`$AIMASS_HOME/backups`. The last seven are kept. Keys and passwords are not in it.

**Owner** data-engineering · **Schedule** 03:30 UTC · **Runbook** `docs/runbooks/backup.md`

## When it fails
1. The log ends with one `BackupError`: what, where, seen, expected, cure. Earlier backups are untouched.
2. Do what `cure` says, then clear the task, or run `aimass backup`.
3. To get something back: `aimass restore latest --into DIR`, an empty folder.
"""

from datetime import timedelta

from aimass_airflow.operations import operation_dag

from pipelines.backup.spec import BackupSpec

BACKUP = BackupSpec(keep=7)

dag = operation_dag("backup", spec=BACKUP, schedule="30 3 * * *", timeout=timedelta(hours=1), doc_md=__doc__)
