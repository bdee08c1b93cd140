"""Drives a running weir server with real Flight SQL clients: ADBC (what Power BI, Superset and dbt use) and pyarrow.flight.

    python tests/clients/adbc_check.py grpc://127.0.0.1:32010 --user admin --password ...

Prints `ok <name>` for each check and stops at the first that fails, with exit code 1.
Everything it makes is in tables named `adbc_check_*`, dropped at the beginning and at the end.
"""

import argparse
import base64
import datetime
import decimal
import sys
import threading
import time
import traceback

import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager
import pyarrow as pa
import pyarrow.flight as flight
from adbc_driver_flightsql import DatabaseOptions

CHECKS = []
TABLES = ["adbc_check_rows", "adbc_check_ingest", "adbc_check_many"]
INGEST_ROWS = 1_000_000

# A query that runs for minutes if nobody stops it.
LONG_QUERY = """
SELECT a.value + b.value AS total
FROM generate_series(1, 1000000) AS a(value)
CROSS JOIN generate_series(1, 100000) AS b(value)
"""


def check(function):
    CHECKS.append(function)
    return function


class Target:
    """The server under test and how to get in."""

    def __init__(self, arguments):
        self.uri = arguments.uri
        self.user = arguments.user
        self.password = arguments.password
        self.tls_ca = arguments.tls_ca

    def options(self, **changed):
        options = {"username": self.user, "password": self.password}
        if self.tls_ca:
            with open(self.tls_ca, encoding="ascii") as file:
                options[DatabaseOptions.TLS_ROOT_CERTS.value] = file.read()
        options.update(changed)
        return {key: value for key, value in options.items() if value is not None}

    def connect(self, **changed):
        return flightsql.connect(self.uri, db_kwargs=self.options(**changed), autocommit=True)

    def flight(self):
        options = {}
        if self.tls_ca:
            with open(self.tls_ca, "rb") as file:
                options["tls_root_certs"] = file.read()
        return flight.FlightClient(self.uri, **options)


def expect(actual, expected, what=""):
    if actual != expected:
        raise AssertionError(f"{what}: expected {expected!r}, got {actual!r}")


def expect_error(function, *parts):
    """The message of the error that `function` raises; it is one line and contains `parts`."""
    try:
        function()
    except Exception as error:  # noqa: BLE001 - each client has its own classes
        message = str(error)
        for part in parts:
            if part.lower() not in message.lower():
                raise AssertionError(f"{part!r} is not in the message {message!r}") from error
        for internal in ["panicked", "RUST_BACKTRACE", "src/", ".rs:", "DataFusion", "ArrowError", "External("]:
            if internal in message:
                raise AssertionError(f"{internal!r} is in the message {message!r}") from error
        if "\n" in message.strip():
            raise AssertionError(f"the message has several lines: {message!r}") from error
        return message
    raise AssertionError(f"no error, expected one with {parts}")


def scalar(cursor, sql, parameters=None):
    cursor.execute(sql, parameters)
    row = cursor.fetchone()
    expect(cursor.fetchone(), None, f"one row of {sql}")
    return row[0]


def run(cursor, sql):
    """All rows; some errors come only with them."""
    cursor.execute(sql)
    return cursor.fetchall()


def drop_tables(cursor):
    for table in TABLES:
        cursor.execute(f"DROP TABLE IF EXISTS {table}")


@check
def connects_with_a_password(target):
    with target.connect() as connection, connection.cursor() as cursor:
        expect(scalar(cursor, "SELECT 1"), 1)
        drop_tables(cursor)


@check
def a_wrong_password_is_refused(target):
    message = expect_error(lambda: target.connect(password="not the password").cursor().execute("SELECT 1"))
    if "unauth" not in message.lower():
        raise AssertionError(f"the message does not say that the login failed: {message!r}")


@check
def no_password_is_refused(target):
    expect_error(lambda: target.connect(username=None, password=None).cursor().execute("SELECT 1"), "password")


@check
def tells_what_it_is(target):
    with target.connect() as connection:
        info = connection.adbc_get_info()
        expect(info["vendor_name"], "weir")
        if not info["vendor_version"]:
            raise AssertionError("the server has no version")


