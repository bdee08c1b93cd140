"""Compares weir with DuckDB on the same files, row by row; and reads tables in the layout of Spark and Hive.

    python tests/clients/duckdb_compare.py 127.0.0.1:32010 DIRECTORY TEST_DATA PART

DIRECTORY is empty and is the one that the server calls /data/lake; TEST_DATA is the server's /testdata.
PART is one of conventions, parquet, csv, json, written. Exits with 1 at the end if anything differs.
"""

import datetime
import decimal
import json
import math
import os
import random
import re
import sys

import adbc_driver_flightsql.dbapi as flightsql
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

LAKE = "/data/lake"


class Bench:
    """A weir server and a DuckDB that look at the same directory."""

    def __init__(self, address, directory, test_data):
        self.connection = flightsql.connect(f"grpc://{address}", autocommit=True)
        self.cursor = self.connection.cursor()
        self.duckdb = duckdb.connect()
        self.directory = directory
        self.test_data = test_data
        self.n_equal = 0
        self.differences = []

    def path(self, *parts):
        path = os.path.join(self.directory, *parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def weir(self, sql):
        self.cursor.execute(sql)
        return self.cursor.fetchall()

    def run(self, sql):
        self.cursor.execute(sql)

    def view(self, name, source):
        self.duckdb.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM {source}")

    def same(self, sql, duckdb_sql=None):
        """The query's rows are equal. A query without ORDER BY is compared as a set of rows."""
        expected = self.duckdb.execute(duckdb_sql or sql).fetchall()
        self.equal(sql, expected)

    def equal(self, sql, expected):
        try:
            actual = self.weir(sql)
        except Exception as error:  # noqa: BLE001: whatever a driver raises is a difference
            self.differences.append(f"{sql}\n  weir refuses: {error}")
            return
        expected = [tuple(row) for row in expected]
        actual = [tuple(row) for row in actual]
        if not is_ordered(sql):
            expected.sort(key=sort_key)
            actual.sort(key=sort_key)
        difference = first_difference(expected, actual)
        if difference:
            self.differences.append(f"{sql}\n  {difference}")
        else:
            self.n_equal += 1

    def refused(self, sql, *parts):
        """The query fails, and the message has all parts."""
        try:
            rows = self.weir(sql)
        except Exception as error:  # noqa: BLE001
            missing = [part for part in parts if part not in str(error)]
            if missing:
                self.differences.append(f"{sql}\n  the message lacks {missing}: {error}")
            else:
                self.n_equal += 1
            return
        self.differences.append(f"{sql}\n  is not refused: {rows[:3]}")


def is_ordered(sql):
    """Whether the query itself has an ORDER BY, not only a window or a part in parentheses."""
    outside = sql
    while (shorter := re.sub(r"\([^()]*\)", "", outside)) != outside:
        outside = shorter
    return "ORDER BY" in outside or sql.startswith("SHOW")


def sort_key(row):
    def key(value):
        if isinstance(value, (int, float, decimal.Decimal)):
            # Rounded: two sums of the same numbers in another order sort alike.
            return (False, "", math.inf if math.isnan(value) else round(float(value), 6))
        return (value is None, type(value).__name__, str(value))

    return [key(value) for value in row]


def first_difference(expected, actual):
    if len(expected) != len(actual):
        return f"{len(actual)} rows, not {len(expected)}\n  weir   {actual[:3]}\n  wanted {expected[:3]}"
    for number, (wanted, given) in enumerate(zip(expected, actual), 1):
        if len(wanted) != len(given) or not all(is_same(a, b) for a, b in zip(wanted, given)):
            return f"row {number}\n  weir   {given}\n  wanted {wanted}"
    return None


def is_same(wanted, given):
    """Equal values; floating point up to the order of a sum."""
    if wanted is None or given is None:
        return wanted is given
    if isinstance(wanted, bool) or isinstance(given, bool):
        return wanted is given
    if isinstance(wanted, float) or isinstance(given, float):
        wanted, given = float(wanted), float(given)
        return math.isclose(wanted, given, rel_tol=1e-9, abs_tol=1e-12) or (math.isnan(wanted) and math.isnan(given))
    if isinstance(wanted, (int, decimal.Decimal)):
        return isinstance(given, (int, decimal.Decimal)) and wanted == given
    if isinstance(wanted, dict) and isinstance(given, list):  # a map, as its pairs
        wanted = list(wanted.items())
    if isinstance(wanted, dict):
        return isinstance(given, dict) and wanted.keys() == given.keys() and all(is_same(wanted[key], given[key]) for key in wanted)
    if isinstance(wanted, (list, tuple)):
        return isinstance(given, (list, tuple)) and len(wanted) == len(given) and all(map(is_same, wanted, given))
    if isinstance(wanted, (bytes, bytearray)):
        return bytes(wanted) == bytes(given)
    return type(wanted) is type(given) and wanted == given


# --- the layout of Spark and Hive ---------------------------------------------------------------------------------


def spark_file(bench, table, partition, number, columns, **options):
    """One file as Spark names it, with its checksum beside it."""
    name = f"part-{number:05d}-6f0f5bb4-9c1e-4c1c-8a39-0d2b7cf0a1aa.c000.snappy.parquet"
    path = bench.path(table, partition, name)
    pq.write_table(pa.table(columns), path, compression="snappy", **options)
    with open(os.path.join(os.path.dirname(path), f".{name}.crc"), "wb") as file:
        file.write(b"crc\x00\x00\x00\x02\x00\x12\x34\x56\x78")


def spark_table(bench):
    """Mixed-case columns, nested partitions, the default partition, files that differ, leftovers of failed jobs."""
    when = datetime.datetime(2024, 1, 31, 12, 30, 15, 123456)
    spark_file(bench, "events", "Year=2024/Country=FR", 0, {
        "userId": pa.array([1, 2], pa.int32()), "MovieTitle": ["Heat", None], "rating": pa.array([4.5, 3.0], pa.float32()),
        "seenAt": pa.array([when, None], pa.timestamp("us")), "price": pa.array([decimal.Decimal("1.25"), None], pa.decimal128(7, 2)),
    })
    # Another order, another case, wider types, timestamps as INT96.
    spark_file(bench, "events", "Year=2024/Country=DE", 1, {
        "price": pa.array([decimal.Decimal("-2.5")], pa.decimal128(7, 2)), "MOVIETITLE": ["Lola rennt"],
        "rating": pa.array([5.0], pa.float64()), "userid": pa.array([3], pa.int64()), "SeenAt": pa.array([when], pa.timestamp("us")),
    }, use_deprecated_int96_timestamps=True)
    # Columns that are missing, a column that no table declares.
    spark_file(bench, "events", "Year=2023/Country=__HIVE_DEFAULT_PARTITION__", 2, {"userId": pa.array([4], pa.int32()), "unknown": ["x"]})
    spark_file(bench, "events", "Year=__HIVE_DEFAULT_PARTITION__/Country=S%C3%A3o Tom%C3%A9%2FST", 3, {"MovieTitle": ["Up"], "userId": pa.array([5], pa.int64())})
    # No rows at all.
    spark_file(bench, "events", "Year=2025/Country=US", 4, {"userId": pa.array([], pa.int32())})
    for name in ["_SUCCESS", "_committed_8273", "_started_8273", "._SUCCESS.crc", ".DS_Store"]:
        with open(bench.path("events", name), "wb") as file:
            file.write(b"not a table file")
    # What a failed Spark job, a running one, and Hive leave behind: rows that do not count.
    for leftover in ["_temporary/0/task_1/Year=2024/Country=FR", ".hive-staging_hive_2024-01-31_1/-ext-10000", ".spark-staging-1/Year=2024/Country=FR"]:
        pq.write_table(pa.table({"userId": pa.array([666], pa.int32())}), bench.path("events", leftover, "part-00000.parquet"))


def types_of_other_writers(bench):
    """The same column in the encodings of Spark, Hive, Impala and pyarrow: one type in the table."""
    when = datetime.datetime(2024, 1, 31, 12, 30, 15, 123456)
    before = datetime.datetime(1850, 1, 1, 0, 0, 0, 1)
    utc = datetime.timezone.utc
    text, number, day = "é", decimal.Decimal("12.34"), datetime.date(1600, 2, 29)
    nested = {"tags": pa.array([["a", None]]), "who": pa.array([{"Name": "Ada", "Age": 36}]), "counts": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int32()))}
    spark = {"id": pa.array([1], pa.int32()), "at": pa.array([when.replace(tzinfo=utc)], pa.timestamp("us", tz="UTC")), "text": pa.array([text]),
             "number": pa.array([number], pa.decimal128(9, 2)), "day": pa.array([day], pa.date32()), **nested}
    spark_file(bench, "encodings", "", 0, spark, store_decimal_as_integer=True)
    # Impala and old Hive: text without an annotation, INT96, decimals as bytes, the list's element under another name.
    hive = {"ID": pa.array([2], pa.int32()), "at": pa.array([before], pa.timestamp("us")), "TEXT": pa.array([text.encode()], pa.binary()),
            "number": pa.array([number], pa.decimal128(9, 2)), "day": pa.array([day], pa.date32()), **nested}
    spark_file(bench, "encodings", "", 1, hive, use_deprecated_int96_timestamps=True, use_compliant_nested_type=False, store_schema=False)
    # pandas: nanoseconds, 64 bits, large and dictionary text; the fields of the struct in another order, one missing.
    pandas = {"id": pa.array([3], pa.int64()), "at": pa.array([when], pa.timestamp("ns")), "text": pa.array([text], pa.large_string()).dictionary_encode(),
              "number": pa.array([number], pa.decimal128(38, 2)), "day": pa.array([day], pa.date32()), "who": pa.array([{"age": 36}]), "tags": pa.array([["a", None]], pa.large_list(pa.large_string()))}
    spark_file(bench, "encodings", "", 2, pandas)
    bench.run("CREATE EXTERNAL TABLE encodings (id BIGINT, at TIMESTAMP, text STRING, number DECIMAL(12,3), day DATE, tags ARRAY<STRING>, who STRUCT<name: STRING, age: BIGINT>, "
              f"counts MAP<STRING, INT>) STORED AS PARQUET LOCATION '{LAKE}/encodings'")
    wide = decimal.Decimal("12.340")
    bench.equal("SELECT * FROM encodings ORDER BY id", [
        (1, when, text, wide, day, ["a", None], {"name": "Ada", "age": 36}, [("k", 1)]),
        (2, before, text, wide, day, ["a", None], {"name": "Ada", "age": 36}, [("k", 1)]),
        (3, when, text, wide, day, ["a", None], {"name": None, "age": 36}, None),
    ])
    bench.equal("SELECT id FROM encodings WHERE at = TIMESTAMP '2024-01-31 12:30:15.123456' ORDER BY id", [(1,), (3,)])
    bench.equal("SELECT id FROM encodings WHERE at < TIMESTAMP '1900-01-01 00:00:00'", [(2,)])
    bench.equal("SELECT id FROM encodings WHERE text = 'é' AND number = 12.34 AND day = DATE '1600-02-29' ORDER BY id", [(1,), (2,), (3,)])
    bench.equal("SELECT id FROM encodings WHERE who.name IS NULL", [(3,)])


