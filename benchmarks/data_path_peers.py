"""The job of the data-path benchmark, hand-written once per library: ``python data_path_peers.py SYSTEM IN OUT``.

The job: a 10 % sample stratified by label (exact, by hash of the key), one row per key, three row rules, then on the
ten floats impute the median, clip at the 1st and 99th percentile and standardise; the two large categories become
their frequency, the small one is one-hot; everything is written as Parquet.
"""

from __future__ import annotations

import importlib
import sys
import time

from job_table import FLOATS, INTS, LEVELS

SHARE = 0.1
SMALL = [f"c5_{index:05d}" for index in range(LEVELS["c5"])]


def with_pandas(source: str, target: str) -> None:
    """Do the job in pandas, on pyarrow strings."""
    import pandas as pd

    frame = pd.read_parquet(source)
    frame = frame.groupby("label").sample(frac=SHARE, random_state=0)
    frame = frame.drop_duplicates("id", keep="last")
    frame = frame[(frame["i0"] >= 0) & ~(frame["f0"] <= -50) & (frame["i1"] != 13)]
    floats = frame[list(FLOATS)]
    floats = floats.fillna(floats.median())
    floats = floats.clip(floats.quantile(0.01), floats.quantile(0.99), axis=1)
    frame[list(FLOATS)] = (floats - floats.mean()) / floats.std(ddof=0)
    for name in ("c1000", "c20000"):
        frame[name] = frame[name].map(frame[name].value_counts(normalize=True)).astype(float)
    for text in SMALL:
        frame[text] = (frame["c5"] == text).astype("int8")
    frame.drop(columns="c5").to_parquet(target, index=False, compression="zstd")


def with_polars(source: str, target: str) -> None:
    """Do the job in Polars: the sample from two columns, the rest lazily."""
    import polars as pl

    keys = pl.scan_parquet(source).select("id", "label").with_columns(h=pl.col("id").hash(0)).collect()
    keys = keys.filter(pl.col("h").rank("ordinal").over("label") <= (pl.len().over("label") * SHARE).round())
    chosen = keys.select("id").unique()
    frame = pl.scan_parquet(source).join(chosen.lazy(), on="id", how="semi").unique("id", keep="any")
    frame = frame.filter(
        (pl.col("i0") >= 0) & (pl.col("f0").is_null() | (pl.col("f0") > -50)) & (pl.col("i1") != 13)
    ).collect()
    floats = [pl.col(name).fill_null(pl.col(name).median()) for name in FLOATS]
    floats = [column.clip(column.quantile(0.01), column.quantile(0.99)) for column in floats]
    floats = [
        ((column - column.mean()) / column.std(ddof=0)).alias(name) for column, name in zip(floats, FLOATS, strict=True)
    ]
    shares = [(pl.len().over(name) / pl.len()).alias(name) for name in ("c1000", "c20000")]
    hot = [(pl.col("c5") == text).cast(pl.Int8).alias(text) for text in SMALL]
    frame.lazy().with_columns(*floats, *shares, *hot).drop("c5").collect().write_parquet(target, compression="zstd")