@check
def executes_statements(target):
    with target.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, NULL ORDER BY a")
        expect([column[0] for column in cursor.description], ["a", "b"])
        expect(cursor.fetchall(), [(1, "x"), (2, None)])


@check
def creates_and_changes_tables(target):
    with target.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE adbc_check_rows (id BIGINT, name VARCHAR, score DOUBLE)")
        expect(cursor.fetchall(), [], "DDL has no rows")
        cursor.execute("INSERT INTO adbc_check_rows VALUES (1, 'one', 1.5), (2, 'two', 2.5), (3, NULL, NULL)")
        expect(cursor.rowcount, 3, "rowcount, although nothing was fetched")
        expect(scalar(cursor, "SELECT count(*) FROM adbc_check_rows"), 3, "inserted once, not twice")


@check
def counts_the_rows_of_an_update(target):
    with target.connect() as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_sql_query("INSERT INTO adbc_check_rows VALUES (4, 'four', 4.5), (5, 'five', 5.5)")
        expect(cursor.adbc_statement.execute_update(), 2)
        expect(scalar(cursor, "SELECT count(*) FROM adbc_check_rows"), 5)


@check
def executes_many(target):
    with target.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE adbc_check_many (id BIGINT, name VARCHAR)")
        cursor.executemany("INSERT INTO adbc_check_many VALUES (?, ?)", [(1, "one"), (2, "two"), (3, None)])
        expect(cursor.rowcount, 3, "rowcount")
        cursor.execute("SELECT id, name FROM adbc_check_many ORDER BY id")
        expect(cursor.fetchall(), [(1, "one"), (2, "two"), (3, None)])


PARAMETERS = {
    "int64": ("BIGINT", pa.array([2**62], pa.int64())),
    "int32": ("INT", pa.array([-7], pa.int32())),
    "float64": ("DOUBLE", pa.array([1.25], pa.float64())),
    "utf8": ("VARCHAR", pa.array(["größe ж '"], pa.string())),
    "bool": ("BOOLEAN", pa.array([True], pa.bool_())),
    "date32": ("DATE", pa.array([datetime.date(1969, 12, 31)], pa.date32())),
    "timestamp": ("TIMESTAMP", pa.array([datetime.datetime(2026, 2, 28, 23, 59, 59, 123456)], pa.timestamp("us"))),
    "decimal128": ("DECIMAL(20, 4)", pa.array([decimal.Decimal("-12345678901234.5678")], pa.decimal128(20, 4))),
    "binary": ("BINARY", pa.array([b"\x00\xff"], pa.binary())),
}


@check
def binds_every_type_of_parameter(target):
    with target.connect() as connection, connection.cursor() as cursor:
        for name, (sql_type, values) in PARAMETERS.items():
            sql = f"SELECT CAST(? AS {sql_type}) AS v"
            cursor.execute(sql, pa.record_batch([values], names=["1"]))
            expect(cursor.fetch_arrow_table().column("v").to_pylist(), values.to_pylist(), name)
            cursor.execute(sql, pa.record_batch([pa.array([None], values.type)], names=["1"]))
            expect(cursor.fetchall(), [(None,)], f"{name} NULL")


@check
def binds_python_values(target):
    with target.connect() as connection, connection.cursor() as cursor:
        sql = "SELECT id FROM adbc_check_rows WHERE id >= ? AND name = ?"
        for parameters, expected in [((1, "two"), [(2,)]), ((3, "two"), []), ((0, None), [])]:
            cursor.execute(sql, parameters)
            expect(cursor.fetchall(), expected, parameters)
        expect_error(lambda: cursor.execute(sql, (1,)), "2 parameters")
        expect_error(lambda: cursor.execute("SELECT 1", (1,)), "0 parameters")


@check
def knows_the_schema_before_it_runs(target):
    with target.connect() as connection, connection.cursor() as cursor:
        schema = cursor.adbc_execute_schema("SELECT id, name, score FROM adbc_check_rows")
        expect(schema.names, ["id", "name", "score"])
        cursor.execute("SELECT id, name, score FROM adbc_check_rows")
        expect(cursor.fetch_arrow_table().schema.types, schema.types)