def conventions(bench):
    spark_table(bench)
    bench.run(
        "CREATE EXTERNAL TABLE events (userid BIGINT, movietitle STRING, rating DOUBLE, seenat TIMESTAMP, price DECIMAL(9,3), never STRING) "
        f"PARTITIONED BY (year INT, country STRING) STORED AS PARQUET LOCATION '{LAKE}/events'"
    )
    when = datetime.datetime(2024, 1, 31, 12, 30, 15, 123456)
    bench.equal("SELECT * FROM events ORDER BY userId", [
        (1, "Heat", 4.5, when, decimal.Decimal("1.250"), None, 2024, "FR"),
        (2, None, 3.0, None, None, None, 2024, "FR"),
        (3, "Lola rennt", 5.0, when, decimal.Decimal("-2.500"), None, 2024, "DE"),
        (4, None, None, None, None, None, 2023, None),
        (5, "Up", None, None, None, None, None, "São Tomé/ST"),
    ])
    bench.equal("SELECT userID FROM events WHERE YEAR = 2024 AND country <> 'DE' ORDER BY userid", [(1,), (2,)])
    bench.equal("SELECT userid FROM events WHERE country IS NULL", [(4,)])
    bench.equal("SELECT userid FROM events WHERE year IS NULL", [(5,)])
    # Pushed into files that have the column as another type, in another place, or not at all.
    bench.equal("SELECT userid FROM events WHERE rating > 4 ORDER BY userid", [(1,), (3,)])
    bench.equal("SELECT userid FROM events WHERE rating IS NULL ORDER BY userid", [(4,), (5,)])
    bench.equal("SELECT count(*) FROM events WHERE never IS NULL", [(5,)])
    bench.equal("SELECT count(*) FROM events WHERE userid = 666", [(0,)])
    bench.equal("SELECT year, count(*), sum(rating) FROM events GROUP BY year ORDER BY year", [(2023, 1, None), (2024, 3, 12.5), (None, 1, None)])
    bench.equal("SHOW PARTITIONS events", [
        (text,) for text in ["year=__HIVE_DEFAULT_PARTITION__/country=São Tomé%2FST", "year=2023/country=__HIVE_DEFAULT_PARTITION__",
                             "year=2024/country=DE", "year=2024/country=FR", "year=2025/country=US"]
    ])
    # Without declared columns: the union of the files' columns, the partitions typed as Spark does.
    bench.run(f"CREATE EXTERNAL TABLE inferred STORED AS PARQUET LOCATION '{LAKE}/events'")
    bench.equal("SELECT userid, movietitle, unknown, year, country FROM inferred ORDER BY userid", [
        (1, "Heat", None, 2024, "FR"), (2, None, None, 2024, "FR"), (3, "Lola rennt", None, 2024, "DE"),
        (4, None, "x", 2023, None), (5, "Up", None, None, "São Tomé/ST"),
    ])
    bench.equal("SELECT count(*) FROM inferred WHERE seenAt IS NOT NULL", [(2,)])
    # A reader of text files: one with `\001`, Hive's own defaults, in a partitioned directory with a `.crc`.
    for day, text in [("2024-01-01", "1\x01a\x01\\N\n2\x01\\N\x012.5\n"), ("2024-01-02", "3\x01\x010.5\n")]:
        with open(bench.path("text", f"dt={day}", "000000_0"), "w", encoding="utf-8") as file:
            file.write(text)
        with open(bench.path("text", f"dt={day}", ".000000_0.crc"), "wb") as file:
            file.write(b"crc\x00")
    bench.run(f"CREATE EXTERNAL TABLE text (id INT, name STRING, score DOUBLE) PARTITIONED BY (dt DATE) STORED AS TEXTFILE LOCATION '{LAKE}/text'")
    first, second = datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)
    bench.equal("SELECT * FROM text ORDER BY id", [(1, "a", None, first), (2, None, 2.5, first), (3, "", 0.5, second)])
    bench.equal("SELECT id FROM text WHERE dt > DATE '2024-01-01'", [(3,)])
    # INSERT OVERWRITE of one partition leaves the others and the foreign files alone.
    bench.run("INSERT OVERWRITE TABLE events PARTITION (year=2024, country='FR') SELECT 10, 'New', 1.0, NULL, 9.999, 'n'")
    bench.equal("SELECT userid, movietitle, price FROM events WHERE year = 2024 ORDER BY userid",
                [(3, "Lola rennt", decimal.Decimal("-2.500")), (10, "New", decimal.Decimal("9.999"))])
    types_of_other_writers(bench)
    # A table whose file does not fit is refused with the file's name.
    bench.run(f"CREATE EXTERNAL TABLE wrong (movietitle BIGINT) PARTITIONED BY (year INT, country STRING) STORED AS PARQUET LOCATION '{LAKE}/events'")
    bench.refused("SELECT movietitle FROM wrong", f"{LAKE}/events/")


