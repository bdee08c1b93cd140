"""Compares a streaming table's directory with what its topic holds, through readers of other projects.

    python tests/clients/stream_compare.py TABLE EXPECTED.json [--reader deltalake|duckdb|parquet]...
        [--endpoint URL --access-key KEY --secret-key KEY --region REGION]

TABLE is a directory or s3://BUCKET/PREFIX. EXPECTED.json is what `tests/it/harness/truth.rs` writes:
    {"columns": [[NAME, KIND], ..],
     "rows": [[PARTITION, ROWS, DIFFERENT OFFSETS, FIRST, LAST, SUM OF X, SUM OF Y], ..],
     "offsets": {PARTITION: [[FIRST, LAST], ..]}}
The readers: delta-rs with its own Parquet reader, DuckDB over the files that delta-rs lists, and DuckDB over
`**/*.parquet`, which finds the same rows only when no file is old or half done. By default the first two.
The hash is that of `tests/it/harness/row_hash.rs`.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, QueryBuilder
from deltalake.exceptions import DeltaProtocolError

P = 2_147_483_647
BASES = (48_271, 16_807)
NULL = 1_000_003
TEXT_DIGITS = 7
PARTITION, OFFSET = "_kafka_partition", "_kafka_offset"
NAMED_MAX = 20


def multipliers(base, count):
    return [pow(base, power, P) for power in range(1, count + 1)]


# DuckDB ------------------------------------------------------------------------------------------------------------


def duckdb_number(name, kind):
    column = f'"{name}"'
    if kind == "integer":
        return f"{column}::BIGINT"
    if kind == "thousandths":
        return f"round({column} * 1000)::BIGINT"
    if kind == "boolean":
        return f"{column}::INT::BIGINT"
    if kind == "timestamp":
        return f"epoch_us({column})"
    digits = [
        f"(strpos('0123456789abcdef', substr(sha256({column}), {at}, 1)) - 1) * {16 ** (TEXT_DIGITS - at)}"
        for at in range(1, TEXT_DIGITS + 1)
    ]
    return f"({' + '.join(digits)})::BIGINT"


def duckdb_summary(files, columns):
    numbers = [duckdb_number(name, kind) for name, kind in [(PARTITION, "integer"), (OFFSET, "integer"), *columns]]
    named = ", ".join(f"(coalesce({number}, {NULL}) % {P} + {P}) % {P} AS n{at}" for at, number in enumerate(numbers))
    lanes = []
    for name, base in zip("xy", BASES):
        terms = " + ".join(f"n{at} * {by} % {P}" for at, by in enumerate(multipliers(base, len(numbers))))
        lanes.append(f"({terms}) % {P} AS {name}")
    if not files:
        return [], pa.table({PARTITION: pa.array([], pa.int32()), OFFSET: pa.array([], pa.int64())})
    connection = duckdb.connect()
    connection.execute("CREATE VIEW t AS SELECT * FROM read_parquet(" + repr(files) + ", hive_partitioning = false)")
    rows = connection.execute(
        f"SELECT p, count(*), count(DISTINCT o), min(o), max(o), sum(x * x % {P}), sum(y * y % {P}) "
        f'FROM (SELECT p, o, {", ".join(lanes)} FROM (SELECT "{PARTITION}" AS p, "{OFFSET}" AS o, {named} FROM t)) '
        "GROUP BY p ORDER BY p"
    ).fetchall()
    places = connection.sql(f'SELECT "{PARTITION}", "{OFFSET}" FROM t').to_arrow_table()
    return [[int(value) for value in row] for row in rows], places


# numpy -------------------------------------------------------------------------------------------------------------


def text_number(text):
    return int(hashlib.sha256(text.encode()).hexdigest()[:TEXT_DIGITS], 16)


def numpy_numbers(column, kind):
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if kind == "thousandths":
        column = pc.cast(pc.round(pc.multiply(pc.cast(column, pa.float64()), 1000.0)), pa.int64())
    elif kind == "boolean":
        column = pc.cast(column, pa.int8())
    elif kind == "timestamp":
        column = pc.cast(pc.cast(column, pa.timestamp("us", column.type.tz)), pa.int64())
    elif kind == "text":
        texts = pc.dictionary_encode(pc.cast(column, pa.string()))
        numbers = pa.array([text_number(text) for text in texts.dictionary.to_pylist()], pa.int64())
        column = pc.take(numbers, texts.indices)
    filled = pc.fill_null(pc.cast(column, pa.int64()), NULL)
    return np.mod(filled.to_numpy(zero_copy_only=False), P)


def numpy_summary(table, columns):
    places = [(PARTITION, "integer"), (OFFSET, "integer")]
    numbers = [numpy_numbers(table.column(name), kind) for name, kind in [*places, *columns]]
    halves = []
    for base in BASES:
        x = np.zeros(table.num_rows, dtype=np.int64)
        for number, by in zip(numbers, multipliers(base, len(numbers))):
            x += number * by % P
        x %= P
        halves.append(x * x % P)
    partitions = table.column(PARTITION).to_numpy()
    offsets = table.column(OFFSET).to_numpy()
    rows = []
    for partition in np.unique(partitions):
        chosen = partitions == partition
        mine = offsets[chosen]
        sums = [int(half[chosen].sum()) for half in halves]
        rows.append([int(partition), len(mine), len(np.unique(mine)), int(mine.min()), int(mine.max()), *sums])
    return rows, table.select([PARTITION, OFFSET])


# Files -------------------------------------------------------------------------------------------------------------


class Directory:
    """A table on this machine."""

    def __init__(self, table):
        self.table = table

    def delta(self):
        return DeltaTable(self.table)

    def paths(self, uris):
        return [uri.removeprefix("file://") for uri in uris]

    def glob(self):
        return duckdb.connect().execute("SELECT file FROM glob(?)", [f"{self.table}/**/*.parquet"]).fetchnumpy()["file"].tolist()


class Bucket:
    """A table on an S3 server; DuckDB reads copies of its files."""

    def __init__(self, table, arguments, copies):
        import boto3

        self.table = table
        self.bucket, _, self.prefix = table.removeprefix("s3://").rstrip("/").partition("/")
        self.copies = copies
        login = {"aws_access_key_id": arguments.access_key, "aws_secret_access_key": arguments.secret_key}
        self.options = {key.upper(): value for key, value in login.items()}
        self.options |= {"AWS_REGION": arguments.region, "AWS_ENDPOINT_URL": arguments.endpoint, "AWS_ALLOW_HTTP": "true"}
        self.client = boto3.client("s3", endpoint_url=arguments.endpoint, region_name=arguments.region, **login)

    def delta(self):
        return DeltaTable(self.table, storage_options=self.options)

    def paths(self, uris):
        return [self.copy(uri.removeprefix(f"s3://{self.bucket}/")) for uri in uris]

    def copy(self, key):
        path = os.path.join(self.copies, key)
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self.client.download_file(self.bucket, key, path)
        return path

    def glob(self):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + "/")
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        return [self.copy(key) for key in keys if key.endswith(".parquet")]


def delta_rows(table, names):
    """Rows by the deltalake package: its pyarrow reader, or its query engine, which knows JSON checkpoints too."""
    try:
        return table.to_pyarrow_table(columns=names)
    except DeltaProtocolError:
        columns = ", ".join(f'"{name}"' for name in names)
        return pa.table(QueryBuilder().register("t", table).execute(f"SELECT {columns} FROM t"))


def differences(places, expected):
    """Which (partition, offset) are missing, additional or there twice."""
    counts = {}
    for partition, offset in zip(places.column(0).to_pylist(), places.column(1).to_pylist()):
        counts[partition, offset] = counts.get((partition, offset), 0) + 1
    wanted = {
        (int(partition), offset)
        for partition, ranges in expected["offsets"].items()
        for first, last in ranges
        for offset in range(first, last + 1)
    }
    for what, found in [
        ("missing", sorted(wanted - counts.keys())),
        ("not in the topic", sorted(counts.keys() - wanted)),
        ("more than once", sorted(place for place, count in counts.items() if count > 1)),
    ]:
        if found:
            yield f"{len(found)} {what}: " + " ".join(f"{partition}:{offset}" for partition, offset in found[:NAMED_MAX])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("table")
    parser.add_argument("expected")
    parser.add_argument("--reader", action="append", choices=["deltalake", "duckdb", "parquet"])
    for option in ["endpoint", "access-key", "secret-key", "region"]:
        parser.add_argument(f"--{option}")
    arguments = parser.parse_args()
    with open(arguments.expected, encoding="utf-8") as file:
        expected = json.load(file)
    failed = 0
    with tempfile.TemporaryDirectory() as copies:
        is_bucket = arguments.table.startswith("s3://")
        place = Bucket(arguments.table, arguments, copies) if is_bucket else Directory(arguments.table)
        for reader in arguments.reader or ["deltalake", "duckdb"]:
            if reader == "deltalake":
                names = [PARTITION, OFFSET, *(name for name, _ in expected["columns"])]
                rows, places = numpy_summary(delta_rows(place.delta(), names), expected["columns"])
            else:
                files = place.glob() if reader == "parquet" else place.paths(place.delta().file_uris())
                rows, places = duckdb_summary(files, expected["columns"])
            if rows == expected["rows"]:
                print(f"ok {reader}: {places.num_rows} rows")
                continue
            failed += 1
            print(f"{reader} finds other rows than the topic has")
            for name, side in [("expected", expected["rows"]), ("found", rows)]:
                print("\n".join(f"  {name:<9} {row}" for row in side) or f"  {name:<9} none")
            for line in differences(places, expected):
                print(f"  {line}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
