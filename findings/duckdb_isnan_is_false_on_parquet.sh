#!/usr/bin/env bash
# DuckDB 2.0.0: isnan(x) is false for every row of a Parquet file, NaN or not.
#
# Parquet statistics leave NaN out of a column's minimum and maximum. DuckDB takes these bounds for all there is, and
# replaces isnan(x) by false when it plans the query; the same rows in a table of its own are told right.
# `NOT (isfinite(x) OR isinf(x))` finds them. A check such as "no NaN among the labels" passes on Parquet whatever the
# file holds.
#
# Seen with duckdb 2.0.0 on a file of pyarrow 25.0.1: 0 of 2 NaN found on Parquet by isnan, 2 in a table, 2 by the other
# test. Exit code 1 if that changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet duckdb==2.0.0 pyarrow==25.0.1
"$work/venv/bin/python" - "$work/rows.parquet" <<'PYTHON'
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

pq.write_table(pa.table({"x": [1.0, float("nan"), 2.5, float("nan"), None]}), sys.argv[1])
connection = duckdb.connect()
connection.execute(f"CREATE TABLE t AS SELECT x FROM read_parquet('{sys.argv[1]}')")


def count(test: str, source: str) -> int:
    return connection.execute(f"SELECT count(*) FROM {source} WHERE {test}").fetchall()[0][0]


file = f"read_parquet('{sys.argv[1]}')"
seen = {
    "isnan(x) on Parquet": count("isnan(x)", file),
    "isnan(x) in a table": count("isnan(x)", "t"),
    "NOT (isfinite(x) OR isinf(x)) on Parquet": count("NOT (isfinite(x) OR isinf(x))", file),
}
print(f"duckdb {duckdb.__version__}, pyarrow {pa.__version__}; the file holds 2 NaN")
for test, rows in seen.items():
    print(f"{test:<42} {rows}")
sys.exit(list(seen.values()) != [0, 2, 2])
PYTHON