@check
def announces_the_types_it_sends(target):
    """ADBC compares the announced schema with the stream and refuses a difference."""
    queries = [
        "SELECT row_number() OVER (ORDER BY id) AS n FROM adbc_check_rows",
        "SELECT NULL AS nothing",
        "SELECT interval '1 day' AS i",
        "SELECT approx_distinct(id) AS d FROM adbc_check_rows",
        "SELECT array_agg(id) AS l FROM adbc_check_rows",
        "SELECT now() AS t, current_date AS d",
        "SELECT arrow_cast('x', 'Utf8View') AS v, arrow_cast('x', 'LargeUtf8') AS l",
        "SELECT arrow_cast('x', 'Dictionary(Int32, Utf8)') AS d",
        "SELECT count(*), avg(score), sum(id) FROM adbc_check_rows",
        "SELECT id FROM adbc_check_rows WHERE false",
    ]
    with target.connect() as connection, connection.cursor() as cursor:
        for sql in queries:
            cursor.execute(sql)
            cursor.fetch_arrow_table()


@check
def lists_objects_at_every_depth(target):
    with target.connect() as connection:
        for depth in ["catalogs", "db_schemas", "tables", "all"]:
            catalogs = connection.adbc_get_objects(depth=depth).read_all().to_pylist()
            expect([catalog["catalog_name"] for catalog in catalogs], ["weir"], depth)
            if depth == "catalogs":
                continue
            schemas = {schema["db_schema_name"]: schema for schema in catalogs[0]["catalog_db_schemas"]}
            if depth == "db_schemas":
                continue
            tables = {table["table_name"]: table for table in schemas["public"]["db_schema_tables"]}
            if "adbc_check_rows" not in tables:
                raise AssertionError(f"the table is not in {sorted(tables)}")
            if depth == "all":
                columns = tables["adbc_check_rows"]["table_columns"]
                expect([column["column_name"] for column in columns], ["id", "name", "score"])
        found = connection.adbc_get_objects(depth="tables", table_name_filter="adbc\\_check\\_ro%").read_all().to_pylist()
        names = [t["table_name"] for s in found[0]["catalog_db_schemas"] for t in s["db_schema_tables"] or []]
        expect(names, ["adbc_check_rows"], "filtered")


@check
def describes_a_table(target):
    with target.connect() as connection:
        schema = connection.adbc_get_table_schema("adbc_check_rows")
        expect(schema.names, ["id", "name", "score"])
        expect([str(field.type) for field in schema], ["int64", "string", "double"])
        expect(connection.adbc_get_table_types(), ["SYSTEM TABLE", "TABLE", "VIEW"])


@check
def keeps_a_session(target):
    with target.connect() as connection, connection.cursor() as cursor:
        expect(connection.adbc_current_catalog, "weir")
        expect(connection.adbc_current_db_schema, "public")
        expect_error(lambda: setattr(connection, "adbc_current_db_schema", "adbc_check_nowhere"))
        expect(scalar(cursor, "SELECT 1"), 1, "the session goes on")


@check
def ingests_a_million_rows(target):
    ids = pa.array(range(INGEST_ROWS), pa.int64())
    names = pa.array([f"n{i % 1000}" for i in range(INGEST_ROWS)])
    scores = pa.array([i / 4 for i in range(INGEST_ROWS)])
    table = pa.table({"id": ids, "name": names, "score": scores})
    total = INGEST_ROWS * (INGEST_ROWS - 1) // 2
    few = table.slice(0, 10)

    with target.connect() as connection, connection.cursor() as cursor:

        def count_and_sum(expected_rows, expected_sum, mode):
            cursor.execute("SELECT count(*), sum(id), count(DISTINCT name) FROM adbc_check_ingest")
            expect(cursor.fetchone()[:2], (expected_rows, expected_sum), mode)

        expect_error(lambda: cursor.adbc_ingest("adbc_check_ingest", few, mode="append"), "adbc_check_ingest", "not exist")
        # Batches of a size that the driver sends: its own limit is 16 MiB for one message.
        expect(cursor.adbc_ingest("adbc_check_ingest", table.to_reader(500_000), mode="create"), INGEST_ROWS, "create")
        count_and_sum(INGEST_ROWS, total, "create")
        expect_error(lambda: cursor.adbc_ingest("adbc_check_ingest", few, mode="create"), "adbc_check_ingest", "exists")
        expect(cursor.adbc_ingest("adbc_check_ingest", few, mode="append"), 10, "append")
        count_and_sum(INGEST_ROWS + 10, total + 45, "append")
        expect(cursor.adbc_ingest("adbc_check_ingest", few, mode="create_append"), 10, "create_append")
        count_and_sum(INGEST_ROWS + 20, total + 90, "create_append")
        expect(cursor.adbc_ingest("adbc_check_ingest", table.to_reader(50_000), mode="replace"), INGEST_ROWS, "replace")
        count_and_sum(INGEST_ROWS, total, "replace")