def with_duckdb(source: str, target: str) -> None:
    """Do the job in DuckDB."""
    import duckdb

    con = duckdb.connect()
    con.execute("SET threads = 2; SET enable_progress_bar = false")
    con.execute(f"""
        CREATE TEMP TABLE chosen AS SELECT id FROM (
            SELECT id, row_number() OVER (PARTITION BY label ORDER BY hash(id)) AS rank,
                   count(*) OVER (PARTITION BY label) AS n FROM read_parquet('{source}'))
        WHERE rank <= round(n * {SHARE});
        CREATE TEMP TABLE kept AS SELECT DISTINCT ON (id) * FROM read_parquet('{source}') SEMI JOIN chosen USING (id);
        DELETE FROM kept WHERE i0 < 0 OR f0 <= -50 OR i1 = 13;
    """)  # noqa: S608 # the path is the benchmark's own
    stats = ", ".join(f"median({f}) AS m_{f}" for f in FLOATS)
    con.execute(f"CREATE TEMP TABLE medians AS SELECT {stats} FROM kept")  # noqa: S608 # fixed names
    filled = ", ".join(f"coalesce({f}, m_{f}) AS {f}" for f in FLOATS)
    con.execute(f"CREATE TEMP TABLE filled AS SELECT * REPLACE ({filled}) FROM kept, medians")  # noqa: S608
    bounds = ", ".join(f"quantile_cont({f}, [0.01, 0.99]) AS q_{f}" for f in FLOATS)
    con.execute(f"CREATE TEMP TABLE bounds AS SELECT {bounds} FROM filled")  # noqa: S608
    clipped = ", ".join(f"greatest(least({f}, q_{f}[2]), q_{f}[1]) AS {f}" for f in FLOATS)
    con.execute(f"CREATE TEMP TABLE clipped AS SELECT * REPLACE ({clipped}) FROM filled, bounds")  # noqa: S608
    spread = ", ".join(f"avg({f}) AS a_{f}, stddev_pop({f}) AS s_{f}" for f in FLOATS)
    con.execute(f"CREATE TEMP TABLE spread AS SELECT {spread}, count(*) AS n FROM clipped")  # noqa: S608
    chosen = ", ".join(
        [
            "id",
            *(f"({f} - a_{f}) / s_{f} AS {f}" for f in FLOATS),
            *INTS,
            "c50",
            "label",
            *(f"count(*) OVER (PARTITION BY {c}) / n AS {c}" for c in ("c1000", "c20000")),
            *(f"(c5 = '{text}')::TINYINT AS {text}" for text in SMALL),
        ]
    )
    con.execute(
        f"COPY (SELECT {chosen} FROM clipped, spread) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"  # noqa: S608
    )


def with_dask(source: str, target: str) -> None:
    """Do the job in Dask on threads; its quantiles are approximate."""
    import dask
    import dask.dataframe as dd
    import pandas as pd

    with dask.config.set(scheduler="threads", num_workers=2):
        frame = dd.read_parquet(source, split_row_groups=True)
        meta = frame._meta
        frame = frame.map_partitions(lambda part: part.groupby("label").sample(frac=SHARE, random_state=0), meta=meta)
        frame = frame.drop_duplicates("id")
        frame = frame[(frame["i0"] >= 0) & ~(frame["f0"] <= -50) & (frame["i1"] != 13)].persist()
        medians, *counts = dask.compute(
            frame[list(FLOATS)].median_approximate(),
            *(frame[name].value_counts(normalize=True) for name in ("c1000", "c20000")),
        )
        filled = frame[list(FLOATS)].fillna(medians)
        counts = [count.astype("float64").to_dict() for count in counts]
        low, high = dask.compute(filled.quantile(0.01), filled.quantile(0.99))
        clipped = filled.clip(low, high, axis=1)
        mean, std = dask.compute(clipped.mean(), clipped.std(ddof=0))

        def finish(part: pd.DataFrame) -> pd.DataFrame:
            floats = part[list(FLOATS)].fillna(medians).clip(low, high, axis=1)
            shares = {name: part[name].map(count) for name, count in zip(("c1000", "c20000"), counts, strict=True)}
            hot = {text: (part["c5"] == text).astype("int8") for text in SMALL}
            return part.drop(columns="c5").assign(**((floats - mean) / std), **shares, **hot)

        like = finish(frame.get_partition(0).compute()).iloc[:0]
        frame.map_partitions(finish, meta=like).to_parquet(target, compression="zstd", write_index=False)


SYSTEMS = {"pandas": with_pandas, "polars": with_polars, "duckdb": with_duckdb, "dask": with_dask}

if __name__ == "__main__":
    importlib.import_module("dask.dataframe" if sys.argv[1] == "dask" else sys.argv[1])
    started = time.monotonic()
    SYSTEMS[sys.argv[1]](sys.argv[2], sys.argv[3])
    print(f"job {time.monotonic() - started}")
