#!/usr/bin/env bash
# DuckDB 2.0.0: a CSV file whose header has a line break inside a quoted cell reads as a table without rows.
#
# Spreadsheets write a heading of two lines as "Gesamt<LF>Betrag" and end every line with CR LF; RFC 4180 allows it. With
# the columns declared and detection off, read_csv takes the LF for the line end of the whole file, and gives 0 rows: no
# error, nothing among the rejected lines. Told the line end (new_line = '\r\n') it reads all of them, as pandas does.
#
# Seen with duckdb 2.0.0 and pandas 3.1.1, 400 rows: 0 rows and 0 rejects with declared columns, 400 with new_line, 400
# with pandas. Exit code 1 if that changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet duckdb==2.0.0 pandas==3.1.1
"$work/venv/bin/python" - "$work/rows.csv" <<'PYTHON'
import csv
import sys

import duckdb
import pandas as pd

rows = [["id", "Gesamt\nBetrag", "label"], *([n, n * 1.5, "yes" if n % 2 else "no"] for n in range(400))]
with open(sys.argv[1], "w", newline="") as stream:
    csv.writer(stream, lineterminator="\r\n").writerows(rows)

connection = duckdb.connect()
options = "header = true, auto_detect = false, columns = {'a': 'VARCHAR', 'b': 'VARCHAR', 'c': 'VARCHAR'}"


def count(more: str) -> int:
    return connection.execute(f"SELECT count(*) FROM read_csv('{sys.argv[1]}', {options}{more})").fetchall()[0][0]


seen = {
    "columns declared": count(", store_rejects = true"),
    "rejected lines": connection.execute("SELECT count(*) FROM reject_errors").fetchall()[0][0],
    "columns and new_line declared": count(r", new_line = '\r\n'"),
    "pandas": len(pd.read_csv(sys.argv[1])),
}
print(f"duckdb {duckdb.__version__}, pandas {pd.__version__}; the file holds 400 rows")
for how, found in seen.items():
    print(f"{how:<32} {found}")
sys.exit(list(seen.values()) != [0, 0, 400, 400])
PYTHON
