"""# retrain_loans

Every night: reads the daily loan files of the demo feed, trains on the rows whose outcome is known, and puts the
new version into service if it is not worse than the one that is live.

**Owner** data-engineering · **Schedule** 02:00 UTC · **Predicts** `defaulted`, the probability of `yes`
**Runbook** `docs/runbooks/retrain.md`

## When a night fails
1. The alert and the red task name one error: what, where, seen, expected, cure. The task log holds the rest.
2. `SpecError`: correct the settings below. `DataError`: talk to the owner of the feed; the rows held back lie in the
   quarantine of the night. `GateError`: the candidate is unfit, the live version stays. `DeployError`: the live
   version stays in service; see the log of the bento.
3. Clear the failed task: finished stages are re-used, and a night never makes a second version.

A *skipped* `package` and `deploy` is no failure: the live version was kept, or the run was asked to stop before deploy.
"""

from aimass_airflow import (
    clean,
    deploy,
    ensemble,
    evaluate,
    features,
    ingest,
    package,
    register,
    retrain_dag,
    sample,
    split,
    tune,
    validate,
)
from airflow.sdk import TaskGroup

from pipelines.cleaning.spec import CleanSpec
from pipelines.deployment.spec import DeploySpec
from pipelines.ensembling.spec import EnsembleSpec
from pipelines.evaluation.spec import EvaluateSpec
from pipelines.features.spec import FeatureSpec
from pipelines.ingestion.spec import Files, IngestSpec
from pipelines.packaging.spec import PackageSpec
from pipelines.registry.spec import RegisterSpec
from pipelines.sampling.spec import SampleSpec
from pipelines.spec import ModelSpec
from pipelines.splitting.spec import SplitSpec
from pipelines.tuning.spec import TuneSpec
from pipelines.validation.spec import ValidateSpec

MODEL = ModelSpec(
    name="loans",
    task="binary",
    target="defaulted",
    positive="yes",
    key=("application_id",),
    time="applied_at",
    owner="data-engineering",
)
INGEST = IngestSpec(source=Files(path="home:feed/loans/applications-*.csv", file_date="applications-%Y-%m-%d.csv"))
SAMPLE = SampleSpec()
CLEAN = CleanSpec()
VALIDATE = ValidateSpec()
SPLIT = SplitSpec()
FEATURES = FeatureSpec()
TUNE = TuneSpec()
ENSEMBLE = EnsembleSpec()
EVALUATE = EvaluateSpec()
REGISTER = RegisterSpec()
PACKAGE = PackageSpec()
DEPLOY = DeploySpec()
SPECS = (INGEST, SAMPLE, CLEAN, VALIDATE, SPLIT, FEATURES, TUNE, ENSEMBLE, EVALUATE, REGISTER, PACKAGE, DEPLOY)

with retrain_dag(MODEL, doc_md=__doc__, schedule="0 2 * * *", specs=SPECS) as dag:
    with TaskGroup("data"):
        raw = ingest(INGEST)
        sampled = sample(SAMPLE, raw)
        cleaned = clean(CLEAN, sampled)
        report = validate(VALIDATE, cleaned)
        parts = split(SPLIT, cleaned, after=report)
    with TaskGroup("train"):
        table = features(FEATURES, parts, cleaned)
        trials = tune(TUNE, table)
        model = ensemble(ENSEMBLE, trials, table, cleaned)
        verdict = evaluate(EVALUATE, model, parts)
    with TaskGroup("release"):
        version = register(REGISTER, model, verdict)
        bento = package(PACKAGE, version)
        deploy(DEPLOY, bento, version)
