"""Writes Delta tables with delta-rs and compares what weir reads of them.

    python tests/clients/deltalake_write.py 127.0.0.1:32010 DIRECTORY TEST_DATA PART

The arguments are those of duckdb_compare.py. PART is one of commits, values, refused.
"""

import datetime
import decimal
import sys

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from duckdb_compare import Bench

# More commits than weir takes one by one, over a checkpoint.
COMMITS = 70

UTC = datetime.timezone.utc


def external(bench, name):
    """Where delta-rs writes the table, and weir's table over it once something is there."""
    path = bench.path("written", name)
    return path, f"CREATE EXTERNAL TABLE {name} STORED AS DELTA LOCATION '/data/lake/written/{name}'"


def rows(path):
    return [tuple(row.values()) for row in DeltaTable(path).to_pyarrow_table().to_pylist()]


def same(bench, name, path):
    bench.equal(f"SELECT * FROM {name}", rows(path))
    bench.equal(f"SELECT count(*) FROM {name}", [(len(rows(path)),)])


def commits(bench):
    """A table that grows, is checkpointed, changed, widened and replaced, while weir looks at it."""
    path, create = external(bench, "growing")
    batch = lambda first, n, k: pa.table({"id": pa.array(range(first, first + n), pa.int64()), "k": [k] * n})
    write_deltalake(path, batch(0, 10, "a"), partition_by=["k"])
    bench.run(create)
    same(bench, "growing", path)
    write_deltalake(path, batch(10, 10, "b c"), mode="append")
    same(bench, "growing", path)
    bench.equal("SELECT id FROM growing WHERE k = 'b c' AND id > 15", [(id,) for id in range(16, 20)])
    for number in range(COMMITS):
        write_deltalake(path, batch(100 + number, 1, f"k{number % 3}"), mode="append")
        if number in (10, 40):
            same(bench, "growing", path)
        if number == 30:
            DeltaTable(path).create_checkpoint()
    same(bench, "growing", path)
    DeltaTable(path).delete("id % 2 = 1")
    same(bench, "growing", path)
    DeltaTable(path).optimize.compact()
    same(bench, "growing", path)
    # A column more: old files do not have it.
    wider = batch(1000, 3, "a").append_column("more", pa.array([1.5, None, 2.5]))
    write_deltalake(path, wider, mode="append", schema_mode="merge")
    same(bench, "growing", path)
    bench.equal("SELECT id, more FROM growing WHERE more > 2", [(1002, 2.5)])
    DeltaTable(path).create_checkpoint()
    write_deltalake(path, pa.table({"other": ["x", "y"]}), mode="overwrite", schema_mode="overwrite", partition_by=[])
    same(bench, "growing", path)
    bench.refused("INSERT INTO growing VALUES ('z')", "can only be read")


def values(bench):
    """Types, NULLs and partitions as delta-rs writes them."""
    path, create = external(bench, "kinds")
    moment = datetime.datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=UTC)
    table = pa.table(
        {
            "b": pa.array([True, None], pa.bool_()),
            "i1": pa.array([-128, None], pa.int8()),
            "i8": pa.array([2**63 - 1, None], pa.int64()),
            "f8": pa.array([float("inf"), None], pa.float64()),
            "d": pa.array([decimal.Decimal("-0.01"), None], pa.decimal128(10, 2)),
            "s": pa.array(["é \"quoted\" 日本", None], pa.string()),
            "bin": pa.array([b"\x00\xff", None], pa.binary()),
            "day": pa.array([datetime.date(1600, 2, 29), None], pa.date32()),
            "ts": pa.array([moment, None], pa.timestamp("us", "UTC")),
            "l": pa.array([[1, None], None], pa.list_(pa.int32())),
            "st": pa.array([{"a": 1, "b": "x"}, None], pa.struct([("a", pa.int32()), ("b", pa.string())])),
            "city": pa.array(["São Tomé/ST = 100 %", None], pa.string()),
            "year": pa.array([2024, None], pa.int32()),
        }
    )
    write_deltalake(path, table, partition_by=["city", "year"])
    bench.run(create)
    plain = "b, i1, i8, f8, d, s, bin, day, city, year"
    expected = [tuple(row[name] for name in plain.split(", ")) for row in table.to_pylist()]
    bench.equal(f"SELECT {plain} FROM kinds", expected)
    bench.equal("SELECT l[1], st['b'] FROM kinds WHERE year = 2024", [(1, "x")])
    bench.equal("SELECT count(*) FROM kinds WHERE ts = TIMESTAMP '2024-02-29 12:00:00.000001'", [(1,)])
    bench.equal("SELECT count(*) FROM kinds WHERE ts > TIMESTAMP '2024-02-29 12:00:00'", [(1,)])
    bench.equal("SELECT s FROM kinds WHERE city = 'São Tomé/ST = 100 %'", [("é \"quoted\" 日本",)])
    bench.equal("SELECT count(*) FROM kinds WHERE city IS NULL", [(1,)])
    # delta-rs leaves NaN out of the bounds of a file; here NaN is greater than every number.
    path, create = external(bench, "floats")
    write_deltalake(path, pa.table({"id": [1, 2], "x": [float("nan"), 1.0]}))
    bench.run(create)
    bench.equal("SELECT id FROM floats WHERE x > 5", [(1,)])


def refused(bench):
    """Features that weir does not read."""
    for name, configuration, what in [
        ("deleting", {"delta.enableDeletionVectors": "true"}, "its log needs deletion vectors"),
        ("mapped", {"delta.columnMapping.mode": "name"}, "its log needs column mapping"),
    ]:
        path, create = external(bench, name)
        write_deltalake(path, pa.table({"id": [1]}), configuration=configuration)
        bench.refused(create, what)
    bench.refused("CREATE EXTERNAL TABLE nothing STORED AS DELTA LOCATION '/data/lake/written/nothing'", "there is no Delta table")


PARTS = {"commits": commits, "values": values, "refused": refused}


def main():
    address, directory, test_data, part = sys.argv[1:]
    bench = Bench(address, directory, test_data)
    PARTS[part](bench)
    print(f"{part}: {bench.n_equal} answers are equal, {len(bench.differences)} differ")
    for difference in bench.differences:
        print(difference)
    sys.exit(1 if bench.differences or not bench.n_equal else 0)


if __name__ == "__main__":
    main()
