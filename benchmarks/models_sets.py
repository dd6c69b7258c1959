"""The six tables of the model benchmark: one training file and one test file, the same for every system.

========== ============================================================= ========= ===========================
set        training rows / test rows                                     error     seeds change
========== ============================================================= ========= ===========================
adult      the official training file / the official test file           1 - AUC   the learners
california three quarters / one quarter, drawn                           RMSE      the rows and the learners
flights    January-September / October-December, known before departure  1 - AUC   the learners
dry_bean   three quarters / one quarter, drawn by class                  log loss  the rows and the learners
telco      three quarters / one quarter, drawn by class                  1 - AUC   the rows and the learners
bike       before 2012-10-01 / from then on                              RMSE      the learners
========== ============================================================= ========= ===========================

Missing words (``?``, ``NA``, blanks) become empty cells, moments ISO texts, labels the same words in both files;
nothing else is done for anyone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ADULT = (
    "age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation", "relationship", "race",
    "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country", "income",
)  # fmt: skip
MISSING = ("?", "NA", "", " ")
TEST_SHARE = 0.25
METRIC = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


@dataclass(frozen=True)
class Table:
    """Training rows and test rows.

    Attributes
    ----------
    time
        Column of the moments, for systems that want to be told.
    """

    task: str
    target: str
    train: pd.DataFrame
    test: pd.DataFrame
    positive: str | None = None
    time: str | None = None
    classes: tuple[str, ...] = field(default=())


def adult(data: Path, seed: int) -> Table:
    """Read the two official files."""
    train, test = (
        pd.read_csv(data / "adult" / f"adult-{side}.csv.gz", names=ADULT, skipinitialspace=True, na_values=MISSING)
        for side in ("train", "test")
    )
    test["income"] = test["income"].str.rstrip(".")
    return Table("binary", "income", train, test, positive=">50K", classes=("<=50K", ">50K"))


def california(data: Path, seed: int) -> Table:
    """Draw a quarter of the districts."""
    rows = pd.read_csv(data / "california_housing" / "housing.csv.gz")
    return Table("regression", "median_house_value", *drawn(rows, None, seed))


def dry_bean(data: Path, seed: int) -> Table:
    """Draw a quarter of each class."""
    rows = pd.read_csv(data / "dry_bean" / "Dry_Bean_Dataset.csv.gz", sep=";")
    return Table("multiclass", "Class", *drawn(rows, "Class", seed), classes=tuple(sorted(rows["Class"].unique())))


def telco(data: Path, seed: int) -> Table:
    """Draw a quarter of each class; the customer's number is left out."""
    rows = pd.read_csv(data / "telco_churn" / "Telco-Customer-Churn.csv.gz", na_values=MISSING, keep_default_na=False)
    rows = rows.drop(columns="customerID")
    return Table("binary", "Churn", *drawn(rows, "Churn", seed), positive="Yes", classes=("No", "Yes"))


def bike(data: Path, seed: int) -> Table:
    """Cut at 2012-10-01; the day and the hour become one moment, the parts of the target are left out."""
    rows = pd.read_csv(data / "bike_sharing" / "hour.csv.gz")
    moment = pd.to_datetime(rows["dteday"], format="%m/%d/%Y") + pd.to_timedelta(rows["hr"], unit="h")
    rows = rows.drop(columns=["instant", "dteday", "casual", "registered"])
    rows.insert(0, "moment", moment)
    return cut(Table("regression", "cnt", rows, rows, time="moment"), "2012-10-01")


