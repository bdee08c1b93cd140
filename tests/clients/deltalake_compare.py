"""Reads weir's managed tables with delta-rs and compares every row.

    python tests/clients/deltalake_compare.py 127.0.0.1:32010 DIRECTORY TEST_DATA PART

The arguments are those of duckdb_compare.py. PART is one of types, partitions, checkpoint.
"""

import decimal
import glob
import os
import sys
import time

from deltalake import DeltaTable
from duckdb_compare import Bench, first_difference, sort_key

# `INSERT`s of the checkpoint part: more than the 100 commits after which a checkpoint is written.
INSERTS = 120

# Every type that a managed table can have, with extremes and NULL.
TYPES = [
    ("b", "BOOLEAN", ["true", "false"]),
    ("i1", "TINYINT", ["-128", "127"]),
    ("i2", "SMALLINT", ["-32768", "32767"]),
    ("i4", "INT", ["-2147483648", "2147483647"]),
    ("i8", "BIGINT", ["-9223372036854775808", "9223372036854775807"]),
    ("f4", "FLOAT", ["1.5", "'NaN'"]),
    ("f8", "DOUBLE", ["-1e300", "'Infinity'"]),
    ("d", "DECIMAL(10,2)", ["99999999.99", "-0.01"]),
    ("d38", "DECIMAL(38,10)", ["1234567890123456789012345678.0123456789", "0"]),
    ("s", "STRING", ["''", "'é \"quoted\" 日本'"]),
    ("bin", "BINARY", ["X'00ff'", "X''"]),
    ("dt", "DATE", ["DATE '1600-02-29'", "DATE '9999-12-31'"]),
    ("ts", "TIMESTAMP", ["TIMESTAMP '1969-12-31 23:59:59.999999'", "TIMESTAMP '2024-02-29 12:00:00.000001'"]),
    ("l", "ARRAY<INT>", ["[1, NULL, 3]", "[]"]),
    ("st", "STRUCT<a: INT, b: STRING>", ["named_struct('a', 1, 'b', 'x')", "named_struct('a', NULL, 'b', NULL)"]),
]


def location(bench, table):
    rows = bench.weir(f"DESCRIBE FORMATTED {table}")
    return next(row[1] for row in rows if row[0] == "Location")


def delta_rows(bench, table, version=None):
    """The table's rows as delta-rs reads them, with its columns in the order of our answer."""
    delta = DeltaTable(location(bench, table), version=version)
    return delta, delta.to_pyarrow_table()


def equal_in_both(bench, table):
    bench.cursor.execute(f"SELECT * FROM {table}")
    ours = bench.cursor.fetch_arrow_table()
    delta, theirs = delta_rows(bench, table)
    what = f"{table} as delta-rs reads it"
    if ours.column_names != [field.name for field in delta.schema().fields]:
        bench.differences.append(f"{what}: columns {delta.schema().fields}, not {ours.column_names}")
        return delta
    theirs = theirs.select(ours.column_names)
    rows = [sorted((tuple(row.values()) for row in side.to_pylist()), key=sort_key) for side in (ours, theirs)]
    difference = first_difference(*rows)
    if difference:
        bench.differences.append(f"{what}: {difference}")
    else:
        bench.n_equal += 1
    return delta


