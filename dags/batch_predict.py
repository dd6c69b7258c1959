"""# batch_predict

Predicts every row of a file, a folder or a glob with one version of a model, and writes one file. Any number of rows:
they are predicted part by part, and a run that was stopped goes on where it was. The output appears when it is whole.

**Owner** data-engineering · **Schedule** by hand, with a form · **Runbook** `docs/runbooks/batch_predict.md`

## When it fails
1. The log ends with one error: what, where, seen, expected, cure. No output was written; an earlier one is untouched.
2. Do what `cure` says, then clear the task: finished parts are kept, and no row is predicted twice.
3. By hand: `aimass predict NAME --input PATH --output FILE`. It goes on from the same parts.
"""

from datetime import timedelta

from aimass_airflow.operations import operation_dag
from aimass_airflow.params import model_param
from airflow.sdk import Param

FORM = {
    "model": model_param(),
    "input": Param(
        type="string",
        minLength=1,
        title="Input",
        description="File, folder, glob or s3:// address of CSV, JSON lines or Parquet, packed or not. A relative path "
        "is below the project; `home:` is AIMASS_HOME.",
        examples=["data/new.csv", "/srv/orders/2026-03-01/", "/srv/orders/*.parquet", "s3://bucket/orders/"],
    ),
    "output": Param(
        type="string",
        pattern=r"\.(csv|parquet)$",
        title="Output",
        description="File to write, .csv or .parquet, in a folder that exists. A relative path is below the project.",
        examples=["data/predictions.parquet", "/srv/predictions/2026-03-01.csv"],
    ),
    "version": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Version",
        description="Number of a version, as `aimass show NAME` lists them. Empty: the live one.",
        examples=[3],
    ),
}

dag = operation_dag(
    "batch_predict", operation="batch", params=FORM, schedule=None, timeout=timedelta(hours=12), doc_md=__doc__
)
