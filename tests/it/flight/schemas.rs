//! One schema function: what is announced at prepare time, in the FlightInfo and by GetSchema is what the stream sends,
//! and every type is one that clients read (the type table of the edge).

use super::wire::{Wire, prepared_query, statement};
use crate::harness::Server;
use crate::harness::client::cells;
use arrow_flight::sql::{CommandGetTables, ProstMessageExt};
use arrow_flight::{FlightInfo, IpcMessage};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use prost::Message;
use std::sync::Arc;

/// A value of an engine type: SQL, the type that clients see, its name, the value as text.
struct Case {
    sql: String,
    edge: DataType,
    type_name: &'static str,
    value: &'static str,
}

fn case(sql: impl Into<String>, edge: DataType, type_name: &'static str, value: &'static str) -> Case {
    Case { sql: sql.into(), edge, type_name, value }
}

/// `value` as an engine type by its Arrow name.
fn cast(value: &str, arrow_type: &str) -> String {
    format!("arrow_cast({value}, '{arrow_type}')")
}

fn item(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", data_type, true))
}

fn numbers() -> Vec<Case> {
    use DataType::*;
    vec![
        case("true", Boolean, "BOOLEAN", "true"),
        case(cast("-128", "Int8"), Int8, "TINYINT", "-128"),
        case(cast("-32768", "Int16"), Int16, "SMALLINT", "-32768"),
        case(cast("-2147483648", "Int32"), Int32, "INTEGER", "-2147483648"),
        case("9223372036854775807", Int64, "BIGINT", "9223372036854775807"),
        case(cast("255", "UInt8"), Int16, "SMALLINT", "255"),
        case(cast("65535", "UInt16"), Int32, "INTEGER", "65535"),
        case(cast("4294967295", "UInt32"), Int64, "BIGINT", "4294967295"),
        case(cast("9223372036854775807", "UInt64"), Int64, "BIGINT", "9223372036854775807"),
        case("row_number() OVER ()", Int64, "BIGINT", "1"),
        case("count(*) OVER ()", Int64, "BIGINT", "1"),
        case(cast("1.5", "Float16"), Float32, "REAL", "1.5"),
        case(cast("-0.25", "Float32"), Float32, "REAL", "-0.25"),
        case(cast("1e300", "Float64"), Float64, "DOUBLE", "1e300"),
        case(cast("-1.25", "Decimal32(5, 2)"), Decimal128(5, 2), "DECIMAL", "-1.25"),
        case(cast("-1.25", "Decimal64(12, 2)"), Decimal128(12, 2), "DECIMAL", "-1.25"),
        case(cast("-1.25", "Decimal128(20, 2)"), Decimal128(20, 2), "DECIMAL", "-1.25"),
        case(cast("-1.25", "Decimal256(50, 2)"), Decimal128(38, 2), "DECIMAL", "-1.25"),
        case("CAST(1.25 AS DECIMAL(38, 10))", Decimal128(38, 10), "DECIMAL", "1.2500000000"),
    ]
}

fn texts() -> Vec<Case> {
    use DataType::*;
    vec![
        case("'größe'", Utf8, "VARCHAR", "größe"),
        case(cast("'größe'", "Utf8View"), Utf8, "VARCHAR", "größe"),
        case(cast("'größe'", "LargeUtf8"), Utf8, "VARCHAR", "größe"),
        case("CAST('x' AS VARCHAR)", Utf8, "VARCHAR", "x"),
        case(cast("'x'", "Dictionary(Int32, Utf8)"), Utf8, "VARCHAR", "x"),
        case(cast("'x'", "Dictionary(UInt8, LargeUtf8)"), Utf8, "VARCHAR", "x"),
        case(cast("7", "Dictionary(Int32, UInt64)"), Int64, "BIGINT", "7"),
        case("NULL", Utf8, "VARCHAR", "NULL"),
        case("x'00ff'", Binary, "VARBINARY", "00ff"),
        case(cast("x'00ff'", "LargeBinary"), Binary, "VARBINARY", "00ff"),
        case(cast("x'00ff'", "BinaryView"), Binary, "VARBINARY", "00ff"),
        case(cast("x'00ff'", "FixedSizeBinary(2)"), Binary, "VARBINARY", "00ff"),
    ]
}

