"""# retrain_flight_delays

Every night: joins the day's flights with weather, planes, airports and airlines, trains on the flights that have
landed, and puts the new version into service if it is not worse than the one that is live.

**Owner** data-engineering · **Schedule** 02:00 UTC · **Predicts** the probability that `late` is `true`: a flight
arrives 15 minutes late or later, as it can be known before departure
**Runbook** `docs/runbooks/retrain.md`

## When a night fails
1. The alert and the red task name one error: what, where, seen, expected, cure. The task log holds the rest.
2. `SpecError`: correct the settings below. `DataError`: talk to the owner of the source; the rows held back lie in the
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
from pipelines.ingestion.spec import Derived, Files, IngestSpec, Join
from pipelines.packaging.spec import PackageSpec
from pipelines.registry.spec import RegisterSpec
from pipelines.sampling.spec import SampleSpec
from pipelines.spec import ModelSpec
from pipelines.splitting.spec import SplitSpec
from pipelines.tuning.spec import TuneSpec
from pipelines.validation.spec import ValidateSpec

FEED = "home:feed/flights"
ONLY_AFTER_DEPARTURE = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "hour", "minute")

MODEL = ModelSpec(
    name="flight_delays",
    task="binary",
    target="late",
    positive="true",
    key=("flight_id",),
    time="scheduled",
    drop=(*ONLY_AFTER_DEPARTURE, "year", "month", "day"),
    owner="data-engineering",
)
INGEST = IngestSpec(
    source=Files(path=f"{FEED}/flights-*.csv", file_date="flights-%Y-%m-%d.csv"),
    derived=(
        Derived(
            name="sched_minute",
            expression="(floor(dep_time / 100) * 60 + dep_time % 100 - dep_delay) % 1440",
            serve="caller",
        ),
        # a cancelled flight never had times: it counts for its day
        Derived(
            name="scheduled",
            expression="moment(year, month, day, 0, 0) if missing(sched_minute) else "
            "moment(year, month, day, floor(sched_minute / 60), sched_minute % 60)",
        ),
        Derived(name="flight_id", expression="concat(year, '-', month, '-', day, ' ', carrier, flight, ' ', origin)"),
        Derived(name="late", expression="arr_delay >= 15", serve="never"),
    ),
    joins=(
        Join(
            name="weather",
            source=Files(path=f"{FEED}/weather-*.csv", file_date="weather-%Y-%m-%d.csv"),
            on=["origin"],
            time="moment(year, month, day, hour)",
            at="scheduled",
            max_age_hours=6,
            columns=["temp", "humid", "wind_speed", "precip", "pressure", "visib"],
            serve="caller",
        ),
        Join(
            name="planes",
            source=f"{FEED}/planes.csv",
            on=["tailnum"],
            columns={"year": "built", "manufacturer": "manufacturer", "engines": "engines", "seats": "seats"},
        ),
        Join(name="airports", source=f"{FEED}/airports.csv", on={"dest": "faa"}, columns=["lat", "lon", "alt"]),
        Join(name="airlines", source=f"{FEED}/airlines.csv", on=["carrier"], columns={"name": "airline"}),
    ),
)
SAMPLE = SampleSpec()
CLEAN = CleanSpec()
VALIDATE = ValidateSpec()
# in the timetable long before; only these files lack it for cancelled flights
SPLIT = SplitSpec(leaks_allowed=("sched_minute",))
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