@check
def reads_a_million_rows(target):
    with target.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, name, score FROM adbc_check_ingest")
        reader = cursor.fetch_record_batch()
        rows = 0
        for batch in reader:
            rows += batch.num_rows
            if batch.nbytes > 4 * 1024 * 1024:
                raise AssertionError(f"a batch has {batch.nbytes} bytes")
        expect(rows, INGEST_ROWS)


@check
def cancels_a_long_query(target):
    with target.connect() as connection, connection.cursor() as cursor:
        cursor.execute(LONG_QUERY)
        reader = cursor.fetch_record_batch()
        threading.Timer(0.5, cursor.adbc_cancel).start()
        started = time.monotonic()

        def read():
            for _ in reader:
                pass

        expect_error(read, "cancel")
        if time.monotonic() - started > 20:
            raise AssertionError("the cancelled query went on for 20 seconds")
    with target.connect() as connection, connection.cursor() as cursor:
        # The server ends a query when the client's stream is gone; its history says so.
        for _ in range(100):
            cursor.execute("SELECT state FROM system.queries WHERE sql LIKE '%100000) AS b(value)%' AND sql NOT LIKE '%system.queries%'")
            states = {row[0].lower() for row in cursor.fetchall()}
            if states and not states & {"running", "planning", "queued"}:
                break
            time.sleep(0.1)
        if not states or not all(state.startswith("cancel") for state in states):
            raise AssertionError(f"the history says {states}")


@check
def explains_failures_in_one_line(target):
    with target.connect() as connection, connection.cursor() as cursor:
        for sql, parts in [
            ("SELEC 1", ["selec"]),
            ("SELECT * FROM adbc_check_nothing", ["adbc_check_nothing"]),
            ("SELECT nam FROM adbc_check_rows", ["nam"]),
            ("SELECT nosuchfunction(1)", ["nosuchfunction"]),
            ("SELECT CAST(name AS INT) FROM adbc_check_rows WHERE id = 1", ["one"]),
            ("CREATE TABLE adbc_check_rows (a INT)", ["adbc_check_rows", "exists"]),
        ]:
            expect_error(lambda sql=sql: run(cursor, sql), *parts)
            expect(scalar(cursor, "SELECT 1"), 1, f"the session goes on after {sql}")


def any_message(name, *fields):
    """A Flight SQL command in its `Any`, by hand: pyarrow.flight has no Flight SQL of its own."""

    def varint(number):
        encoded = b""
        while number > 127:
            encoded += bytes([number & 127 | 128])
            number >>= 7
        return encoded + bytes([number])

    def field(number, value):
        return varint(number << 3 | 2) + varint(len(value)) + value

    value = b"".join(field(number, value) for number, value in fields)
    return field(1, f"type.googleapis.com/arrow.flight.protocol.sql.{name}".encode()) + field(2, value)


def basic(target, padded=True):
    encoded = base64.b64encode(f"{target.user}:{target.password}".encode()).decode()
    return flight.FlightCallOptions(headers=[(b"authorization", f"Basic {encoded if padded else encoded.rstrip('=')}".encode())])


@check
def raw_calls_need_credentials(target):
    client = target.flight()
    statement = flight.FlightDescriptor.for_command(any_message("CommandStatementQuery", (1, b"SELECT 1 AS a")))
    expect_error(lambda: client.get_flight_info(statement), "password")
    bad = flight.FlightCallOptions(headers=[(b"authorization", b"Bearer invented")])
    expect_error(lambda: client.get_flight_info(statement, bad), "session")
    expect_error(lambda: list(client.list_flights()), "password")
    expect_error(lambda: list(client.do_action(flight.Action("CreatePreparedStatement", b""))), "password")


