"""The demo feed: a lender's loan applications, one CSV file per day; outcomes arrive days later.

Every day is a function of (seed, day) alone: which other days are generated changes nothing. The file of day D holds
the applications of D, outcome blank, and a second time the whole row of each application of the ten days before
whose outcome became known on D. About one row in 200 is dirty (a number or a date that cannot be read), some rows are
sent twice, some values are missing. Volume follows the week and the year; incomes, channels and risk drift slowly.
"""

from __future__ import annotations

import csv
import io
import math
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.artifacts import write_atomic
from pipelines.settings import make_private

COLUMNS = (
    "application_id",
    "applied_at",
    "age",
    "income",
    "amount",
    "term_months",
    "debt_ratio",
    "credit_years",
    "card_use",
    "late_payments",
    "open_loans",
    "has_cosigner",
    "channel",
    "home",
    "job",
    "purpose",
    "region",
    "branch",
    "postcode",
    "employer",
    "defaulted",
)
DELAYS = range(3, 11)
"""Days after which an outcome may arrive."""
EPOCH = date(2025, 1, 1)
"""The day from which drift is counted."""
HOMES = ("rent", "mortgage", "own", "parents")
CHANNELS = ("branch", "web", "app")
JOBS = ("employee", "public service", "self-employed", "student", "retired", "without work")
PURPOSES = (
    "car",
    "debt consolidation",
    "education",
    "furniture",
    "holiday",
    "home improvement",
    "medical",
    "moving",
    "solar",
    "wedding",
    "other",
)
REGIONS, BRANCHES, POSTCODES, EMPLOYERS = 52, 240, 1_800, 3_000

Column = NDArray[np.str_]


def simulate(folder: Path, start: date, days: int, seed: int = 0, rows_per_day: int = 400) -> list[Path]:
    """Write ``days`` daily files from ``start`` on, ``applications-YYYY-MM-DD.csv``; return their paths.

    Parameters
    ----------
    rows_per_day
        Mean number of new applications; a file holds about twice as many rows, outcomes included.
    """
    make_private(folder)
    written = []
    for offset in range(days):
        day = start + timedelta(days=offset)
        path = folder / f"applications-{day.isoformat()}.csv"
        write_atomic(path, day_file(day, seed, rows_per_day))
        written.append(path)
    return written