def types(bench):
    columns = ", ".join(f"{name} {kind}" for name, kind, _ in TYPES)
    bench.run(f"CREATE TABLE all_types ({columns})")
    delta = equal_in_both(bench, "all_types")
    if delta.version() < 0 or len(delta.files() if hasattr(delta, "files") else delta.file_uris()) != 0:
        bench.differences.append("all_types: an empty table has files")
    for value_idx in range(2):
        bench.run("INSERT INTO all_types VALUES (" + ", ".join(values[value_idx] for _, _, values in TYPES) + ")")
        equal_in_both(bench, "all_types")
    bench.run("INSERT INTO all_types VALUES (" + ", ".join("NULL" for _ in TYPES) + ")")
    equal_in_both(bench, "all_types")
    # Not only equal on both sides: the values that were written.
    bench.equal("SELECT d, d38 FROM all_types WHERE i1 = -128", [(decimal.Decimal("99999999.99"), decimal.Decimal("1234567890123456789012345678.0123456789"))])
    # CTAS, OVERWRITE, odd column names.
    bench.run("CREATE TABLE ctas AS SELECT id, 'n' || id AS \"Name\", id / 2.0 AS half FROM generate_series(1, 20000) AS s(id)")
    equal_in_both(bench, "ctas")
    bench.run("INSERT OVERWRITE ctas SELECT id, \"Name\", half FROM ctas WHERE id > 19990")
    equal_in_both(bench, "ctas")
    if DeltaTable(location(bench, "ctas")).to_pyarrow_table().num_rows != 10:
        bench.differences.append("ctas: OVERWRITE did not replace the rows for delta-rs")


def partitions(bench):
    bench.run("CREATE TABLE parts (id INT, dt DATE, city STRING, n BIGINT) PARTITIONED BY (dt, city)")
    bench.run("INSERT INTO parts VALUES (1, '2024-01-01', 'Paris', 1), (2, '2024-01-01', 'São Tomé/ST', 2), (3, NULL, NULL, 3), (4, '2024-01-02', 'a=b %', 4)")
    delta = equal_in_both(bench, "parts")
    if delta.metadata().partition_columns != ["dt", "city"]:
        bench.differences.append(f"parts: partition columns {delta.metadata().partition_columns}")
    bench.run("INSERT OVERWRITE parts PARTITION (dt='2024-01-01', city) SELECT 10, 'Paris', 10")
    equal_in_both(bench, "parts")
    bench.run("INSERT INTO parts (id, n) VALUES (5, 5)")
    equal_in_both(bench, "parts")
    filtered = DeltaTable(location(bench, "parts")).to_pyarrow_table(partitions=[("city", "=", "a=b %")])
    if filtered.column("id").to_pylist() != [4]:
        bench.differences.append(f"parts: delta-rs finds {filtered.to_pylist()} in city 'a=b %'")


def checkpoint(bench):
    bench.run("CREATE TABLE many (id INT, name STRING, k INT) PARTITIONED BY (k)")
    for number in range(INSERTS):
        bench.run(f"INSERT INTO many VALUES ({number}, 'n{number}', {number % 3})")
    delta = equal_in_both(bench, "many")
    if delta.version() < INSERTS:
        bench.differences.append(f"many: version {delta.version()} after {INSERTS} inserts")
    log = os.path.join(location(bench, "many"), "_delta_log")
    # It is written in the background.
    deadline = time.monotonic() + 60
    while not os.path.exists(os.path.join(log, "_last_checkpoint")) and time.monotonic() < deadline:
        time.sleep(0.1)
    if not glob.glob(os.path.join(log, "*.checkpoint*.parquet")) or not os.path.exists(os.path.join(log, "_last_checkpoint")):
        bench.differences.append("many: no checkpoint after a minute")
    equal_in_both(bench, "many")
    # After the checkpoint: old rows replaced, new ones added.
    bench.run("INSERT OVERWRITE many PARTITION (k=0) SELECT 1000, 'new'")
    bench.run("INSERT INTO many VALUES (1001, 'last', 1)")
    equal_in_both(bench, "many")


PARTS = {"types": types, "partitions": partitions, "checkpoint": checkpoint}


def main():
    address, directory, test_data, part = sys.argv[1:]
    bench = Bench(address, directory, test_data)
    PARTS[part](bench)
    print(f"{part}: {bench.n_equal} tables are equal, {len(bench.differences)} differ")
    for difference in bench.differences:
        print(difference)
    sys.exit(1 if bench.differences or not bench.n_equal else 0)


if __name__ == "__main__":
    main()