fn times() -> Vec<Case> {
    use DataType::*;
    let mut cases = vec![
        case("DATE '1969-12-31'", Date32, "DATE", "1969-12-31"),
        case(cast("DATE '1969-12-31'", "Date64"), Date32, "DATE", "1969-12-31"),
        case(cast("'01:00:01'", "Time32(Second)"), Time64(TimeUnit::Nanosecond), "TIME", "01:00:01"),
        case(cast("'01:00:01.5'", "Time32(Millisecond)"), Time64(TimeUnit::Nanosecond), "TIME", "01:00:01.500"),
        case(cast("'01:00:01.5'", "Time64(Microsecond)"), Time64(TimeUnit::Nanosecond), "TIME", "01:00:01.500"),
        case(cast("'01:00:01.5'", "Time64(Nanosecond)"), Time64(TimeUnit::Nanosecond), "TIME", "01:00:01.500"),
        case("INTERVAL '1 year 2 months 3 days 4 hours'", Utf8, "VARCHAR", "P1Y2M3DT4H"),
        case("TIMESTAMP '2026-03-01 00:00:00' - TIMESTAMP '2026-02-28 12:00:00'", Utf8, "VARCHAR", "PT12H"),
        // As in PostgreSQL, a number of days.
        case("DATE '2026-03-01' - DATE '2026-02-28'", Int64, "BIGINT", "1"),
        case(cast("5400", "Duration(Second)"), Utf8, "VARCHAR", "PT1H30M"),
        case(cast("1500", "Duration(Millisecond)"), Utf8, "VARCHAR", "PT1.5S"),
    ];
    for (unit, name) in [
        (TimeUnit::Second, "Second"),
        (TimeUnit::Millisecond, "Millisecond"),
        (TimeUnit::Microsecond, "Microsecond"),
        (TimeUnit::Nanosecond, "Nanosecond"),
    ] {
        let text = "'2026-02-28T23:59:59'";
        case_of_zone(&mut cases, cast(text, &format!("Timestamp({name}, None)")), unit, None, "2026-02-28T23:59:59");
        let zoned = cast("'2026-02-28T23:59:59Z'", &format!("Timestamp({name}, Some(\"+02:00\"))"));
        case_of_zone(&mut cases, zoned, unit, Some("+02:00"), "2026-03-01T01:59:59+02:00");
    }
    cases
}

fn case_of_zone(cases: &mut Vec<Case>, sql: String, unit: TimeUnit, zone: Option<&str>, value: &'static str) {
    let type_name = if zone.is_some() { "TIMESTAMP WITH TIME ZONE" } else { "TIMESTAMP" };
    cases.push(case(sql, DataType::Timestamp(unit, zone.map(Into::into)), type_name, value));
}

fn nested() -> Vec<Case> {
    use DataType::*;
    let fields = |fields: &[(&str, DataType)]| -> Fields { fields.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect() };
    let entries: Fields = vec![Field::new("key", Utf8, false), Field::new("value", Int32, true)].into();
    let map = Map(Arc::new(Field::new("entries", Struct(entries), false)), false);
    vec![
        case("make_array(1, NULL, 3)", List(item(Int64)), "ARRAY", "[1, NULL, 3]"),
        case(format!("make_array({})", cast("255", "UInt8")), List(item(Int16)), "ARRAY", "[255]"),
        case(format!("make_array({})", cast("'x'", "Utf8View")), List(item(Utf8)), "ARRAY", "[x]"),
        case("make_array(NULL)", List(item(Utf8)), "ARRAY", "[NULL]"),
        case("make_array(make_array(INTERVAL '1 day'))", List(item(List(item(Utf8)))), "ARRAY", "[[P1D]]"),
        case(cast("make_array(1, 2)", "LargeList(Int64)"), LargeList(item(Int64)), "ARRAY", "[1, 2]"),
        case(cast("make_array(1, 2)", "FixedSizeList(2, Int64)"), FixedSizeList(item(Int64), 2), "ARRAY", "[1, 2]"),
        case(
            format!("named_struct('a', {}, 'b', {})", cast("7", "UInt64"), cast("'x'", "Utf8View")),
            Struct(fields(&[("a", Int64), ("b", Utf8)])),
            "STRUCT",
            "{a: 7, b: x}",
        ),
        case(
            "named_struct('a', make_array(named_struct('b', INTERVAL '1 month')))",
            Struct(fields(&[("a", List(item(Struct(fields(&[("b", Utf8)])))))])),
            "STRUCT",
            "{a: [{b: P1M}]}",
        ),
        case(format!("map(['k'], [{}])", cast("7", "UInt16")), map, "MAP", "{k: 7}"),
        case(cast("make_array(1, 2)", "ListView(Int64)"), List(item(Int64)), "ARRAY", "[1, 2]"),
        case(cast("make_array(1, 2)", "LargeListView(Int64)"), LargeList(item(Int64)), "ARRAY", "[1, 2]"),
        case(cast("'x'", "RunEndEncoded(\"run_ends\": non-null Int32, \"values\": Utf8)"), Utf8, "VARCHAR", "x"),
    ]
}

