#!/usr/bin/env bash
# DuckDB 2.0.0: a projection that holds `x IN (many constants)` gives rows in another order than the table has.
#
# DuckDB documents that it keeps the order of insertion (preserve_insertion_order is true by default) for queries
# without ORDER BY. From a handful of constants on, IN becomes a hash join (a MARK join in EXPLAIN), and rows that
# stream out behind it no longer follow the table; list_contains() with a constant list is turned into the same join.
# Whoever reads one table twice, once for keys and once for values, and puts both side by side gets rows that do not
# belong together. `SET disabled_optimizers = 'in_clause'` keeps the order.
#
# Seen with duckdb 2.0.0 on two threads, 3,000,000 rows: IN with 3 constants in order, IN and list_contains with 8 out of
# order, IN with 8 in order once that optimizer is off. Exit code 1 if that changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet duckdb==2.0.0 pyarrow==25.0.1 numpy==2.4.6
"$work/venv/bin/python" - "$work/rows.duckdb" <<'PYTHON'
import sys

import duckdb
import numpy as np

connection = duckdb.connect(sys.argv[1], config={"threads": "2"})
connection.execute(
    "CREATE TABLE t AS SELECT i, CASE WHEN i % 3 = 0 THEN 'yes' ELSE 'no' END AS label FROM range(3000000) AS r(i)"
)
(kept,) = connection.execute("SELECT current_setting('preserve_insertion_order')").fetchall()
few, many = ["a", "b", "c"], ["a", "b", "c", "d", "e", "f", "g", "h"]
tests = {
    "IN with 3 constants": f"label IN {tuple(few)}",
    "IN with 8 constants": f"label IN {tuple(many)}",
    "list_contains with 8 constants": f"list_contains({many}, label)",
}
seen = {}
for name, test in tests.items():
    rows = connection.sql(f"SELECT i, {test} AS found FROM t").to_arrow_reader(65536).read_all()
    seen[name] = bool((np.diff(rows["i"].to_numpy()) == 1).all())
connection.execute("SET disabled_optimizers = 'in_clause'")
rows = connection.sql(f"SELECT i, label IN {tuple(many)} AS found FROM t").to_arrow_reader(65536).read_all()
seen["IN with 8, in_clause disabled"] = bool((np.diff(rows["i"].to_numpy()) == 1).all())
print(f"duckdb {duckdb.__version__}, preserve_insertion_order {kept[0]}")
for name, in_order in seen.items():
    print(f"{name:<32} {'in order' if in_order else 'OUT OF ORDER'}")
sys.exit(list(seen.values()) != [True, False, False, True])
PYTHON