def flights(data: Path, seed: int) -> Table:
    """Join the five tables, keep what is known before departure, cut at October.

    The weather is that of the last full hour before the scheduled departure at the origin, up to 6 hours old.
    """
    folder = data / "nyc_flights13"
    names = ("flights", "weather", "planes", "airports", "airlines")
    flown, weather, planes, airports, airlines = (
        pd.read_csv(folder / f"{name}.csv.gz", na_values=MISSING, low_memory=False) for name in names
    )
    flown = flown[flown["arr_delay"].notna()]
    minute = (flown["dep_time"] // 100 * 60 + flown["dep_time"] % 100 - flown["dep_delay"]) % 1440
    rows = flown[["month", "day", "carrier", "flight", "tailnum", "origin", "dest", "distance"]].copy()
    rows.insert(0, "scheduled", pd.to_datetime(flown[["year", "month", "day"]]) + pd.to_timedelta(minute, unit="m"))
    rows["sched_minute"] = minute
    rows["late"] = np.where(flown["arr_delay"] >= 15, "true", "false")
    weather = weather.dropna(subset=["year", "month", "day", "hour"])
    weather["known"] = pd.to_datetime(weather[["year", "month", "day", "hour"]])
    weather = weather[["origin", "known", "temp", "humid", "wind_speed", "precip", "pressure", "visib"]]
    rows = pd.merge_asof(
        rows.sort_values("scheduled", kind="stable"), weather.sort_values("known", kind="stable"), left_on="scheduled",
        right_on="known", by="origin", tolerance=pd.Timedelta(hours=6),
    ).drop(columns="known")  # fmt: skip
    planes = planes.rename(columns={"year": "built"})[["tailnum", "built", "manufacturer", "engines", "seats"]]
    airports = airports.rename(columns={"faa": "dest"})[["dest", "lat", "lon", "alt"]]
    airlines = airlines.rename(columns={"name": "airline"})[["carrier", "airline"]]
    for known in (planes, airports.drop_duplicates("dest"), airlines):
        rows = rows.merge(known, how="left", on=known.columns[0])
    table = Table("binary", "late", rows, rows, positive="true", time="scheduled", classes=("false", "true"))
    return cut(table, "2013-10-01")


SETS: dict[str, Callable[[Path, int], Table]] = {
    "adult": adult, "california": california, "flights": flights, "dry_bean": dry_bean, "telco": telco, "bike": bike,
}  # fmt: skip


def drawn(rows: pd.DataFrame, by: str | None, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw the test rows, the same share of each value of ``by``; both parts keep the file's order."""
    rng = np.random.default_rng([seed, len(rows)])
    groups = (
        [np.arange(len(rows))] if by is None else [np.flatnonzero(rows[by] == value) for value in rows[by].unique()]
    )
    test = np.zeros(len(rows), dtype=bool)
    for group in groups:
        test[rng.choice(group, round(TEST_SHARE * len(group)), replace=False)] = True
    return rows[~test], rows[test]


def cut(table: Table, day: str) -> Table:
    """Divide a dated table at a day."""
    moments = table.train[table.time]
    before, after = table.train[moments < day], table.train[moments >= day]
    return Table(table.task, table.target, before, after, table.positive, table.time, table.classes)


def write_set(name: str, data: Path, seed: int, folder: Path) -> dict[str, Any]:
    """Write ``train.csv``, ``test.csv`` (without the target), ``truth.npy`` and ``meta.json``; return the last.

    ``truth`` holds values, or indices into ``classes``.
    """
    if (folder / "meta.json").is_file():
        found: dict[str, Any] = json.loads((folder / "meta.json").read_text())
        return found
    table = SETS[name](data, seed)
    folder.mkdir(parents=True, exist_ok=True)
    table.train.to_csv(folder / "train.csv", index=False)
    table.test.drop(columns=table.target).to_csv(folder / "test.csv", index=False)
    labels = table.test[table.target]
    truth = labels.map({label: index for index, label in enumerate(table.classes)}) if table.classes else labels
    np.save(folder / "truth.npy", truth.to_numpy(dtype=np.float64), allow_pickle=False)
    meta = {key: value for key, value in asdict(table).items() if key not in ("train", "test")}
    meta |= {"name": name, "seed": seed, "metric": METRIC[table.task], "rows": [len(table.train), len(table.test)]}
    (folder / "meta.json").write_text(json.dumps(meta, indent=1))
    return meta