fn cases() -> Vec<Case> {
    [numbers(), texts(), times(), nested()].into_iter().flatten().collect()
}

fn announced(info: &FlightInfo) -> Schema {
    assert_eq!((info.total_records, info.total_bytes), (-1, -1));
    Schema::try_from(IpcMessage(info.schema.clone())).expect("an encapsulated schema")
}

/// Runs a query on every road; all schemas are one, and so are all rows. Returns both.
async fn every_road(wire: &Wire, sql: &str) -> Result<(Schema, Vec<Vec<String>>), String> {
    let fails = |status: tonic::Status| format!("{sql}: {status}");
    let prepared = wire.prepare(sql).await.map_err(fails)?;
    let by_handle = wire.info(prepared_query(&prepared.handle)).await.map_err(fails)?;
    let by_text = wire.info(statement(sql)).await.map_err(fails)?;
    let rows = [wire.rows_of(&by_handle).await.map_err(fails)?, wire.rows_of(&by_text).await.map_err(fails)?];
    let schemas = [
        ("FlightInfo of the handle", announced(&by_handle)),
        ("FlightInfo of the text", announced(&by_text)),
        ("GetSchema of the handle", wire.schema(prepared_query(&prepared.handle)).await.map_err(fails)?),
        ("GetSchema of the text", wire.schema(statement(sql)).await.map_err(fails)?),
        ("stream of the handle", rows[0].schema.clone()),
        ("stream of the text", rows[1].schema.clone()),
    ];
    for (what, schema) in &schemas {
        if *schema != prepared.dataset {
            return Err(format!("{sql}: the {what} is\n{schema:?}\nand was prepared as\n{:?}", prepared.dataset));
        }
    }
    for batch in rows.iter().flat_map(|rows| &rows.batches) {
        if batch.schema().as_ref() != &prepared.dataset {
            return Err(format!("{sql}: a batch is\n{:?}\nand was prepared as\n{:?}", batch.schema(), prepared.dataset));
        }
    }
    let [by_handle, by_text] = rows.map(|rows| cells(&rows.batches));
    let sorted = |mut rows: Vec<Vec<String>>| {
        rows.sort();
        rows
    };
    if sorted(by_handle.clone()) != sorted(by_text.clone()) {
        return Err(format!("{sql}: {by_handle:?} prepared, {by_text:?} not"));
    }
    wire.close(prepared.handle).await.map_err(fails)?;
    Ok((prepared.dataset, by_handle))
}

fn metadata<'a>(field: &'a Field, key: &str) -> Option<&'a str> {
    field.metadata().get(&format!("ARROW:FLIGHT:SQL:{key}")).map(String::as_str)
}