# --- the same files in both ---------------------------------------------------------------------------------------


def parquet(bench):
    chance = random.Random(20240131)
    n_rows = 5_000

    def maybe(value):
        return None if chance.random() < 0.1 else value

    start = datetime.datetime(2001, 1, 1)
    columns = {
        "id": pa.array(range(n_rows), pa.int64()),
        "Tiny": pa.array([maybe(chance.randint(-128, 127)) for _ in range(n_rows)], pa.int8()),
        "small": pa.array([maybe(chance.randint(-32768, 32767)) for _ in range(n_rows)], pa.int16()),
        "number": pa.array([maybe(chance.randint(-(2**31), 2**31 - 1)) for _ in range(n_rows)], pa.int32()),
        "float": pa.array([maybe(chance.gauss(0, 100)) for _ in range(n_rows)], pa.float32()),
        "double": pa.array([maybe(chance.gauss(0, 1e6)) for _ in range(n_rows)], pa.float64()),
        "money": pa.array([maybe(decimal.Decimal(chance.randint(-10**9, 10**9)).scaleb(-2)) for _ in range(n_rows)], pa.decimal128(12, 2)),
        "big": pa.array([maybe(decimal.Decimal(chance.randint(-10**30, 10**30)).scaleb(-10)) for _ in range(n_rows)], pa.decimal128(38, 10)),
        "day": pa.array([maybe((start + datetime.timedelta(days=chance.randint(0, 9000))).date()) for _ in range(n_rows)], pa.date32()),
        "moment": pa.array([maybe(start + datetime.timedelta(microseconds=chance.randint(0, 7 * 10**14))) for _ in range(n_rows)], pa.timestamp("us")),
        "moment_ms": pa.array([maybe(start + datetime.timedelta(milliseconds=chance.randint(0, 7 * 10**11))) for _ in range(n_rows)], pa.timestamp("ms")),
        "text": pa.array([maybe(chance.choice(["", "a", "Ab", "é", "日本", "x" * 50, "comma, quote\"", "line\nend"])) for _ in range(n_rows)]),
        "category": pa.array([maybe(chance.choice("abc")) for _ in range(n_rows)]).dictionary_encode(),
        "flag": pa.array([maybe(chance.random() < 0.5) for _ in range(n_rows)]),
        "bytes": pa.array([maybe(bytes([chance.randint(0, 255) for _ in range(4)])) for _ in range(n_rows)], pa.binary()),
        "list": pa.array([maybe([maybe(chance.randint(0, 9)) for _ in range(chance.randint(0, 4))]) for _ in range(n_rows)], pa.list_(pa.int32())),
        "pair": pa.array([maybe({"a": maybe(chance.randint(0, 9)), "b": maybe("x")}) for _ in range(n_rows)], pa.struct([("a", pa.int32()), ("b", pa.string())])),
    }
    table = pa.table(columns)
    # Many row groups and pages in one file; another writer's version and encoding in the other.
    half = n_rows // 2
    pq.write_table(table.slice(0, half), bench.path("types", "one.parquet"), row_group_size=100, data_page_size=512, write_page_index=True)
    pq.write_table(table.slice(half), bench.path("types", "two.parquet"), compression="gzip", use_dictionary=False, data_page_version="2.0")
    bench.run(f"CREATE EXTERNAL TABLE types STORED AS PARQUET LOCATION '{LAKE}/types'")
    bench.view("types", f"read_parquet('{bench.directory}/types/*.parquet')")
    for column in columns:
        quoted = f'"{column}"'
        bench.same(f"SELECT id, {quoted} AS value FROM types ORDER BY id")
        bench.same(f"SELECT count(*), count({quoted}) FROM types")
        bench.same(f"SELECT id FROM types WHERE {quoted} IS NULL")
        if column not in ["list", "pair"]:
            bench.same(f"SELECT min({quoted}), max({quoted}), count(DISTINCT {quoted}) FROM types" if column not in ["flag", "bytes"] else f"SELECT count(DISTINCT {quoted}) FROM types")
    for column in ["Tiny", "small", "number", "float", "double", "money"]:
        bench.same(f'SELECT sum("{column}"), avg("{column}") FROM types' if column != "money" else f'SELECT sum("{column}") FROM types')
        for condition in ["> 100", "= 7", "<= -30", "BETWEEN -5 AND 5", "<> 0", "IN (1, 2, 3)"]:
            bench.same(f'SELECT id, "{column}" FROM types WHERE "{column}" {condition}')
    for condition in [
        "id BETWEEN 2490 AND 2510", "id = 99", "id IN (0, 100, 4999, 5000)", "day >= DATE '2020-01-01'", "day < '2001-02-01'",
        "moment >= TIMESTAMP '2020-01-01 00:00:00'", "moment_ms < TIMESTAMP '2001-06-01 00:00:00'", "text = ''", "text LIKE '%\"'", "text IN ('é', '日本')",
        "text > 'a'", "flag", "NOT flag", "flag IS NOT TRUE", "category = 'a' OR number IS NULL", "category IS DISTINCT FROM 'b'",
        "money > 1000.50 AND money < 2000", "big < 0", "list[1] = 3", "pair.a = 3", "length(text) = 50", "NOT (number > 0 AND double > 0)",
    ]:
        bench.same(f"SELECT id FROM types WHERE {condition}")
    for sql in [
        "SELECT category, flag, count(*), sum(number), min(moment), max(day) FROM types GROUP BY category, flag",
        "SELECT year(day) AS y, month(day) AS m, count(*) FROM types GROUP BY 1, 2",
        "SELECT date_trunc('month', moment) AS m, count(*) FROM types GROUP BY 1 ORDER BY 1 NULLS LAST LIMIT 20",
        "SELECT a.id, b.id FROM types a JOIN types b ON a.number = b.number AND a.id < b.id",
        "SELECT a.category, count(*) FROM types a LEFT JOIN (SELECT DISTINCT category FROM types WHERE flag) b ON a.category = b.category GROUP BY a.category",
        "SELECT id, row_number() OVER (PARTITION BY category ORDER BY id DESC) AS n FROM types WHERE id < 300",
        "SELECT id, sum(number) OVER (PARTITION BY flag ORDER BY id ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS s FROM types WHERE id < 300",
        "SELECT text, count(*) FROM types GROUP BY text HAVING count(*) > 10",
        "SELECT id FROM types WHERE category NOT IN (SELECT category FROM types WHERE id = 3 AND category IS NOT NULL)",
        "SELECT id FROM types t WHERE EXISTS (SELECT 1 FROM types u WHERE u.id = t.id + 1 AND u.flag)",
        "SELECT number FROM types WHERE number > 2000000000 UNION SELECT number FROM types WHERE number < -2000000000",
        "SELECT id FROM types ORDER BY category NULLS FIRST, double DESC NULLS LAST, id LIMIT 50 OFFSET 25",
        "SELECT upper(text), lower(text), length(text), substr(text, 2, 3), trim(text), replace(text, 'x', '') FROM types WHERE id < 200",
        "SELECT id, CAST(number AS BIGINT) * 2 + small, number % 7, abs(small), round(double, 2) FROM types WHERE id < 200",
        "SELECT id, coalesce(text, category, '?'), nullif(flag, true), CASE WHEN number > 0 THEN 'p' WHEN number < 0 THEN 'n' END FROM types WHERE id < 200",
    ]:
        bench.same(sql)
    # Partitions, found by both.
    for year in [2022, 2023, 2024]:
        for month in [1, 2, 10]:
            rows = pa.table({"v": pa.array([year * 100 + month + i for i in range(5)], pa.int64())})
            pq.write_table(rows, bench.path("parts", f"year={year}", f"month={month}", "part-0.parquet"))
    bench.run(f"CREATE EXTERNAL TABLE parts STORED AS PARQUET LOCATION '{LAKE}/parts'")
    bench.view("parts", f"read_parquet('{bench.directory}/parts/**/*.parquet', hive_partitioning=true)")
    for condition in ["true", "year = 2023", "month = 10", "year > 2022 AND month < 3", "year = 2022 OR v = 202410", "year + month = 2025", "month BETWEEN 2 AND 10"]:
        bench.same(f"SELECT v, year, month FROM parts WHERE {condition}")
        bench.same(f"SELECT year, month, count(*), sum(v) FROM parts WHERE {condition} GROUP BY year, month")