@check
def raw_bearer_and_basic(target):
    client = target.flight()
    statement = flight.FlightDescriptor.for_command(any_message("CommandStatementQuery", (1, b"SELECT 1 AS a")))
    header, value = client.authenticate_basic_token(target.user, target.password)
    expect((header.lower(), value.startswith(b"Bearer ")), (b"authorization", True))
    for options in [flight.FlightCallOptions(headers=[(header, value)]), basic(target), basic(target, padded=False)]:
        info = client.get_flight_info(statement, options)
        expect((info.total_records, info.total_bytes, info.endpoints[0].locations), (-1, -1, []))
        table = client.do_get(info.endpoints[0].ticket, options).read_all()
        expect(table.to_pylist(), [{"a": 1}])
        expect(table.schema, info.schema, "announced and sent")


@check
def raw_schema_flights_and_actions(target):
    client, options = target.flight(), basic(target)
    statement = flight.FlightDescriptor.for_command(any_message("CommandStatementQuery", (1, b"SELECT 1 AS a, 'x' AS b")))
    expect(client.get_schema(statement, options).schema.names, ["a", "b"])
    expect(client.get_schema(flight.FlightDescriptor.for_command(any_message("CommandGetTableTypes")), options).schema.names, ["table_type"])
    expect(list(client.list_flights(b"", options)), [])
    actions = [action.type for action in client.list_actions(options)]
    for name in ["CreatePreparedStatement", "CancelFlightInfo", "CloseSession"]:
        if name not in actions:
            raise AssertionError(f"{name} is not in {actions}")
    # What ODBC drivers cannot bear: an error when a statement is closed.
    close = any_message("ActionClosePreparedStatementRequest", (1, b"never opened"))
    expect(list(client.do_action(flight.Action("ClosePreparedStatement", close), options)), [])
    expect(list(client.do_action(flight.Action("ClosePreparedStatement", b"\xff"), options)), [])
    expect_error(lambda: client.get_schema(flight.FlightDescriptor.for_command(b"\xff\xff"), options), "command")
    expect_error(lambda: client.get_schema(flight.FlightDescriptor.for_path("a"), options), "path")


@check
def raw_update_runs_once(target):
    """An update runs once: not when its schema is asked for, not again when its ticket is presented twice."""
    client = target.flight()
    header = client.authenticate_basic_token(target.user, target.password)
    options = flight.FlightCallOptions(headers=[header])
    insert = any_message("CommandStatementQuery", (1, b"INSERT INTO adbc_check_many VALUES (100, 'once')"))
    info = client.get_flight_info(flight.FlightDescriptor.for_command(insert), options)
    client.get_schema(flight.FlightDescriptor.for_command(insert), options)
    ticket = info.endpoints[0].ticket
    expect(client.do_get(ticket, options).read_all().num_columns, 0)
    expect(client.do_get(ticket, options).read_all().num_rows, 0, "the same ticket again")
    with target.connect() as connection, connection.cursor() as cursor:
        expect(scalar(cursor, "SELECT count(*) FROM adbc_check_many WHERE id = 100"), 1)


@check
def cleans_up(target):
    with target.connect() as connection, connection.cursor() as cursor:
        drop_tables(cursor)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("uri", help="grpc://host:port or grpc+tls://host:port")
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--tls-ca", help="PEM file with the authority of the server's certificate")
    parser.add_argument("--only", help="run the checks whose name contains this text")
    arguments = parser.parse_args()
    target = Target(arguments)
    print(f"adbc_driver_manager {adbc_driver_manager.__version__}, pyarrow {pa.__version__}")
    passed = 0
    for function in CHECKS:
        name = function.__name__
        if arguments.only and arguments.only not in name:
            continue
        try:
            function(target)
        except Exception:  # noqa: BLE001 - the trace says which line
            traceback.print_exc()
            print(f"FAILED {name}")
            print(f"{passed} passed, 1 failed")
            return 1
        print(f"ok {name}", flush=True)
        passed += 1
    print(f"{passed} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