/// What is wrong with one column, if anything.
fn wrong(field: &Field, case: &Case) -> Option<String> {
    let found = (field.data_type(), metadata(field, "TYPE_NAME"), field.is_nullable());
    let expected = (&case.edge, Some(case.type_name), true);
    if found != expected {
        return Some(format!("{}: {found:?}, expected {expected:?}", case.sql));
    }
    let digits = match &case.edge {
        DataType::Decimal128(precision, scale) => Some((precision.to_string(), scale.to_string())),
        _ => None,
    };
    if let Some((precision, scale)) = digits {
        let found = (metadata(field, "PRECISION"), metadata(field, "SCALE"));
        if found != (Some(precision.as_str()), Some(scale.as_str())) {
            return Some(format!("{}: precision and scale are {found:?}", case.sql));
        }
    }
    let searchable = if case.edge.is_nested() { "0" } else { "1" };
    (metadata(field, "IS_SEARCHABLE") != Some(searchable) || metadata(field, "IS_AUTO_INCREMENT") != Some("0"))
        .then(|| format!("{}: {:?}", case.sql, field.metadata()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_is_announced_as_it_is_sent() {
    let server = Server::start();
    let wire = Wire::connect(server.address(), &[]).await;
    let mut failures = Vec::new();
    for case in cases() {
        // As a constant, which the planner folds, and as a column with a NULL, which it cannot.
        let window = case.sql.contains("OVER");
        let mut queries = vec![(format!("SELECT {} AS v", case.sql), vec![vec![case.value.to_owned()]])];
        if !window {
            let column = format!("SELECT CASE WHEN n = 1 THEN {} END AS v FROM (VALUES (1), (2)) AS t(n) ORDER BY n", case.sql);
            queries.push((column, vec![vec![case.value.to_owned()], vec!["NULL".to_owned()]]));
        }
        queries.push((format!("SELECT v FROM (SELECT {} AS v) AS t LIMIT 0", case.sql), Vec::new()));
        for (sql, expected) in queries {
            match every_road(&wire, &sql).await {
                Err(error) => failures.push(error),
                Ok((schema, rows)) => {
                    failures.extend(wrong(schema.field(0), &case).map(|error| format!("{sql}\n  {error}")));
                    if rows != expected {
                        failures.push(format!("{sql}\n  {rows:?}, expected {expected:?}"));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ordinary_queries_are_announced_as_they_are_sent() {
    let server = Server::start();
    let wire = Wire::connect(server.address(), &[]).await;
    for sql in
        ["CREATE TABLE t (id BIGINT NOT NULL, name VARCHAR, price DECIMAL(10, 2))", "INSERT INTO t VALUES (1, 'a', 1.5), (2, NULL, NULL)"]
    {
        wire.query(sql).await.unwrap();
    }
    let queries = [
        "SELECT * FROM t",
        "SELECT count(*), sum(id), avg(price), min(name), approx_distinct(id) FROM t",
        "SELECT name, count(*) AS n FROM t GROUP BY name HAVING count(*) > 0",
        "SELECT id, row_number() OVER (ORDER BY id) AS n, rank() OVER (ORDER BY id) AS r, lag(name) OVER (ORDER BY id) AS l FROM t",
        "SELECT a.id, b.name FROM t AS a LEFT JOIN t AS b ON a.id = b.id + 1 ORDER BY 1",
        "SELECT id FROM t UNION ALL SELECT price FROM t",
        "SELECT a.*, b.* FROM t AS a JOIN t AS b ON a.id = b.id",
        "SELECT array_agg(id ORDER BY id) AS l, array_agg(DISTINCT name) AS d FROM t",
        "SELECT now() AS n, current_date AS d, version() AS v",
        "SELECT CASE WHEN id = 1 THEN 'one' END AS c, coalesce(name, 'none') AS n, id IS NULL AS i FROM t",
        "WITH x AS (SELECT id * 2 AS y FROM t) SELECT y, (SELECT max(y) FROM x) AS m FROM x",
        "VALUES (1, 'a'), (2, NULL)",
        "SHOW DATABASES",
        "SHOW TABLES",
        "SHOW CREATE TABLE t",
        "DESCRIBE t",
        "EXPLAIN SELECT * FROM t",
        "SELECT table_name, column_name, data_type, ordinal_position FROM information_schema.columns WHERE table_name = 't'",
        "SELECT name FROM system.settings ORDER BY name",
    ];
    for sql in queries {
        // now() differs from run to run.
        let sql = if sql.contains("now()") { "SELECT now() IS NULL AS n, arrow_typeof(now()) AS t, current_date AS d" } else { sql };
        let (schema, _) = every_road(&wire, sql).await.unwrap_or_else(|error| panic!("{error}"));
        assert!(!schema.fields().is_empty(), "{sql}");
        for field in schema.fields() {
            assert!(metadata(field, "TYPE_NAME").is_some(), "{sql}: {field:?}");
        }
    }
    for sql in ["CREATE TABLE u (a INT)", "INSERT INTO u VALUES (1)", "DROP TABLE u"] {
        let prepared = wire.prepare(sql).await.unwrap();
        assert!(prepared.dataset.fields().is_empty(), "{sql} has no columns");
        let info = wire.info(statement(sql)).await.unwrap();
        assert_eq!(wire.rows_of(&info).await.unwrap().schema, Schema::empty(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_without_a_place_is_an_error_that_names_its_column() {
    let server = Server::start();
    let wire = Wire::connect(server.address(), &[]).await;
    let large = cast("'18446744073709551615'", "UInt64");
    let digits = "9".repeat(45);
    for (value, part) in [(large, "18446744073709551615"), (cast(&format!("'{digits}'"), "Decimal256(50, 0)"), "DECIMAL(38")] {
        for sql in [format!("SELECT {value} AS total"), format!("SELECT make_array({value}) AS total")] {
            let Err(status) = wire.query(&sql).await else { panic!("{sql} has a result") };
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{sql}: {status}");
            assert!(status.message().contains("\"total\"") && status.message().contains(part), "{sql}: {}", status.message());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_described_as_their_queries_are() {
    let server = Server::start();
    let wire = Wire::connect(server.address(), &[]).await;
    let columns: Vec<String> =
        cases().iter().filter(|case| !case.sql.contains("OVER")).enumerate().map(|(idx, case)| format!("{} AS c{idx}", case.sql)).collect();
    wire.query(&format!("CREATE VIEW every_type AS SELECT {}", columns.join(", "))).await.unwrap();
    let ddl = "CREATE TABLE \"Declared\" (a TINYINT, b INT NOT NULL, c DECIMAL(12, 3), d VARCHAR, e TIMESTAMP, f DATE, g BINARY, \
               h ARRAY<INT>, i STRUCT<x: INT, y: STRING>, j MAP<STRING, INT>, k BOOLEAN, l REAL, m DOUBLE)";
    wire.query(ddl).await.unwrap();
    for table in ["every_type", "Declared"] {
        let (queried, _) = every_road(&wire, &format!("SELECT * FROM \"{table}\"")).await.unwrap_or_else(|error| panic!("{error}"));
        let command = CommandGetTables {
            catalog: None,
            db_schema_filter_pattern: None,
            table_name_filter_pattern: Some(table.replace('_', "\\_")),
            table_types: Vec::new(),
            include_schema: true,
        };
        let info = wire.info(command.as_any().encode_to_vec()).await.unwrap();
        let rows = wire.rows_of(&info).await.unwrap();
        assert_eq!(announced(&info), rows.schema);
        assert_eq!(cells(&[rows.batches[0].project(&[0, 1, 2]).unwrap()]), [["weir", "public", table]]);
        let bytes = rows.batches[0].column_by_name("table_schema").unwrap().as_binary::<i32>().value(0).to_vec();
        let described = Schema::try_from(IpcMessage(bytes.into())).unwrap();
        assert_eq!(described.fields().len(), queried.fields().len(), "{table}");
        for (described, queried) in described.fields().iter().zip(queried.fields()) {
            assert_eq!(metadata(described, "CATALOG_NAME"), Some("weir"));
            assert_eq!(metadata(described, "SCHEMA_NAME"), Some("public"));
            assert_eq!(metadata(described, "TABLE_NAME"), Some(table));
            let mut same = Field::clone(described);
            same.metadata_mut().retain(|key, _| !["CATALOG_NAME", "SCHEMA_NAME", "TABLE_NAME"].iter().any(|own| key.ends_with(own)));
            assert_eq!(&same, queried.as_ref(), "{table}");
        }
    }
}