def csv(bench):
    movielens = f"{bench.test_data}/ml-latest-small"
    for name in ["ratings", "movies", "tags", "links"]:
        bench.run(f"CREATE EXTERNAL TABLE {name} STORED AS CSV LOCATION '/testdata/ml-latest-small/{name}.csv'")
        # DuckDB keeps leading zeros as text, Spark and we read numbers.
        kinds = ", types={'imdbId': 'BIGINT'}" if name == "links" else ""
        bench.view(name, f"read_csv('{movielens}/{name}.csv', header=true, quote='\"', escape='\"'{kinds})")
    for sql in [
        "SELECT * FROM movies ORDER BY movieId",
        "SELECT userId, movieId, tag, \"timestamp\" FROM tags",
        "SELECT movieId, imdbId, tmdbId FROM links WHERE tmdbId IS NULL",
        "SELECT count(*), count(DISTINCT userId), sum(rating), avg(rating), min(\"timestamp\"), max(\"timestamp\") FROM ratings",
        "SELECT rating, count(*) FROM ratings GROUP BY rating",
        "SELECT m.title, count(*) AS n, avg(r.rating) FROM ratings r JOIN movies m ON m.movieId = r.movieId GROUP BY m.title HAVING count(*) > 50",
        "SELECT title FROM movies WHERE title LIKE '%\"%' OR title LIKE '%,%'",
        "SELECT m.movieId FROM movies m WHERE NOT EXISTS (SELECT 1 FROM ratings r WHERE r.movieId = m.movieId)",
        "SELECT userId, count(*) FROM tags GROUP BY userId",
        "SELECT lower(tag), count(*) FROM tags GROUP BY 1 HAVING count(*) > 5",
    ]:
        bench.same(sql)
    cars = f"{bench.test_data}/used-cars"
    for name in ["audi", "bmw", "vw"]:
        bench.run(f"CREATE EXTERNAL TABLE {name} STORED AS CSV LOCATION '/testdata/used-cars/{name}.csv'")
        bench.view(name, f"read_csv('{cars}/{name}.csv', header=true)")
        bench.same(f"SELECT * FROM {name}")
        bench.same(f"SELECT model, year, count(*), sum(price), avg(mpg), max(\"engineSize\") FROM {name} GROUP BY model, year")
    telco = "telco-churn/WA_Fn-UseC_-Telco-Customer-Churn.csv"
    bench.run(f"CREATE EXTERNAL TABLE telco STORED AS CSV LOCATION '/testdata/{telco}'")
    # DuckDB takes Yes and No for BOOLEAN.
    bench.view("telco", f"read_csv('{bench.test_data}/{telco}', header=true, types={{'Churn': 'VARCHAR'}})")
    bench.same("SELECT Churn, Contract, count(*), sum(tenure), avg(MonthlyCharges) FROM telco GROUP BY Churn, Contract")
    bench.same("SELECT customerID, gender, SeniorCitizen, tenure, MonthlyCharges FROM telco")
    # What a CSV may hold: quotes, line ends and delimiters in quotes, empty fields, spaces, many columns.
    chance = random.Random(7)
    pieces = ["plain", " spaced ", "comma,", 'quote"', "line\nend", "back\\slash", "é日本", "semi;colon", "tab\t", "0012", "1e3", "true", "NULL", "#"]
    with open(bench.path("odd", "odd.csv"), "w", encoding="utf-8", newline="") as file:
        file.write("id,a,b,n\n")
        for number in range(2_000):
            cells = []
            for _ in range(2):
                text = "".join(chance.choices(pieces, k=chance.randint(1, 3)))
                cells.append('"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') or chance.random() < 0.5 else text)
            file.write(f"{number},{cells[0]},{cells[1] if chance.random() < 0.9 else ''},{chance.choice(['', str(chance.randint(-99, 99))])}\n")
    bench.run(f"CREATE EXTERNAL TABLE odd (id INT, a STRING, b STRING, n INT) STORED AS CSV LOCATION '{LAKE}/odd'")
    bench.view("odd", f"read_csv('{bench.directory}/odd/odd.csv', header=true, columns={{'id': 'INT', 'a': 'VARCHAR', 'b': 'VARCHAR', 'n': 'INT'}}, quote='\"', escape='\"', delim=',', auto_detect=false)")
    bench.same("SELECT * FROM odd ORDER BY id")
    bench.same("SELECT n, count(*), count(b), min(a) FROM odd GROUP BY n")