def day_file(day: date, seed: int = 0, rows_per_day: int = 400) -> str:
    """Return the text of one day's file."""
    rng = np.random.default_rng([seed, day.toordinal(), 1])
    fresh, _ = _applications(day, seed, rows_per_day)
    blank = fresh.copy()
    blank[:, -1] = ""
    parts = [blank]
    for delay in DELAYS:
        earlier, delays = _applications(day - timedelta(days=delay), seed, rows_per_day)
        parts.append(earlier[delays == delay])
    rows = np.concatenate(parts)
    twice = rng.choice(len(rows), max(1, len(rows) // 150), replace=False)
    rows = np.concatenate([rows, rows[twice]])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows.tolist())
    return text.getvalue()


@lru_cache(maxsize=32)
def _applications(day: date, seed: int, rows_per_day: int) -> tuple[Column, NDArray[np.int64]]:
    """Return one day's applications as text with their outcome, and the number of days after which it arrives."""
    rng = np.random.default_rng([seed, day.toordinal()])
    years = (day - EPOCH).days / 365.25
    season = math.sin(2 * math.pi * (day.timetuple().tm_yday - 80) / 365.25)
    weekday = (1.15, 1.1, 1.05, 1.05, 1.1, 0.85, 0.7)[day.weekday()]
    n = max(20, int(rng.poisson(rows_per_day * weekday * (1 + 0.15 * season))))
    effects = _effects(seed)

    age = np.clip(rng.normal(41, 13, n), 18, 85).round()
    job = _pick(rng, n, (0.55, 0.15, 0.12, 0.07, 0.08, 0.03))
    home = _pick(rng, n, (0.42, 0.31, 0.19, 0.08))
    app = min(0.7, max(0.1, 0.3 + 0.06 * years))
    channel = _pick(rng, n, (0.9 - app - 0.35 + 0.1, 0.35, app))
    purpose = _pick(
        rng, n, (0.24, 0.2, 0.06, 0.09, 0.05 + 0.02 * season, 0.14, 0.04, 0.04, 0.03, 0.03, 0.08 - 0.02 * season)
    )
    region = _zipf(rng, n, REGIONS, 0.5)
    branch = (region * 7 + _zipf(rng, n, 12, 0.6)) % BRANCHES
    postcode = (region * 35 + _zipf(rng, n, 60, 0.7)) % POSTCODES
    employer = _zipf(rng, n, EMPLOYERS, 0.8)
    wage = np.array([1.0, 1.05, 1.2, 0.45, 0.7, 0.4])[job]
    income = rng.lognormal(math.log(34_000 * 1.03**years), 0.38, n) * wage * (1 + 0.004 * (age - 41))
    amount = np.clip(rng.lognormal(9.0, 0.7, n) * (income / 34_000) ** 0.4, 500, 90_000)
    term = rng.choice([12, 24, 36, 48, 60, 84], n, p=[0.12, 0.2, 0.28, 0.18, 0.14, 0.08])
    debt = np.clip(rng.beta(2.2, 5.5, n) + 0.08 * (home == 1), 0, 0.95)
    credit_years = np.clip((age - 18) * rng.beta(2, 3, n), 0, None)
    card_use = np.clip(rng.beta(1.6, 2.6, n), 0, 1)
    late = rng.poisson(np.exp(-1.6 + 1.5 * card_use - 0.02 * credit_years))
    loans = rng.poisson(1.1 + 1.5 * debt)
    cosigner = rng.random(n) < 0.12

    burden = amount / np.maximum(income, 4_000)
    risk = (
        -1.9
        + 0.1 * years
        + 0.12 * season
        + 2.2 * np.tanh(1.6 * (burden - 0.3))
        + 3.0 * (debt - 0.3)
        + 2.4 * (card_use - 0.38)
        + 0.8 * np.minimum(late, 4)
        - 0.035 * np.minimum(credit_years, 25)
        + 0.012 * (term - 36)
        - 0.7 * cosigner
        + 0.1 * loans
        + 1.4 * (card_use > 0.75) * (debt > 0.35)
        + 0.5 * (age < 24)
        + np.array([0, -0.5, 0.35, 0.3, -0.2, 0.9])[job]
        + np.array([0.25, -0.15, -0.35, 0.15])[home]
        + np.array([-0.15, 0.0, 0.2])[channel]
        + np.array([-0.3, 0.35, 0.2, 0, 0.1, -0.35, 0.45, 0.1, -0.5, 0.1, 0.05])[purpose]
        + effects["region"][region]
        + effects["postcode"][postcode]
        + effects["employer"][employer]
    )
    defaulted = rng.random(n) < 1 / (1 + np.exp(-risk))
    delays = rng.integers(DELAYS.start, DELAYS.stop, n)

    second = np.sort(rng.integers(7 * 3600, 22 * 3600, n))
    stamp = [f"{day.isoformat()} {s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}" for s in second.tolist()]
    rows = np.stack(
        [
            np.array([f"LA-{day:%y%m%d}-{number:05d}" for number in range(n)]),
            np.array(stamp),
            _whole(age),
            _whole(income.round(-1)),
            _whole(amount.round(-1)),
            _whole(term),
            _decimal(debt, 3),
            _decimal(credit_years, 1),
            _decimal(card_use, 3),
            _whole(late),
            _whole(loans),
            np.where(cosigner, "yes", "no"),
            np.array(CHANNELS)[channel],
            np.array(HOMES)[home],
            np.array(JOBS)[job],
            np.array(PURPOSES)[purpose],
            _coded("R", region, 2),
            _coded("B", branch, 3),
            _coded("P", postcode + 10_000, 5),
            _coded("employer ", employer, 4),
            np.where(defaulted, "yes", "no"),
        ],
        axis=1,
    ).astype("U32")
    _spoil(rows, rng)
    return rows, delays


def _spoil(rows: Column, rng: np.random.Generator) -> None:
    """Plant missing values, blanks around text, and dirty cells in about one row of 200."""
    n = len(rows)
    column = {name: number for number, name in enumerate(COLUMNS)}
    for name, share in {"income": 0.04, "card_use": 0.06, "credit_years": 0.03, "employer": 0.07, "job": 0.02}.items():
        hit = rng.random(n) < share
        rows[hit, column[name]] = np.where(rng.random(n) < 0.25, "n/a", "")[hit]
    padded = rng.random(n) < 0.01
    rows[padded, column["purpose"]] = np.char.add(" ", rows[padded, column["purpose"]])
    for name, tokens, share in (
        ("amount", ("12k", "??", "1.500 EUR"), 0.002),
        ("income", ("unclear", "3x000"), 0.0015),
        ("applied_at", ("2026-02-31 09:00:00", "yesterday", "00.00.0000"), 0.0015),
    ):
        dirty = np.flatnonzero(rng.random(n) < share)
        rows[dirty, column[name]] = rng.choice(np.array(tokens), len(dirty))


@lru_cache(maxsize=4)
def _effects(seed: int) -> dict[str, NDArray[np.float64]]:
    """Return the fixed risk of each region, postcode and employer."""
    rng = np.random.default_rng([seed, 0])
    sizes = {"region": (REGIONS, 0.2), "postcode": (POSTCODES, 0.2), "employer": (EMPLOYERS, 0.25)}
    return {name: rng.normal(0, spread, size) for name, (size, spread) in sizes.items()}


def _pick(rng: np.random.Generator, n: int, shares: tuple[float, ...]) -> NDArray[np.int64]:
    weights = np.clip(np.array(shares), 0.01, None)
    return rng.choice(len(shares), n, p=weights / weights.sum())


def _zipf(rng: np.random.Generator, n: int, size: int, power: float) -> NDArray[np.int64]:
    return rng.choice(size, n, p=_weights(size, power))


@lru_cache(maxsize=16)
def _weights(size: int, power: float) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = np.arange(1, size + 1, dtype=float) ** -power
    weights /= weights.sum()
    return weights


def _whole(values: NDArray[np.generic]) -> Column:
    return values.astype(np.int64).astype("U12")


def _decimal(values: NDArray[np.float64], digits: int) -> Column:
    return np.array([f"{value:.{digits}f}" for value in values.tolist()])


def _coded(prefix: str, values: NDArray[np.int64], width: int) -> Column:
    return np.char.add(prefix, np.char.zfill(values.astype("U8"), width))
