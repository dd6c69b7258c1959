"""# monitor

Every 15 minutes: is the gateway ready, and for every live model: is its service ready, its error rate low, its
version young, and do callers send what it was trained on? Alerts go to the ledger, `$AIMASS_HOME/logs/alerts.log`
and the channels that are set.

**Owner** data-engineering · **Schedule** every 15 minutes, UTC · **Runbook** `docs/runbooks/monitor.md`

## When it fails
An alert does not fail this DAG; a red run means that nobody looked.
1. The log ends with the error. A lock or a full disk shows there; clear the task once it is gone.
2. For the alerts themselves, see the runbook: it has one line for each kind.
"""

from datetime import timedelta

from aimass_airflow.operations import operation_dag

from pipelines.monitoring.spec import MonitorSpec

MONITOR = MonitorSpec()

dag = operation_dag("monitor", spec=MONITOR, schedule="*/15 * * * *", timeout=timedelta(minutes=5), doc_md=__doc__)