def json_files(bench):
    chance = random.Random(11)
    start = datetime.datetime(2020, 1, 1)

    def event(number):
        row = {"id": number, "name": chance.choice(["a", "é", 'quo"te', "new\nline", "日本", "\\", ""]), "score": round(chance.gauss(0, 10), 3), "ok": chance.random() < 0.5,
               "moment": (start + datetime.timedelta(seconds=chance.randint(0, 10**8))).isoformat(), "day": (start + datetime.timedelta(days=chance.randint(0, 999))).date().isoformat(),
               "tags": chance.choices(["x", "y", None], k=chance.randint(0, 3)), "user": {"name": chance.choice(["Ada", None]), "age": chance.randint(1, 99)}, "big": chance.randint(-(2**62), 2**62)}
        for key in list(row)[1:]:
            if chance.random() < 0.1:
                row[key] = None
            elif chance.random() < 0.1:
                del row[key]
        keys = list(row)
        chance.shuffle(keys)
        return {key: row[key] for key in keys}

    for part in range(2):
        with open(bench.path("json", f"part-{part}.json"), "w", encoding="utf-8") as file:
            for number in range(part * 1_000, part * 1_000 + 1_000):
                file.write(json.dumps(event(number), ensure_ascii=chance.random() < 0.5) + "\n")
    columns = {"id": "BIGINT", "name": "VARCHAR", "score": "DOUBLE", "ok": "BOOLEAN", "moment": "TIMESTAMP", "day": "DATE", "tags": "VARCHAR[]", "user": "STRUCT(name VARCHAR, age BIGINT)", "big": "BIGINT"}
    listed = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
    bench.view("events", f"read_json('{bench.directory}/json/*.json', format='newline_delimited', columns={{{listed}}})")
    bench.run("CREATE EXTERNAL TABLE events (id BIGINT, name STRING, score DOUBLE, ok BOOLEAN, moment TIMESTAMP, day DATE, tags ARRAY<STRING>, `user` STRUCT<name: STRING, age: BIGINT>, big BIGINT) "
              f"STORED AS JSON LOCATION '{LAKE}/json'")
    bench.run(f"CREATE EXTERNAL TABLE inferred STORED AS JSON LOCATION '{LAKE}/json'")
    for table in ["events", "inferred"]:
        for column in columns:
            bench.same(f'SELECT id, "{column}" AS value FROM {table} ORDER BY id', f'SELECT id, "{column}" AS value FROM events ORDER BY id')
    for sql in [
        "SELECT ok, count(*), sum(score), max(moment), min(day), sum(big % 1000) FROM events GROUP BY ok",
        "SELECT name, count(*) FROM events GROUP BY name",
        "SELECT id FROM events WHERE \"user\".age > 50 AND tags[1] = 'x'",
        "SELECT id FROM events WHERE moment >= TIMESTAMP '2022-01-01 00:00:00' AND score IS NOT NULL",
        "SELECT id FROM events WHERE tags IS NULL",
    ]:
        bench.same(sql)


