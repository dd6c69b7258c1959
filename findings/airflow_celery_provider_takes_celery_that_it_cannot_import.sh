#!/usr/bin/env bash
# apache-airflow-providers-celery 3.26.0 declares celery>=5.5.0,<6, and cannot be imported with celery 5.7.0.
#
# Its executor imports "retry" from celery.backends.database, which celery 5.7.0 no longer has there. A resolver takes
# that celery, being the newest that is declared; the scheduler and every worker then end with ImportError: cannot
# import name 'retry'. With celery below 5.7 they start.
#
# Seen with apache-airflow 3.3.2 and celery 5.7.0 on Python 3.11. Exit code 1 if that changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export AIRFLOW_HOME="$work/airflow"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "apache-airflow==3.3.2" "apache-airflow-providers-celery==3.26.0" "celery[redis]==5.7.0"
"$work/venv/bin/pip" check
"$work/venv/bin/python" - <<'PYTHON'
from importlib.metadata import requires

print("declared:", [each for each in requires("apache-airflow-providers-celery") if each.startswith("celery")])
try:
    import airflow.providers.celery.executors.celery_executor_utils
except ImportError as error:
    print("seen:", error)
    raise SystemExit(0 if "retry" in str(error) else 1)
print("it is imported")
raise SystemExit(1)
PYTHON