def written(bench):
    """What weir writes, DuckDB reads: all formats, partitions, compressions."""
    bench.run("CREATE TABLE source AS SELECT id, CAST(id % 3 AS INT) AS k, CASE WHEN id % 10 = 0 THEN NULL ELSE 'text, \"' || id || '\"' END AS name, "
              "CAST(id AS DOUBLE) / 7 AS score, CAST(id / 100.0 AS DECIMAL(12,2)) AS money, DATE '2024-01-01' + CAST(id AS INT) AS day, "
              "TIMESTAMP '2024-01-01 00:00:00.000001' + INTERVAL '1' MINUTE * id AS moment, id % 2 = 0 AS even FROM generate_series(1, 1000) AS s(id)")
    expected = sorted(tuple(row) for row in bench.weir("SELECT id, k, name, score, money, day, moment, even FROM source"))
    kinds = {"id": "BIGINT", "k": "INTEGER", "name": "VARCHAR", "score": "DOUBLE", "money": "DECIMAL(12,2)", "day": "DATE", "moment": "TIMESTAMP", "even": "BOOLEAN"}
    listed = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in kinds.items()) + "}"
    names = ", ".join(kinds)
    for target, options, reader in [
        ("all.parquet", "", "read_parquet('{}')"),
        ("snappy", "STORED AS PARQUET OPTIONS ('compression' 'snappy')", "read_parquet('{}/*.parquet')"),
        ("lz4", "STORED AS PARQUET OPTIONS ('compression' 'lz4')", "read_parquet('{}/*.parquet')"),
        ("gzip", "STORED AS PARQUET OPTIONS ('compression' 'gzip')", "read_parquet('{}/*.parquet')"),
        ("by_k", "STORED AS PARQUET PARTITIONED BY (k)", "read_parquet('{}/*/*.parquet', hive_partitioning=true)"),
        ("all.csv", "", f"read_csv('{{}}', header=true, columns={listed})"),
        ("all.csv.gz", "", f"read_csv('{{}}', header=true, columns={listed})"),
        ("all.json", "", f"read_json('{{}}', format='newline_delimited', columns={listed})"),
        ("all.json.zst", "", f"read_json('{{}}', format='newline_delimited', columns={listed})"),
    ]:
        sql = f"COPY (SELECT {names} FROM source) TO '{LAKE}/written/{target}' {options}"
        bench.run(sql)
        rows = bench.duckdb.execute(f"SELECT {names} FROM {reader.replace('{}', f'{bench.directory}/written/{target}')}").fetchall()
        difference = first_difference(expected, sorted(tuple(row) for row in rows))
        if difference:
            bench.differences.append(f"{sql}\n  DuckDB reads something else: {difference}")
        else:
            bench.n_equal += 1
    # INSERT OVERWRITE into partitions, read by DuckDB: a plain listing is true.
    bench.run(f"CREATE EXTERNAL TABLE target (id BIGINT, name STRING) PARTITIONED BY (k INT) STORED AS PARQUET LOCATION '{LAKE}/target'")
    for _ in range(2):
        bench.run("INSERT OVERWRITE TABLE target PARTITION (k) SELECT id, name, k FROM source")
    bench.run("INSERT OVERWRITE TABLE target PARTITION (k=1) SELECT id, 'new' FROM source WHERE id < 10")
    bench.same("SELECT id, name, k FROM target", f"SELECT id, name, k FROM read_parquet('{bench.directory}/target/*/*.parquet', hive_partitioning=true)")


PARTS = {"conventions": conventions, "parquet": parquet, "csv": csv, "json": json_files, "written": written}


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
